import { closeSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { MirrorlatchError } from '../../errors.ts';
import { joinOptions } from '../../rsync/join-options.ts';
import { withAbsoluteFiles } from '../../rsync/option-files.ts';
import { parseSource } from '../../rsync/source.ts';
import {
  lstatIfThere,
  otherThing,
  readTextIfThere,
  realPathToBe,
  writeWhole,
} from '../../system/files.ts';
import { waitForFlock } from '../../system/flock.ts';
import { quoteForSh } from '../../system/quote.ts';
import { joinRules } from '../channels/channel-rules.ts';
import type { Layout } from '../layout.ts';
import { openOwnersLock } from '../locks/owners-lock.ts';
import { refuseOtherOwner } from '../locks/ownership.ts';
import { printable } from '../names.ts';
import { fillReserve, withReserve } from '../reserve.ts';
import { showTime } from '../units.ts';
import { configuredFor } from './configured.ts';
import {
  type ChannelRule,
  type CheckPolicy,
  type Given,
  type ProbePolicy,
  type RetentionPolicy,
  rulesIn,
  type ShrinkPolicy,
} from './policy.ts';
import { checkGroups } from './policy-rules.ts';
import { checkSettings, parseJson, type Settings } from './records.ts';

/** What `init` and the first sync may set. Settings that are undefined stay as they are. */
export type GivenSettings = {
  [Name in keyof Omit<Settings, 'format' | 'mode' | 'channels'>]?: Settings[Name] | undefined;
} & { channels?: GivenRules | undefined };

/** The rules of some channels; null ends one. */
export type GivenRules = Readonly<Record<string, ChannelRule | null>>;

/** Settings that can be dropped. */
type OptionalSetting = 'source' | 'keepWithinMs' | 'adopted' | 'serveAt' | 'hold';

/** How long to wait for another process that is changing the settings; s. */
const PATIENCE_S = 10;

/** What a caller says of the settings. */
export interface SettingsOptions {
  /** As rsync understands it. */
  source?: string | undefined;
  rsyncOptions?: readonly string[] | undefined;
  retention?: Given<RetentionPolicy> | undefined;
  shrink?: Given<Pick<ShrinkPolicy, 'maxPercent' | 'maxPercentIn'>> | undefined;
  probe?: Given<ProbePolicy> | undefined;
  check?: Given<Omit<CheckPolicy, 'publishesAnyway'>> | undefined;
  channels?: GivenRules | undefined;
  /** A real directory that is to hold what is current, too, replaced by exchange. */
  serveAt?: string | undefined;
}

/**
 * The settings as they are kept.
 *
 * @throws MirrorlatchError USAGE for a source or options that rsync must not get, or a rule out of range.
 */
export function settingsFrom({
  source,
  rsyncOptions,
  retention,
  shrink,
  probe,
  check,
  channels,
  serveAt,
}: SettingsOptions): GivenSettings {
  checkGroups({ retention, shrink, probe, check });
  return {
    ...rulesIn(retention ?? {}),
    keepTags: retention?.keepTags && [...retention.keepTags],
    maxShrinkPercent: shrink?.maxPercent,
    maxShrinkPercentIn: shrink?.maxPercentIn,
    probe: probe?.paths && [...probe.paths],
    probeMaxAgeMs: probe?.maxAgeMs,
    busyWhen: probe?.busyWhen && [...probe.busyWhen],
    fileList: probe?.fileList,
    check: check?.kinds && [...check.kinds],
    checkCommand: check?.command,
    checkTimeoutMs: check?.timeoutMs,
    checkExcept: check?.except && [...check.except],
    checkKeyring: check?.keyring,
    checkContent: check?.content,
    channels,
    source: source === undefined ? undefined : parseSource(source).argument,
    rsyncOptions: rsyncOptions && withAbsoluteFiles(rsyncOptions),
    serveAt: serveAt === undefined ? undefined : realPlace(resolve(serveAt)),
  };
}

/** Without symlinks on the way, which somebody could point elsewhere. */
function realPlace(path: string): string {
  return join(realPathToBe(dirname(path)), basename(path));
}

/** The source and the options of rsync that a mirror remembers. */
export type Remembered = Pick<Settings, 'source' | 'rsyncOptions'>;

/** What a sync that names nothing goes by. */
export function rememberedBy({ source, rsyncOptions, firstSync }: Settings): Remembered {
  if (firstSync === undefined) return { ...(source === undefined ? {} : { source }), rsyncOptions };
  const named = firstSync.source ?? source;
  return {
    ...(named === undefined ? {} : { source: named }),
    rsyncOptions: joinOptions(rsyncOptions, firstSync.rsyncOptions).args,
  };
}

/** Who holds a mirror since when, and why. */
export function describeHold({ reason, by, since }: NonNullable<Settings['hold']>): string {
  return `held by ${by} since ${showTime(since)}: ${printable(reason)}`;
}

/**
 * The settings of a new mirror.
 *
 * @throws MirrorlatchError USAGE for a value out of range.
 */
export function newSettings(given: GivenSettings, mode: Settings['mode'] = 'snapshots'): Settings {
  const { channels, ...others } = given;
  const rules = channels && joinRules(undefined, channels);
  const checked = checkSettings({ ...definedOf({ ...others, channels: rules }), format: 1, mode });
  if ('record' in checked) return checked.record;
  throw new MirrorlatchError('USAGE', `invalid settings: ${checked.problem}`);
}

/**
 * The mirror's settings; undefined when there is no mirror in `layout.root`. What the configuration says
 * comes before `mirror.json`.
 *
 * @throws MirrorlatchError CONFIGURATION when `mirror.json` is broken.
 */
export function readSettings(layout: Layout): Settings | undefined {
  const recorded = readRecorded(layout);
  return recorded && inForce(layout, recorded);
}

function inForce({ root }: Layout, recorded: Settings): Settings {
  const { settings } = configuredFor(root);
  const isNamed = settings.source !== undefined || settings.rsyncOptions !== undefined;
  return { ...(isNamed ? settled(recorded) : recorded), ...settings };
}

/** What `mirror.json` says; throws as `readSettings`. */
export function readRecorded(layout: Layout): Settings | undefined {
  const found = lstatIfThere(layout.settings);
  if (found === undefined) return undefined;
  if (!found.isFile() && !found.isSymbolicLink()) throw otherThing(layout.settings, 'a file');
  const text = readTextIfThere(layout.settings);
  if (text === undefined) return undefined;
  const checked = checkSettings(parseJson(text));
  if ('record' in checked) return checked.record;
  throw new MirrorlatchError(
    'CONFIGURATION',
    `${layout.settings} does not hold valid settings of a mirror: ${checked.problem}`,
    {
      hint: `Repair the file, or move it away and run: mirrorlatch init ${quoteForSh(layout.root)}`,
    },
  );
}

/**
 * Makes a mirror's settings after `make` has made the rest of it, or finds that another process has
 * done both meanwhile.
 *
 * @returns the settings on disk.
 * @throws MirrorlatchError BUSY when the lock of the settings stays held; else what `make` throws.
 */
export function createSettings(layout: Layout, settings: Settings, make: () => void): Settings {
  return withSettingsLock(layout, () => {
    const found = readSettings(layout);
    if (found !== undefined) return found;
    make();
    writeSettings(layout, settings);
    return inForce(layout, settings);
  });
}

/** The limits of directories, with others added or put in their place; 100 guards nothing. */
function joinLimits(
  before: Settings['maxShrinkPercentIn'],
  given: Settings['maxShrinkPercentIn'],
): Settings['maxShrinkPercentIn'] {
  return Object.fromEntries(
    Object.entries({ ...before, ...given }).filter(([, percent]) => percent < 100),
  );
}

/**
 * Changes the given settings and leaves the rest as they are on disk. Limits for directories are added
 * to the others. A given source or given options settle what the first sync named.
 *
 * @param forgotten settings to drop.
 * @returns the new settings.
 * @throws MirrorlatchError USAGE for a value out of range, BUSY when the lock stays held, NO_MIRROR
 *   when the mirror is gone, CONFIGURATION when the file is broken or the configuration makes one of them.
 */
export function changeSettings(
  layout: Layout,
  given: GivenSettings,
  forgotten: readonly OptionalSetting[] = [],
): Settings {
  refuseConfigured(layout, given);
  const isNamed = given.source !== undefined || given.rsyncOptions !== undefined;
  return updateSettings(layout, (before) => {
    const changed = { ...(isNamed ? settled(before) : before), ...definedOf(given) };
    if (given.maxShrinkPercentIn !== undefined) {
      const { maxShrinkPercentIn: limits } = before;
      changed.maxShrinkPercentIn = joinLimits(limits, given.maxShrinkPercentIn);
    }
    if (given.channels !== undefined) changed.channels = joinRules(before.channels, given.channels);
    for (const name of forgotten) delete changed[name];
    return changed;
  });
}

/** What would be written would never count. */
function refuseConfigured({ root }: Layout, given: GivenSettings): void {
  const { where } = configuredFor(root);
  const places = Object.keys(definedOf(given)).flatMap((name) => where[name] ?? []);
  if (places.length === 0) return;
  const names = places.join(', ');
  throw new MirrorlatchError('CONFIGURATION', `the configuration sets ${names} for ${root}`, {
    hint: 'It comes before what init remembers: change it there.',
  });
}

/**
 * Keeps a channel where it is, or no longer. Throws as `changeSettings`.
 *
 * @param hold undefined to release it.
 */
export function holdChannel(
  layout: Layout,
  channel: string,
  hold: NonNullable<Settings['hold']> | undefined,
): Settings {
  return updateSettings(layout, ({ channelHolds, ...others }) => {
    const { [channel]: _, ...rest } = channelHolds ?? {};
    const holds = hold === undefined ? rest : { ...rest, [channel]: hold };
    return Object.keys(holds).length === 0 ? others : { ...others, channelHolds: holds };
  });
}

/** What the first sync names. */
export type FirstSync = NonNullable<Settings['firstSync']>;

/**
 * Remembers for good what the first sync named, unless the mirror has been given a source meanwhile.
 * Throws as `changeSettings`.
 */
export function settleFirstSync(layout: Layout, first: FirstSync): void {
  updateSettings(layout, (before) => {
    const isNamed = before.firstSync !== undefined || before.source !== undefined;
    return settled(isNamed ? before : { ...before, firstSync: first });
  });
}

function settled(settings: Settings): Settings {
  const { firstSync: _, ...others } = settings;
  return { ...others, ...rememberedBy(settings) };
}

function updateSettings(layout: Layout, update: (before: Settings) => GivenSettings): Settings {
  return withSettingsLock(layout, () => {
    const before = readRecorded(layout);
    if (before === undefined) throw mirrorIsGone(layout);
    const settings = newSettings(update(before), before.mode);
    writeSettings(layout, settings);
    return inForce(layout, settings);
  });
}

/** The error when a mirror vanishes between two looks. */
export function mirrorIsGone({ root }: Layout): MirrorlatchError {
  return new MirrorlatchError('NO_MIRROR', `there is no longer a mirror in ${root}`, {
    hint: 'Check that its disk is mounted, and whether it was moved or deleted.',
  });
}

/**
 * The settings have a lock of their own, so that `init` need not wait for a sync that takes hours,
 * and a sync that remembers its source does not undo a change.
 *
 * @throws MirrorlatchError BUSY when the lock stays held, PERMISSION in another user's mirror.
 */
export function withSettingsLock<Result>(layout: Layout, change: () => Result): Result {
  refuseOtherOwner(layout);
  const descriptor = openOwnersLock(layout.settingsLock, layout);
  try {
    if (waitForFlock(descriptor, 'exclusive', PATIENCE_S) === 'held') {
      throw new MirrorlatchError('BUSY', `the settings of ${layout.root} are being changed`, {
        hint: `Try again in a moment. If this persists, see which process holds the lock with: fuser -v ${quoteForSh(layout.settingsLock)}`,
      });
    }
    return change();
  } finally {
    closeSync(descriptor);
  }
}

function writeSettings(layout: Layout, settings: Settings): void {
  const text = `${JSON.stringify(settings, undefined, 2)}\n`;
  withReserve(layout, () => writeWhole(layout.settings, text));
  fillReserve(layout);
}

function definedOf(given: GivenSettings): GivenSettings {
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}
