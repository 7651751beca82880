import {
  DEFAULT_CHECK,
  DEFAULT_DRAIN,
  DEFAULT_HOOKS,
  DEFAULT_LOCK,
  DEFAULT_PROBE,
  DEFAULT_RETRY,
} from '../mirror/settings/policy.ts';
import type { Settings } from '../mirror/settings/records.ts';
import type { ConfiguredMirror } from './configuration.ts';
import { isDuration, KEYS, type Key } from './schema.ts';
import { SETTINGS } from './settings.ts';
import { showPlace } from './toml.ts';
import { showDuration } from './values.ts';

/** A key of the configuration, as it counts for a mirror. */
export interface KeyInForce {
  readonly key: Key;
  /** As it is written in the file. */
  readonly value: string;
  /** A file and its line, the path of `mirror.json`, or null for what mirrorlatch does by itself. */
  readonly from: string | null;
}

/** Those that `mirror.json` may leave out. */
const DEFAULTS: Partial<Record<Key, unknown>> = {
  probe: DEFAULT_PROBE.paths,
  'probe-max-age': DEFAULT_PROBE.maxAgeMs,
  'busy-when': DEFAULT_PROBE.busyWhen,
  wait: DEFAULT_LOCK.waitMs,
  'stale-after': DEFAULT_LOCK.staleAfterMs,
  retries: DEFAULT_RETRY.retries,
  'retry-delay': DEFAULT_RETRY.delayMs,
  drain: DEFAULT_DRAIN.drainMs,
  'after-drain': DEFAULT_DRAIN.afterDrain,
  'check-timeout': DEFAULT_CHECK.timeoutMs,
  'hook-timeout': DEFAULT_HOOKS.timeoutMs,
};

/**
 * What counts for a mirror, by key.
 *
 * @param configured undefined for a mirror that the configuration does not name.
 * @param recorded what `mirror.json` says; undefined if there is no mirror yet.
 */
export function keysInForce(
  configured: ConfiguredMirror | undefined,
  recorded: { settings: Settings; path: string } | undefined,
): KeyInForce[] {
  return KEYS.flatMap((key): KeyInForce[] => {
    const place = configured?.places.get(key);
    if (place !== undefined)
      return [{ key, value: asToml(key, configured?.table[key]), from: showPlace(place) }];
    const known = recorded && recordedValue(recorded.settings, key);
    if (known !== undefined)
      return [{ key, value: asToml(key, known), from: recorded?.path ?? null }];
    return key in DEFAULTS ? [{ key, value: asToml(key, DEFAULTS[key]), from: null }] : [];
  });
}

function recordedValue(settings: Settings, key: Key): unknown {
  if (key === 'in-place') return settings.mode === 'in-place' || undefined;
  if (key === 'serve-at') return settings.serveAt;
  const [name] = Object.entries(SETTINGS).find(([, ours]) => ours === key) ?? [];
  const value = name === undefined ? undefined : settings[name as keyof typeof SETTINGS];
  return Array.isArray(value) && value.length === 0 ? undefined : value;
}

/** The table of a mirror that says all that `mirror.json` does, as lines of a file. */
export function tableOf(name: string, root: string, settings: Settings, path: string): string[] {
  const keys = keysInForce(undefined, { settings, path }).filter(({ from }) => from !== null);
  return [
    `[mirrors.${name}]`,
    `root = ${asToml('root', root)}`,
    ...keys.map(({ key, value }) => `${key} = ${value}`),
  ];
}

function asToml(key: Key, value: unknown): string {
  if (typeof value === 'number' && isDuration(key)) return quoted(showDuration(value));
  if (Array.isArray(value)) return `[${value.map((item) => quoted(String(item))).join(', ')}]`;
  if (typeof value === 'object' && value !== null) {
    const pairs = Object.entries(value).map(([name, inner]) => `${quoted(name)} = ${inner}`);
    return `{ ${pairs.join(', ')} }`;
  }
  return typeof value === 'string' ? quoted(value) : String(value);
}

/** A string as TOML has it: one of JSON, with DEL escaped, too. */
export function quoted(text: string): string {
  return JSON.stringify(text).replaceAll('\u007f', '\\u007f');
}
