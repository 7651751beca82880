import { asMirrorlatchError, MirrorlatchError } from '../errors.ts';
import { findMirror, type Mirror } from '../mirror/open.ts';
import { prepareServing } from '../mirror/served-directory.ts';
import {
  changeSettings,
  rememberedBy,
  type SettingsOptions,
  settingsFrom,
} from '../mirror/settings.ts';
import { createMirror, otherMode } from '../writer/create.ts';

export interface InitOptions extends SettingsOptions {
  root: string;
  /** One tree, written in place behind a gate: for want of room. */
  inPlace?: boolean | undefined;
}

export interface InitResult extends Mirror {
  /** The options of rsync that the mirror remembered, if this call has replaced them. */
  replacedOptions: readonly string[];
}

/**
 * Makes a mirror of `root`, or changes the settings of the mirror that is there. Other things in
 * `root` stay, unless one has a name that the mirror needs.
 */
export function init({ root, inPlace, ...rules }: InitOptions): InitResult {
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
    const replacedOptions = given.rsyncOptions && found ? rememberedBy(settings).rsyncOptions : [];
    return { layout, settings: changeSettings(layout, { ...given, serveAt }), replacedOptions };
  } catch (error) {
    throw asMirrorlatchError(error, `the settings of ${root} cannot be changed`);
  }
}
