import { realpathSync, rmSync } from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { asMirrorlatchError, MirrorlatchError } from '../errors.ts';
import { giveBack, rootBehind, takeIn } from '../mirror/adoption.ts';
import { isInPlace, markWhole, readGate } from '../mirror/gate.ts';
import { appendHistory } from '../mirror/history.ts';
import { LIVE } from '../mirror/layout.ts';
import { currentId, makeLease } from '../mirror/publication.ts';
import { countLeases } from '../mirror/readers.ts';
import type { Settings } from '../mirror/records.ts';
import { recover, snapshotIds } from '../mirror/recovery.ts';
import { changedSettings, writeSettings } from '../mirror/settings.ts';
import { freshId } from '../mirror/snapshot-id.ts';
import { acquireSyncLock } from '../mirror/sync-lock.ts';
import { ifThere, lstatIfThere, readlinkIfThere } from '../system/files.ts';
import { mountOf } from '../system/mounts.ts';
import { pathsInUse, processName } from '../system/proc.ts';
import { checkedSettings, type InitOptions } from './init.ts';
import { createMirror, findMirror, type Mirror, openMirror } from './mirror.ts';
import { realPathToBe } from './sync/work.ts';

export interface AdoptOptions {
  /** The directory that readers use and keep using: it becomes a symlink. */
  directory: string;
  /** Where the mirror is made; by default beside the directory, as `NAME.mirror`. */
  root?: string | undefined;
  mode: Settings['mode'];
  settings: Omit<InitOptions, 'root' | 'inPlace'>;
  signal?: AbortSignal | undefined;
}

/**
 * Turns the target of an rsync into a mirror without copying a byte: its tree becomes the first
 * snapshot, or the tree of a mirror in place, and a symlink to `current` takes its old path.
 *
 * Doing it again finishes what a crash left, and does nothing else.
 *
 * @throws MirrorlatchError when the directory cannot be adopted; it is as it was then.
 */
export async function adopt(options: AdoptOptions): Promise<Mirror> {
  const directory = realPathOf(options.directory);
  const root = realPathToBe(resolve(options.root ?? `${directory}.mirror`));
  const found = findMirror(root);
  if (found?.settings.adopted === directory && !lstatIfThere(directory)?.isDirectory()) {
    return finishAdoption(found, directory, options.signal);
  }
  checkAdoptable(directory, root);
  const given = { ...checkedSettings(options.settings), adopted: directory };
  const { layout, settings: before } = found ?? createMirror(root, given, { mode: options.mode });
  const lock = await acquireSyncLock(layout, { command: 'adopt', signal: options.signal });
  try {
    await recover(layout, lock);
    if (
      currentId(layout) !== undefined ||
      (before.adopted ?? directory) !== directory ||
      before.mode !== options.mode
    ) {
      throw new MirrorlatchError('USAGE', `${layout.root} is a mirror of its own already`, {
        hint: 'Name another place for the new one: mirrorlatch init ROOT --adopt DIR',
      });
    }
    const settings = changedSettings(before, given);
    // Before anything moves: by this a crash is found and mended.
    writeSettings(layout, settings);
    const id = settings.mode === 'in-place' ? LIVE : freshId(new Date(), () => false);
    takeIn(layout, lock, directory, id);
    if (id === LIVE) markWhole(layout, 'adopt');
    else makeLease(layout, id);
    const at = new Date().toISOString();
    appendHistory(layout, { event: 'published', at, id, previous: null, source: directory });
    return { layout, settings };
  } catch (error) {
    throw asMirrorlatchError(lock.causeOf(error), `${directory} cannot be adopted`);
  } finally {
    await lock.release();
  }
}

/** The tree lies in the mirror already: what follows the exchange may be missing. */
async function finishAdoption(
  mirror: Mirror,
  directory: string,
  signal: AbortSignal | undefined,
): Promise<Mirror> {
  const { layout } = mirror;
  const lock = await acquireSyncLock(layout, { command: 'adopt', signal });
  try {
    await recover(layout, lock);
    const link = readlinkIfThere(directory);
    if (link === undefined || resolve(dirname(directory), link) !== layout.current) {
      throw new MirrorlatchError(
        'CONFIGURATION',
        `${directory} does not lead to ${layout.current}`,
        {
          hint: `Move it away, and make it again: ln -s ${layout.current} ${directory}`,
        },
      );
    }
    if (isInPlace(layout) && readGate(layout).by === 'init') markWhole(layout, 'adopt');
    return mirror;
  } catch (error) {
    throw asMirrorlatchError(
      lock.causeOf(error),
      `the adoption of ${directory} cannot be finished`,
    );
  } finally {
    await lock.release();
  }
}

/**
 * Undoes it: what is current now lies at the old path again. The mirror stays, with its older
 * snapshots and nothing current.
 *
 * @returns the directory, and the ids of the snapshots that stay in the mirror.
 * @throws MirrorlatchError BUSY while somebody reads what is current.
 */
export async function unadopt({
  root,
  signal,
  ...options
}: Pick<AdoptOptions, 'directory' | 'root' | 'signal'>): Promise<{
  directory: string;
  root: string;
  left: string[];
}> {
  const directory = realPathOf(options.directory);
  const { layout, settings } = openMirror(root ?? rootBehind(directory) ?? `${directory}.mirror`);
  const { adopted, ...others } = settings;
  if (adopted !== directory) {
    throw new MirrorlatchError('USAGE', `${layout.root} was not made of ${directory} by --adopt`, {
      hint: 'There is nothing to undo.',
    });
  }
  const lock = await acquireSyncLock(layout, { command: 'unadopt', signal });
  try {
    await recover(layout, lock);
    const id = currentId(layout);
    if (id !== undefined && countLeases(layout, id) > 0) {
      throw new MirrorlatchError('BUSY', `${layout.root} is being read`, {
        hint: 'See by whom with: mirrorlatch list ROOT',
      });
    }
    if (id !== undefined) {
      await giveBack(layout, lock, directory, id);
      if (id !== LIVE) {
        rmSync(layout.lease(id), { force: true });
        appendHistory(layout, { event: 'pruned', at: new Date().toISOString(), id });
      }
    }
    writeSettings(layout, changedSettings(others, {}));
    return { directory, root: layout.root, left: snapshotIds(layout) };
  } catch (error) {
    throw asMirrorlatchError(lock.causeOf(error), `${directory} cannot be given back`);
  } finally {
    await lock.release();
  }
}

/** The directory itself may be a symlink already: that is refused later, by name. */
function realPathOf(directory: string): string {
  const path = resolve(directory);
  const parent = ifThere(() => realpathSync(dirname(path)));
  if (parent === undefined || path === '/') throw noDirectory(path);
  return join(parent, basename(path));
}

function checkAdoptable(directory: string, root: string): void {
  const found = lstatIfThere(directory);
  if (found === undefined) throw noDirectory(directory);
  const problem = problemWith(directory, root, found.isDirectory());
  if (problem === undefined) return;
  throw new MirrorlatchError('USAGE', `${directory} cannot be adopted: ${problem}`, {
    hint: 'Name the directory that rsync writes to, and where the mirror shall be: mirrorlatch init ROOT --adopt DIR',
  });
}

function problemWith(directory: string, root: string, isDirectory: boolean): string | undefined {
  if (!isDirectory) return 'it is no directory';
  if (lstatIfThere(join(directory, '.mirrorlatch'))) return 'it is a mirror already';
  const inside = (path: string, other: string) => !relative(other, path).startsWith('..');
  if (inside(root, directory) || inside(directory, root)) return `${root} and it lie in each other`;
  const mount = mountOf(directory);
  if (mount?.mountPoint === directory) return 'it is a mount point, which cannot be renamed';
  const nearest = nearestDirectory(root);
  if (lstatIfThere(nearest)?.dev !== lstatIfThere(directory)?.dev) {
    return `${root} lies on another filesystem`;
  }
  const writer = pathsInUse(directory).find(({ pid }) => processName(pid) === 'rsync');
  return writer && `an rsync is at work in it (pid ${writer.pid})`;
}

function nearestDirectory(path: string): string {
  return lstatIfThere(path)?.isDirectory() ? path : nearestDirectory(dirname(path));
}

function noDirectory(path: string): MirrorlatchError {
  return new MirrorlatchError('NO_MIRROR', `there is no directory ${path}`);
}
