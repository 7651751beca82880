import type { Configured, SettingsOfFile } from '../mirror/settings/configured.ts';
import type { ConfiguredMirror } from './configuration.ts';
import type { Key } from './schema.ts';
import { showPlace } from './toml.ts';

/** The keys that are settings of a mirror; all others are options of a command. */
export const SETTINGS = {
  source: 'source',
  rsyncOptions: 'rsync-options',
  keepLast: 'keep-last',
  keepHourly: 'keep-hourly',
  keepDaily: 'keep-daily',
  keepWeekly: 'keep-weekly',
  keepMonthly: 'keep-monthly',
  keepYearly: 'keep-yearly',
  keepTags: 'keep-tag',
  keepWithinMs: 'keep-within',
  graceMs: 'grace',
  maxShrinkPercent: 'max-shrink',
  maxShrinkPercentIn: 'max-shrink-in',
  probe: 'probe',
  probeMaxAgeMs: 'probe-max-age',
  busyWhen: 'busy-when',
  fileList: 'file-list',
  channels: 'channels',
} as const satisfies Record<keyof SettingsOfFile, Key>;

/** The settings among what the configuration says of a mirror. */
export function configuredSettings({ table, places }: ConfiguredMirror): Configured {
  const settings: Record<string, unknown> = {};
  const where: Record<string, string> = {};
  for (const [setting, key] of Object.entries(SETTINGS)) {
    const place = places.get(key);
    if (place === undefined) continue;
    settings[setting] = table[key];
    where[setting] = `${key} (${showPlace(place)})`;
  }
  return { settings: settings as SettingsOfFile, where };
}

/** What the configuration says of the options of commands, by the names that commander has for them. */
export function configuredFlags({ table }: ConfiguredMirror): Readonly<Record<string, unknown>> {
  const settings: readonly Key[] = Object.values(SETTINGS);
  const pairs = Object.entries(table).filter(([key]) => !settings.includes(key as Key));
  return Object.fromEntries(pairs.map(([key, value]) => [camelCase(key), value]));
}

function camelCase(key: string): string {
  return key.replaceAll(/-(.)/g, (_, letter: string) => letter.toUpperCase());
}
