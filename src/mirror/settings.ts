import { MirrorlatchError } from '../errors.ts';
import { readTextIfThere, writeWhole } from '../system/files.ts';
import type { Layout } from './layout.ts';
import { checkSettings, parseJson, type Settings } from './records.ts';

/** What `init` and the first sync may set; undefined stands for the default. */
export type GivenSettings = {
  [Name in keyof Omit<Settings, 'format' | 'mode'>]?: Settings[Name] | undefined;
};

/** @throws MirrorlatchError USAGE for a value out of its range. */
export function newSettings(given: GivenSettings, mode: Settings['mode'] = 'snapshots'): Settings {
  const checked = checkSettings({ ...definedOf(given), format: 1, mode });
  if ('record' in checked) return checked.record;
  throw new MirrorlatchError('USAGE', `these settings do not go: ${checked.problem}`);
}

/** `settings` with what is given in place of what was. */
export function changedSettings(settings: Settings, given: GivenSettings): Settings {
  return newSettings({ ...settings, ...definedOf(given) }, settings.mode);
}

/** The mirror's settings, or undefined when there is no mirror in `layout.root`. */
export function readSettings(layout: Layout): Settings | undefined {
  const text = readTextIfThere(layout.settings);
  if (text === undefined) return undefined;
  const checked = checkSettings(parseJson(text));
  if ('record' in checked) return checked.record;
  throw new MirrorlatchError(
    'CONFIGURATION',
    `${layout.settings} is not a mirror's settings: ${checked.problem}`,
    { hint: 'Mend the file, or move it away and run: mirrorlatch init ROOT' },
  );
}

export function writeSettings(layout: Layout, settings: Settings): void {
  writeWhole(layout.settings, `${JSON.stringify(settings, undefined, 2)}\n`);
}

function definedOf(given: GivenSettings): GivenSettings {
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}
