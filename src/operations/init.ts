import { asMirrorlatchError, MirrorlatchError } from '../errors.ts';
import { findMirror, type Mirror } from '../mirror/open.ts';
import { prepareServing } from '../mirror/served-directory.ts';
import { changeSettings, type SettingsOptions, settingsFrom } from '../mirror/settings.ts';
import { createMirror, otherMode } from '../writer/create.ts';

export interface InitOptions extends SettingsOptions {
  root: string;
  /** One tree, written in place behind a gate: for want of room. */
  inPlace?: boolean | undefined;
}

/**
 * Makes a mirror of `root`, or changes the settings of the mirror that is there. Other things in
 * `root` stay, unless one has a name that the mirror needs.
 */
export function init({ root, inPlace, ...rules }: InitOptions): Mirror {
  const { serveAt, ...given } = settingsFrom(rules);
  const found = findMirror(root);
  const mode = inPlace ? 'in-place' : (found?.settings.mode ?? 'snapshots');
  if (found !== undefined && found.settings.mode !== mode) {
    throw otherMode(root, found.settings.mode);
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
