import { closeSync, openSync } from 'node:fs';
import { MirrorlatchError } from '../errors.ts';
import { readTextIfThere, writeWhole } from '../system/files.ts';
import { waitForFlock } from '../system/flock.ts';
import type { Layout } from './layout.ts';
import { checkSettings, parseJson, type Settings } from './records.ts';

/** What `init` and the first sync may set; undefined stands for what was set before. */
export type GivenSettings = {
  [Name in keyof Omit<Settings, 'format' | 'mode'>]?: Settings[Name] | undefined;
};

/** Those that a mirror can do without. */
type OptionalSetting = 'source' | 'keepWithinMs' | 'adopted' | 'serveAt';

/** How long another process may take to change the settings; s. */
const PATIENCE_S = 10;

/** @throws MirrorlatchError USAGE for a value out of its range. */
export function newSettings(given: GivenSettings, mode: Settings['mode'] = 'snapshots'): Settings {
  const checked = checkSettings({ ...definedOf(given), format: 1, mode });
  if ('record' in checked) return checked.record;
  throw new MirrorlatchError('USAGE', `invalid settings: ${checked.problem}`);
}

/** The mirror's settings, or undefined when there is no mirror in `layout.root`. */
export function readSettings(layout: Layout): Settings | undefined {
  const text = readTextIfThere(layout.settings);
  if (text === undefined) return undefined;
  const checked = checkSettings(parseJson(text));
  if ('record' in checked) return checked.record;
  throw new MirrorlatchError(
    'CONFIGURATION',
    `${layout.settings} does not hold the settings of a mirror: ${checked.problem}`,
    { hint: 'Mend the file, or move it away and run: mirrorlatch init ROOT' },
  );
}

/** Writes the settings of a new mirror. */
export function writeSettings(layout: Layout, settings: Settings): void {
  writeWhole(layout.settings, `${JSON.stringify(settings, undefined, 2)}\n`);
}

/**
 * Changes what is given and leaves the rest as it is on the disk at this moment. The settings have a
 * lock of their own, so that a change is neither lost to a writer that remembers its source nor has
 * to wait for a sync that takes hours.
 *
 * @param forgotten settings to drop.
 * @returns the settings as they are now.
 * @throws MirrorlatchError USAGE for a value out of its range, BUSY when the lock stays held.
 */
export function changeSettings(
  layout: Layout,
  given: GivenSettings,
  forgotten: readonly OptionalSetting[] = [],
): Settings {
  // For its owner alone: a stranger who may open the file could hold the lock for ever.
  const descriptor = openSync(layout.settingsLock, 'a', 0o600);
  try {
    if (waitForFlock(descriptor, 'exclusive', PATIENCE_S) === 'held') {
      throw new MirrorlatchError('BUSY', `the settings of ${layout.root} are being changed`, {
        hint: `Try again in a moment. See which process has ${layout.settingsLock} open if this lasts.`,
      });
    }
    const before = readSettings(layout);
    if (before === undefined) {
      throw new MirrorlatchError('NO_MIRROR', `there is no mirror in ${layout.root} any more`);
    }
    const changed = { ...before, ...definedOf(given) };
    for (const name of forgotten) delete changed[name];
    const settings = newSettings(changed, before.mode);
    writeSettings(layout, settings);
    return settings;
  } finally {
    closeSync(descriptor);
  }
}

function definedOf(given: GivenSettings): GivenSettings {
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}
