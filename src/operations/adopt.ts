import { readdirSync, rmSync } from 'node:fs';
import { MirrorlatchError } from '../errors.ts';
import {
  giveBack,
  hintToLink,
  leadsToCurrent,
  refuseHalfAdopted,
  rootBehind,
  takeIn,
} from '../mirror/adoption.ts';
import { currentId, previousId } from '../mirror/current.ts';
import { announce } from '../mirror/current-file.ts';
import { appendHistory, idOfAdoption, readHistory } from '../mirror/history/history.ts';
import { type Layout, LIVE, layoutOf } from '../mirror/layout.ts';
import {
  isInPlace,
  markWhole,
  mayHaveRemains,
  readGate,
  refuseClosedByHand,
} from '../mirror/locks/gate.ts';
import { type Closure, closeToReaders, makeLease } from '../mirror/locks/lease.ts';
import { isPinnedTo } from '../mirror/locks/pins.ts';
import { printable } from '../mirror/names.ts';
import { pathsNotOurs } from '../mirror/not-ours.ts';
import { findMirror, type Mirror, openMirror } from '../mirror/open.ts';
import { removeRemains } from '../mirror/remains.ts';
import { forgetUnused } from '../mirror/served/earlier-clones.ts';
import { forgetServed, markServed, refuseUnservable } from '../mirror/served/served-claim.ts';
import { servedDirectory } from '../mirror/served/served-directory.ts';
import type { Given, LockPolicy } from '../mirror/settings/policy.ts';
import type { GateRecord, Settings } from '../mirror/settings/records.ts';
import { changeSettings, type SettingsOptions, settingsFrom } from '../mirror/settings/settings.ts';
import { freshId } from '../mirror/snapshot-id.ts';
import { snapshotIds } from '../mirror/survey.ts';
import { findWritable } from '../mirror/trees/writable.ts';
import { showTime } from '../mirror/units.ts';
import { lstatIfThere } from '../system/files.ts';
import { givenPath } from '../system/given-path.ts';
import { isWithin, refuseMountsWithin } from '../system/mounts.ts';
import { pathsInUse } from '../system/paths-in-use.ts';
import { userName } from '../system/proc.ts';
import { quoteForSh } from '../system/quote.ts';
import { createMirror } from '../writer/create.ts';
import type { OnEvent } from '../writer/events.ts';
import { warnOfWritable } from '../writer/modes.ts';
import { withWriter } from '../writer/session.ts';
import {
  checkAdoptable,
  dangerOfEntered,
  dangerOfNamesOutside,
  notAdoptable,
  realPathOf,
  refuseNamesOutside,
  refuseNoTree,
} from './adoptable.ts';
import { refuseUnfitOptions } from './init.ts';
import { mendByRsync } from './sync/modes.ts';

export interface UnadoptOptions {
  /** The directory that readers use and keep using: as long as it is adopted it is a symlink. */
  directory: string;
  /** Where the mirror lies; by default beside the directory, as `NAME.mirror`. */
  root?: string | undefined;
  lock?: Given<LockPolicy> | undefined;
  signal?: AbortSignal | undefined;
  onEvent?: OnEvent | undefined;
}

export interface AdoptOptions extends UnadoptOptions {
  mode: Settings['mode'];
  settings: SettingsOptions;
}

export interface Unadopted {
  /** A plain directory again. */
  directory: string;
  root: string;
  /** The ids of the snapshots that stay in the mirror. */
  left: string[];
  /** The one of them that is the directory as it was adopted; null if it is gone, or given back. */
  asAdopted: string | null;
  /** What else lies in ROOT, and would be lost with it: see `pathsNotOurs`. */
  others: string[];
}

export interface Adopted extends Mirror {
  /** An earlier call has adopted the directory. */
  wasAdopted: boolean;
}

/**
 * Turns the target of an rsync into a mirror without copying a byte: its tree becomes the first
 * snapshot, or the tree of an in-place mirror, and a symlink to `current` takes its old path.
 *
 * A second call finishes what a crash left of the first, and changes the settings that it gives.
 *
 * @throws MirrorlatchError when the directory cannot be adopted, which leaves it unchanged.
 */
export async function adopt(options: AdoptOptions): Promise<Adopted> {
  const directory = realPathOf(options.directory);
  const root = givenPath(placeOf(options, directory));
  const found = findMirror(root);
  const { serveAt } = settingsFrom(options.settings);
  if (serveAt !== undefined && serveAt !== found?.settings.serveAt) {
    refuseUnservable(layoutOf(root), options.mode, serveAt);
    if (isWithin(serveAt, directory))
      throw notAdoptable(directory, `${serveAt} of --serve-at lies in it`);
  }
  const mirror = await takeOrFinish(directory, root, found, options);
  if (serveAt !== undefined) markServed(mirror.layout, serveAt);
  return mirror;
}

/** As it was named: a symlink to what is missing is refused by its name. */
function placeOf({ root }: AdoptOptions, directory: string): string {
  return root ?? `${directory}.mirror`;
}

async function takeOrFinish(
  directory: string,
  root: string,
  found: Mirror | undefined,
  options: AdoptOptions,
): Promise<Adopted> {
  const given = { ...settingsFrom(options.settings), adopted: directory };
  refuseUnfitOptions(found?.layout ?? layoutOf(root), options.mode, found?.settings, given);
  if (found?.settings.adopted !== undefined && !lstatIfThere(directory)?.isDirectory()) {
    const isNamed = found.settings.adopted === directory;
    if (isNamed || leadsToCurrent(found.layout, directory))
      return finishAdoption(found, directory, options);
  }
  await checkAdoptable(directory, root);
  if (options.mode === 'in-place') await refuseNamesOutside(directory);
  else warnOf(await dangerOfNamesOutside(directory), options.onEvent);
  if (found !== undefined) {
    const { layout, settings } = found;
    refuseOtherMirror(layout, settings, currentId(layout), options.mode, directory);
  }
  const { layout } =
    found ?? createMirror(placeOf(options, directory), given, { mode: options.mode });
  warnOfOwner(directory, root, options.onEvent);
  warnOfEmpty(directory, root, options.onEvent);
  const failure = `${directory} cannot be adopted`;
  const session = { ...sessionOptions(options), command: 'adopt', failure };
  const { result } = await withWriter(layout, session, async (writer) => {
    const { lock, before, settings } = writer;
    refuseOtherMirror(layout, settings, before, options.mode, directory);
    if (isInPlace(layout)) refuseClosedByHand(layout);
    const writableByAll = await findWritable(directory, writer);
    // Before anything moves: recovery recognises an interrupted adoption by this.
    const changed = changeSettings(layout, given);
    const id = changed.mode === 'in-place' ? LIVE : freshId(new Date(), () => false);
    try {
      // Another mirror may have taken it since: the lock is that of this one.
      await refuseNoTree(directory);
      if (id !== LIVE) warnOf(dangerOfEntered(directory), options.onEvent);
      takeIn(layout, lock, directory, id);
    } catch (error) {
      const isUnchanged = error instanceof MirrorlatchError && UNCHANGED.includes(error.code);
      if (isUnchanged) changeSettings(layout, {}, ['adopted']);
      throw error;
    }
    const at = new Date().toISOString();
    if (id === LIVE) {
      markWhole(layout, 'adopt');
    } else {
      makeLease(layout, id);
      const previous = previousId(layout) ?? null;
      announce(layout, lock, 'current', { id, previous, publishedAt: at });
    }
    const adopted = { id, previous: null, source: directory, writableByAll };
    writer.recordPublication({ event: 'published', at, ...adopted });
    warnOfWritable(writer, { writableByAll }, mendByRsync(writer));
    return { layout, settings: changed, wasAdopted: false };
  });
  return result;
}

/** Whoever adopts owns the mirror, and nobody else may sync it. */
function warnOfOwner(directory: string, root: string, onEvent: OnEvent = () => {}): void {
  const owner = Number(lstatIfThere(directory)?.uid);
  const us = process.geteuid?.() ?? owner;
  if (owner === us) return;
  const message = `${directory} belongs to ${userName(owner)}, but the mirror ${root} to ${userName(us)}, who alone can sync it`;
  onEvent({ kind: 'warning', message });
}

function warnOf(message: string | undefined, onEvent: OnEvent = () => {}): void {
  if (message !== undefined) onEvent({ kind: 'warning', message });
}

/** It may be the mount point of a disk that is not mounted. */
function warnOfEmpty(directory: string, root: string, onEvent: OnEvent = () => {}): void {
  if (readdirSync(directory).length > 0) return;
  const message = `${directory} is empty, and so is what readers of the mirror ${root} see until a sync fills it`;
  onEvent({ kind: 'warning', message });
}

/** In place, what is given back is no whole tree if the last sync or lock did not end well. */
function warnOfUnfinished(gate: GateRecord, directory: string, onEvent: OnEvent = () => {}): void {
  if (gate.state !== 'dirty') return;
  const message = `${directory} may be half old, half new: it is not whole: ${printable(gate.reason)} (${showTime(gate.since)})`;
  onEvent({ kind: 'warning', message });
}

/**
 * The exchange is done, but a crash may have cut off what follows it. Or the symlink was moved, and
 * `directory` is where readers find it now.
 */
async function finishAdoption(
  { layout }: Mirror,
  directory: string,
  options: AdoptOptions,
): Promise<Adopted> {
  const failure = `the adoption of ${directory} cannot be finished`;
  const session = { ...sessionOptions(options), command: 'adopt', failure };
  const given = { ...settingsFrom(options.settings), adopted: directory };
  const { result } = await withWriter(layout, session, ({ settings }) => {
    // The one that was being adopted must not be forgotten.
    if (settings.adopted !== directory) refuseHalfAdopted(layout);
    if (!leadsToCurrent(layout, directory)) {
      throw new MirrorlatchError(
        'CONFIGURATION',
        `${directory} does not lead to ${layout.current}`,
        { hint: hintToLink(layout, directory) },
      );
    }
    if (isInPlace(layout) && readGate(layout).by === 'init') markWhole(layout, 'adopt');
    return changeSettings(layout, given);
  });
  return { layout, settings: result, wasAdopted: true };
}

/**
 * Undoes an adoption: what is current now lies at the old path again. The mirror stays, with its
 * older snapshots and nothing current. A directory of `--serve-at` is released, too, if what it is a clone
 * of is given back: nobody could tell any more what was put into it.
 *
 * @throws MirrorlatchError BUSY while what is current is being read, or a person keeps its gate closed.
 */
export async function unadopt(options: UnadoptOptions): Promise<Unadopted> {
  const directory = realPathOf(options.directory);
  const root = options.root ?? rootBehind(directory) ?? `${directory}.mirror`;
  refuseMirrorItself(directory);
  const { layout, settings: found } = openMirror(root);
  // Before the lock, so that a wrong call changes nothing, and under it.
  refuseUnadopted(layout, found, directory);
  const failure = `${directory} cannot be given back`;
  const session = { ...sessionOptions(options), command: 'unadopt', failure };
  const { result } = await withWriter(layout, session, async (writer) => {
    const { lock, before: id, settings, signal } = writer;
    refuseUnadopted(layout, settings, directory);
    if (id !== undefined) refuseMountsWithin(layout.snapshot(id), 'given back');
    if (isInPlace(layout)) warnOfUnfinished(refuseClosedByHand(layout), directory, options.onEvent);
    // Before anything moves: the settings may be locked, or their disk full.
    changeSettings(layout, {});
    // What was put into an earlier clone is known by its snapshot.
    await forgetUnused(layout, writer.policy.retention.graceMs, signal);
    const others = pathsNotOurs(layout);
    const closure = id === undefined ? undefined : closeToGuarded(layout, id);
    let isGone = false;
    try {
      if (id === LIVE && mayHaveRemains(layout)) {
        const remains = await removeRemains({ layout, settings }, writer.inherit, signal);
        const message = `in ${directory}, ${remains}. Remove what nobody needs`;
        if (remains !== undefined) options.onEvent?.({ kind: 'warning', message });
      }
      if (id !== undefined) await giveBack(layout, lock, directory, id);
      if (id !== undefined && id !== LIVE) {
        rmSync(layout.lease(id), { force: true });
        isGone = true;
        appendHistory(layout, { event: 'pruned', at: new Date().toISOString(), id });
      }
    } finally {
      closure?.end(isGone);
    }
    changeSettings(layout, {}, ['adopted', 'hold']);
    if (settings.hold !== undefined) {
      const message = `${layout.root} is no longer held: what it was held at has been given back`;
      options.onEvent?.({ kind: 'notice', message });
    }
    releaseServed(layout, options.onEvent);
    const left = snapshotIds(layout);
    const adopted = idOfAdoption(readHistory(layout));
    const asAdopted = left.find((one) => one === adopted) ?? null;
    return { directory, root: layout.root, left, asAdopted, others };
  });
  return result;
}

/** What the directory is a clone of may have been given back by a call that a crash ended. */
function releaseServed(layout: Layout, onEvent: OnEvent = () => {}): void {
  const served = servedDirectory(layout);
  if (typeof served?.id !== 'string' || lstatIfThere(layout.snapshot(served.id))) return;
  changeSettings(layout, {}, ['serveAt']);
  forgetServed(layout, served.path);
  const message = `${served.path} is no longer served, and stays as it is: what it is a clone of has been given back`;
  onEvent({ kind: 'notice', message });
}

/**
 * Keeps guarded readers out of the tree that is given back. Others go on with it under its old path.
 *
 * @throws MirrorlatchError BUSY while one is inside, by its lease, or by a pin if it has closed that.
 */
function closeToGuarded(layout: Layout, id: string): Closure {
  const closure = closeToReaders(layout, id);
  const isPinned = pathsInUse(layout.snapshot(id)).some(({ pid }) => isPinnedTo(layout.root, pid));
  if (closure !== undefined && !isPinned) return closure;
  closure?.end(false);
  throw new MirrorlatchError('BUSY', `${layout.root} is being read`, {
    hint: `See by which processes with: mirrorlatch list ${quoteForSh(layout.root)}`,
  });
}

/** @throws MirrorlatchError USAGE for a mirror that holds, or is to hold, something else. */
function refuseOtherMirror(
  layout: Layout,
  { adopted, mode }: Settings,
  current: string | undefined,
  wanted: Settings['mode'],
  directory: string,
): void {
  const isOfDirectory = (adopted ?? directory) === directory;
  // A sync may have been interrupted before its first publication.
  const hasTree = lstatIfThere(layout.snapshot(LIVE))?.isDirectory() === true;
  if (current === undefined && !hasTree && isOfDirectory && mode === wanted) return;
  throw new MirrorlatchError('USAGE', `${layout.root} is already a mirror of its own`, {
    hint: `Name another place for the new one: mirrorlatch init ${quoteForSh(placeBeside(directory))} --adopt ${quoteForSh(directory)}`,
  });
}

/** A path where there is nothing yet. */
function placeBeside(directory: string): string {
  for (let number = 2; ; number += 1) {
    const place = `${directory}.mirror${number}`;
    if (!lstatIfThere(place)) return place;
  }
}

/** @throws MirrorlatchError USAGE for the mirror in the place of the directory that it was made of. */
function refuseMirrorItself(path: string): void {
  const adopted = findMirror(path)?.settings.adopted;
  if (adopted === undefined || lstatIfThere(path)?.isSymbolicLink()) return;
  throw new MirrorlatchError('USAGE', `${path} is the mirror that was made of ${adopted}`, {
    hint: `Name that directory: mirrorlatch init --unadopt ${quoteForSh(adopted)}`,
  });
}

/** @throws MirrorlatchError USAGE for a mirror that was not made of the directory. */
function refuseUnadopted(layout: Layout, { adopted }: Settings, directory: string): void {
  if (adopted === directory) return;
  const { root } = layout;
  const isMoved = adopted !== undefined && leadsToCurrent(layout, directory);
  const [mirror, path] = [root, directory].map(quoteForSh);
  throw new MirrorlatchError('USAGE', `${root} was not made of ${directory} by --adopt`, {
    hint: isMoved
      ? `It was made of ${adopted}. If that has moved, say so first with: mirrorlatch init ${mirror} --adopt ${path}`
      : 'There is nothing to undo.',
  });
}

/** Both verbs are the way out of an adoption that was interrupted. */
function sessionOptions({ lock, signal, onEvent }: UnadoptOptions) {
  return { lock, signal, onEvent, settlesAdoption: true };
}

/** The errors after which the directory is what it was. */
const UNCHANGED: readonly string[] = ['USAGE', 'NO_MIRROR', 'CONFIGURATION', 'BUSY'];
