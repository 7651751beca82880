import { z } from 'zod';
import { MirrorlatchError } from '../errors.ts';
import { readTextIfThere, writeWhole } from '../system/files.ts';
import type { Layout } from './layout.ts';

const DEFAULTS = {
  keepLast: 3,
  graceMs: 24 * 60 * 60 * 1000,
  maxShrinkPercent: 30,
};

/** `.mirrorlatch/mirror.json`: what `init` or the first sync said, for all the syncs after it. */
const Settings = z.strictObject({
  format: z.literal(1),
  mode: z.literal('snapshots'),
  /** As rsync understands it, with a trailing slash. */
  source: z.string().optional(),
  rsyncOptions: z.array(z.string()).default([]),
  /** Snapshots that stay, counted from the newest, `current` included. */
  keepLast: z.int().min(1).default(DEFAULTS.keepLast),
  /** Snapshots younger than this stay too; ms. */
  keepWithinMs: z.int().min(0).optional(),
  /** How long a snapshot stays after it stopped being current; ms. */
  graceMs: z.int().min(0).default(DEFAULTS.graceMs),
  /** Share of files or bytes that may vanish in one sync; percent. */
  maxShrinkPercent: z.number().min(0).max(100).default(DEFAULTS.maxShrinkPercent),
});

export type Settings = z.infer<typeof Settings>;

/** What `init` and the first sync may set; undefined stands for the default. */
export type GivenSettings = {
  [Name in keyof Omit<Settings, 'format' | 'mode'>]?: Settings[Name] | undefined;
};

/** @throws MirrorlatchError USAGE for a value out of its range. */
export function newSettings(given: GivenSettings): Settings {
  const parsed = Settings.safeParse({ ...given, format: 1, mode: 'snapshots' });
  if (parsed.success) return parsed.data;
  throw new MirrorlatchError('USAGE', `these settings do not go: ${problems(parsed.error)}`);
}

/** `given` without what is undefined. */
export function definedOf(given: GivenSettings): GivenSettings {
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

/** The mirror's settings, or undefined when there is no mirror in `layout.root`. */
export function readSettings(layout: Layout): Settings | undefined {
  const text = readTextIfThere(layout.settings);
  if (text === undefined) return undefined;
  const parsed = Settings.safeParse(parseJson(text));
  if (parsed.success) return parsed.data;
  throw new MirrorlatchError(
    'CONFIGURATION',
    `${layout.settings} is not a mirror's settings: ${problems(parsed.error)}`,
    { hint: 'Mend the file, or move it away and run: mirrorlatch init ROOT' },
  );
}

export function writeSettings(layout: Layout, settings: Settings): void {
  writeWhole(layout.settings, `${JSON.stringify(settings, undefined, 2)}\n`);
}

function problems(error: z.ZodError): string {
  return z.prettifyError(error).replaceAll('\n', ' ');
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
