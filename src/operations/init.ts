import { resolve } from 'node:path';
import { asMirrorlatchError, MirrorlatchError } from '../errors.ts';
import { prepareServing } from '../mirror/served-directory.ts';
import { changedSettings, type GivenSettings, writeSettings } from '../mirror/settings.ts';
import { parseRsyncOptions } from '../rsync/options.ts';
import { parseSource } from '../rsync/source.ts';
import { createMirror, findMirror, type Mirror } from './mirror.ts';

export interface InitOptions {
  root: string;
  /** As rsync understands it. */
  source?: string | undefined;
  rsyncOptions?: readonly string[] | undefined;
  keepLast?: number | undefined;
  keepWithinMs?: number | undefined;
  graceMs?: number | undefined;
  maxShrinkPercent?: number | undefined;
  /** A real directory that is to hold what is current too, replaced by exchange. */
  serveAt?: string | undefined;
  /** One tree, written in place behind a gate: for want of room. */
  inPlace?: boolean | undefined;
}

/**
 * Makes a mirror of `root`, or changes the settings of the one that is there. What else lies in
 * `root` stays, unless it has a name that the mirror needs.
 */
export function init({ root, inPlace, ...rules }: InitOptions): Mirror {
  const { serveAt, ...given } = checkedSettings(rules);
  const found = findMirror(root);
  const mode = inPlace ? 'in-place' : (found?.settings.mode ?? 'snapshots');
  if (found !== undefined && found.settings.mode !== mode) {
    throw new MirrorlatchError('USAGE', `${root} is a mirror with snapshots already`, {
      hint: 'Make another mirror in place, in a directory of its own.',
    });
  }
  if (serveAt !== undefined && mode === 'in-place') {
    throw new MirrorlatchError('USAGE', '--serve-at does not go with a mirror in place', {
      hint: 'It needs room for a second tree. Leave one of them out.',
    });
  }
  const { layout, settings } =
    found ?? createMirror(root, given, { mayHoldOtherThings: true, mode });
  if (serveAt !== undefined && serveAt !== settings.serveAt) prepareServing(layout, serveAt);
  const wanted = changedSettings(settings, { ...given, serveAt });
  try {
    writeSettings(layout, wanted);
  } catch (error) {
    throw asMirrorlatchError(error, `the settings of ${root} cannot be changed`);
  }
  return { layout, settings: wanted };
}

/**
 * The settings as they are kept.
 *
 * @throws MirrorlatchError USAGE when rsync would not understand them, or must not.
 */
export function checkedSettings({
  source,
  rsyncOptions,
  serveAt,
  ...rules
}: Omit<InitOptions, 'root' | 'inPlace'>): GivenSettings {
  return {
    ...rules,
    serveAt: serveAt === undefined ? undefined : resolve(serveAt),
    source: source === undefined ? undefined : parseSource(source).argument,
    rsyncOptions: rsyncOptions?.length ? [...parseRsyncOptions(rsyncOptions).args] : undefined,
  };
}
