import { asMirrorlatchError, MirrorlatchError } from '../errors.ts';
import { changedSettings, writeSettings } from '../mirror/settings.ts';
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
  /** One tree, written in place behind a gate: for want of room. */
  inPlace?: boolean | undefined;
}

/**
 * Makes a mirror of `root`, or changes the settings of the one that is there. What else lies in
 * `root` stays, unless it has a name that the mirror needs.
 */
export function init({ root, source, rsyncOptions, inPlace, ...rules }: InitOptions): Mirror {
  const given = {
    ...rules,
    source: source === undefined ? undefined : parseSource(source).argument,
    rsyncOptions: rsyncOptions?.length ? [...parseRsyncOptions(rsyncOptions).args] : undefined,
  };
  const found = findMirror(root);
  if (found === undefined) {
    const mode = inPlace ? 'in-place' : 'snapshots';
    return createMirror(root, given, { mayHoldOtherThings: true, mode });
  }
  if (inPlace && found.settings.mode !== 'in-place') {
    throw new MirrorlatchError('USAGE', `${root} is a mirror with snapshots already`, {
      hint: 'Make another mirror in place, in a directory of its own.',
    });
  }
  const settings = changedSettings(found.settings, given);
  try {
    writeSettings(found.layout, settings);
  } catch (error) {
    throw asMirrorlatchError(error, `the settings of ${root} cannot be changed`);
  }
  return { layout: found.layout, settings };
}
