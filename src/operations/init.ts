import { resolve } from 'node:path';
import { asMirrorlatchError, MirrorlatchError } from '../errors.ts';
import { type Layout, layoutOf } from '../mirror/layout.ts';
import { commandThere, findMirror, type Mirror, refuseOptionsInPlace } from '../mirror/open.ts';
import {
  optionLimits,
  refuseMirrorAsSource,
  refuseOverlap,
  refuseServedOverlap,
} from '../mirror/plan/preflight.ts';
import { forgetServed, markServed, refuseUnservable } from '../mirror/served/served-claim.ts';
import type { Settings } from '../mirror/settings/records.ts';
import {
  changeSettings,
  type GivenSettings,
  rememberedBy,
  type SettingsOptions,
  settingsFrom,
} from '../mirror/settings/settings.ts';
import { checkOptions } from '../rsync/option-files.ts';
import { destinationIn, parseSource } from '../rsync/source.ts';
import { lstatIfThere, realPathToBe } from '../system/files.ts';
import { quoteForSh } from '../system/quote.ts';
import { createMirror, otherMode } from '../writer/create.ts';

export interface InitOptions extends SettingsOptions {
  root: string;
  /** One tree, written in place behind a gate: for want of room. */
  inPlace?: boolean | undefined;
  /** Serve no directory any more. The one that was served stays as it is. */
  noServeAt?: boolean | undefined;
}

export interface InitResult extends Mirror {
  isNew: boolean;
  /** The directory that was kept equal to the current snapshot, and is not any more. */
  released?: string | undefined;
  /** The source that the mirror remembered, if this call has replaced it. */
  replacedSource?: string | undefined;
  /** The options of rsync that the mirror remembered, if this call has replaced them. */
  replacedOptions: readonly string[];
}

/**
 * Makes a mirror of `root`, or changes the settings of the mirror that is there. Other things in
 * `root` stay, unless one has a name that the mirror needs.
 */
export function init({ root, inPlace, noServeAt = false, ...rules }: InitOptions): InitResult {
  const { serveAt, ...given } = settingsFrom(rules);
  const found = findMirror(root);
  if (found === undefined) refuseOtherHost(root);
  if (given.source !== undefined) refuseUnfitSource(given.source, root);
  const mode = inPlace ? 'in-place' : (found?.settings.mode ?? 'snapshots');
  if (found !== undefined && found.settings.mode !== mode) {
    throw otherMode(root, found.settings.mode);
  }
  const place = found?.layout ?? layoutOf(realPathToBe(resolve(root)));
  refuseUnfitOptions(place, mode, found?.settings, { ...given, serveAt });
  const isNewlyServed = serveAt !== undefined && serveAt !== found?.settings.serveAt;
  if (isNewlyServed) refuseUnservable(place, mode, serveAt);
  if (!noServeAt) refuseServedSource(found?.settings, { ...given, serveAt }, root);
  const { layout, settings } =
    found ?? createMirror(root, given, { mayHoldOtherThings: true, mode });
  if (isNewlyServed) markServed(layout, serveAt);
  const isReplaced = noServeAt || isNewlyServed;
  try {
    const changed = changeSettings(layout, { ...given, serveAt }, noServeAt ? ['serveAt'] : []);
    if (isReplaced && settings.serveAt !== undefined) forgetServed(layout, settings.serveAt);
    const replacedOptions = given.rsyncOptions && found ? rememberedBy(settings).rsyncOptions : [];
    const { serveAt: before } = settings;
    const isThere = before !== undefined && lstatIfThere(before) !== undefined;
    const released = isReplaced && isThere ? before : undefined;
    const replacedSource = given.source && found && rememberedBy(settings).source;
    const isNew = found === undefined;
    return { layout, settings: changed, isNew, released, replacedSource, replacedOptions };
  } catch (error) {
    throw asMirrorlatchError(error, `the settings of ${root} cannot be changed`);
  }
}

/**
 * Refuses the options that each sync would refuse, before they replace others that serve.
 *
 * @param found the settings of the mirror, if there is one.
 * @throws MirrorlatchError USAGE
 */
export function refuseUnfitOptions(
  layout: Layout,
  mode: Settings['mode'],
  found: Settings | undefined,
  given: GivenSettings,
): void {
  const { rsyncOptions = [], source, serveAt, adopted } = given;
  if (mode === 'in-place') {
    refuseOptionsInPlace(
      {
        '--keep-last': given.keepLast !== undefined,
        '--keep-hourly': given.keepHourly !== undefined,
        '--keep-daily': given.keepDaily !== undefined,
        '--keep-weekly': given.keepWeekly !== undefined,
        '--keep-monthly': given.keepMonthly !== undefined,
        '--keep-yearly': given.keepYearly !== undefined,
        '--keep-tag': given.keepTags !== undefined,
        '--keep-within': given.keepWithinMs !== undefined,
        '--grace': given.graceMs !== undefined,
        '--channel': given.channels !== undefined,
      },
      'It has one tree, and no older ones to keep. Leave it out.',
    );
  }
  const named = source ?? (found && rememberedBy(found).source);
  const places = {
    mode,
    serveAt: serveAt ?? found?.serveAt,
    adopted: adopted ?? found?.adopted,
  };
  const limits = optionLimits(layout, places, named === undefined ? undefined : parseSource(named));
  checkOptions(rsyncOptions, limits);
}

/** As a sync would, but before anything is made. */
function refuseServedSource(
  settings: Settings | undefined,
  given: GivenSettings,
  root: string,
): void {
  const serveAt = given.serveAt ?? settings?.serveAt;
  const source = given.source ?? (settings && rememberedBy(settings).source);
  const parsed = source === undefined ? undefined : parseSource(source);
  if (serveAt === undefined || parsed?.kind !== 'local') return;
  refuseServedOverlap(realPathToBe(parsed.path), root, serveAt);
}

/** @throws MirrorlatchError USAGE for what rsync reads as a path on another host. */
function refuseOtherHost(root: string): void {
  const destination = destinationIn(root);
  if (destination === undefined) return;
  throw new MirrorlatchError(
    'USAGE',
    `a mirror is made on its own host, and ${root} is on another`,
    {
      hint:
        destination === 'server'
          ? `If it is the source, name a directory for the mirror: mirrorlatch init ROOT --source ${quoteForSh(root)}`
          : `Make it there: ${commandThere(destination, ['init', destination.root])}. A directory here of that name is written ${quoteForSh(`./${root}`)}`,
    },
  );
}

/** A source of its own tree would make a mirror that contains itself. */
function refuseUnfitSource(source: string, root: string): void {
  const parsed = parseSource(source);
  if (parsed.kind !== 'local') return;
  const path = realPathToBe(parsed.path);
  refuseOverlap(path, realPathToBe(resolve(root)));
  refuseMirrorAsSource(path, root);
}
