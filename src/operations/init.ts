import { resolve } from 'node:path';
import { asMirrorlatchError, MirrorlatchError } from '../errors.ts';
import { findMirror, type Mirror } from '../mirror/open.ts';
import type { Given, RetentionPolicy, ShrinkPolicy } from '../mirror/policy.ts';
import { prepareServing } from '../mirror/served-directory.ts';
import { changeSettings, type GivenSettings } from '../mirror/settings.ts';
import { parseRsyncOptions } from '../rsync/options.ts';
import { parseSource } from '../rsync/source.ts';
import { createMirror } from '../writer/create.ts';

export interface InitOptions {
  root: string;
  /** As rsync understands it. */
  source?: string | undefined;
  rsyncOptions?: readonly string[] | undefined;
  retention?: Given<RetentionPolicy> | undefined;
  shrink?: Given<Pick<ShrinkPolicy, 'maxPercent'>> | undefined;
  /** A real directory that is to hold what is current too, replaced by exchange. */
  serveAt?: string | undefined;
  /** One tree, written in place behind a gate: for want of room. */
  inPlace?: boolean | undefined;
}

/**
 * Makes a mirror of `root`, or changes the settings of the mirror that is there. Other things in
 * `root` stay, unless one has a name that the mirror needs.
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
    throw new MirrorlatchError('USAGE', '--serve-at cannot be used with an in-place mirror', {
      hint: 'It needs room for a second tree. Leave one of them out.',
    });
  }
  const { layout, settings } =
    found ?? createMirror(root, given, { mayHoldOtherThings: true, mode });
  if (serveAt !== undefined && serveAt !== settings.serveAt) prepareServing(layout, serveAt);
  try {
    return { layout, settings: changeSettings(layout, { ...given, serveAt }) };
  } catch (error) {
    throw asMirrorlatchError(error, `the settings of ${root} cannot be changed`);
  }
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
  retention,
  shrink,
}: Omit<InitOptions, 'root' | 'inPlace'>): GivenSettings {
  return {
    ...retention,
    maxShrinkPercent: shrink?.maxPercent,
    serveAt: serveAt === undefined ? undefined : resolve(serveAt),
    source: source === undefined ? undefined : parseSource(source).argument,
    rsyncOptions: rsyncOptions?.length ? [...parseRsyncOptions(rsyncOptions).args] : undefined,
  };
}
