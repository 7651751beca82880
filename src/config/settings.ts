import type { Configured, SettingsOfFile } from '../mirror/settings/configured.ts';
import { HOOK_PHASES } from '../mirror/settings/policy.ts';
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
  check: 'check',
  checkCommand: 'check-command',
  checkTimeoutMs: 'check-timeout',
  checkExcept: 'check-except',
  checkKeyring: 'check-keyring',
  checkContent: 'check-content',
  channels: 'channels',
} as const satisfies Record<keyof SettingsOfFile, Key>;

/** What the configuration says of a mirror that counts in each command. */
export function configuredSettings({ name, table, places }: ConfiguredMirror): Configured {
  const settings: Record<string, unknown> = {};
  const where: Record<string, string> = {};
  for (const [setting, key] of Object.entries(SETTINGS)) {
    const place = places.get(key);
    if (place === undefined) continue;
    settings[setting] = table[key];
    where[setting] = `${key} (${showPlace(place)})`;
  }
  for (const phase of HOOK_PHASES) {
    const place = places.get(phase);
    if (place !== undefined) where[phase] = `${phase} (${showPlace(place)})`;
  }
  const commands = Object.fromEntries(HOOK_PHASES.map((phase) => [phase, table[phase]]));
  const hooks = { commands, timeoutMs: table['hook-timeout'] };
  return { name, settings: settings as SettingsOfFile, hooks, where };
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
