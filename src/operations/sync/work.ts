import { resolve } from 'node:path';
import type { Duplex } from 'node:stream';
import { asSentence, hasCode, MirrorlatchError } from '../../errors.ts';
import { currentId } from '../../mirror/current.ts';
import { filledBy, publicationOf, readHistory } from '../../mirror/history/history.ts';
import { type Layout, layoutOf } from '../../mirror/layout.ts';
import { findMirror, type Mirror, openMirror, refuseOptionsInPlace } from '../../mirror/open.ts';
import type { PlanFigures } from '../../mirror/plan/plan.ts';
import { checkPlaces, keepsNanoseconds, optionLimits } from '../../mirror/plan/preflight.ts';
import type { Given, LockPolicy } from '../../mirror/settings/policy.ts';
import { checkGroups, checkStart, checkTags } from '../../mirror/settings/policy-rules.ts';
import type { Settings } from '../../mirror/settings/records.ts';
import {
  changeSettings,
  type FirstSync,
  type GivenSettings,
  newSettings,
  type Remembered,
  rememberedBy,
  settingsFrom,
} from '../../mirror/settings/settings.ts';
import { parseSnapshotId } from '../../mirror/snapshot-id.ts';
import type { DefaultName } from '../../rsync/arguments.ts';
import { joinOptions, rulesBeside, showOptions } from '../../rsync/join-options.ts';
import { describeNotPassed } from '../../rsync/not-passed.ts';
import {
  checkOptions,
  type OptionLimits,
  withAbsoluteFiles,
  withoutFaultyOptions,
} from '../../rsync/option-files.ts';
import { parseRsyncOptions } from '../../rsync/options.ts';
import { pushedSource } from '../../rsync/pushed.ts';
import { isSameSource, parseSource, type Source, sourceName } from '../../rsync/source.ts';
import { realPathToBe } from '../../system/files.ts';
import { quoteForSh } from '../../system/quote.ts';
import { checkNewRoot } from '../../writer/create.ts';
import type { OnEvent } from '../../writer/events.ts';
import { type PolicyOptions, policyOf } from '../../writer/policy.ts';
import type { Writer } from '../../writer/writer.ts';
import {
  CLONE_CHOICES,
  type CloneChoice,
  STRATEGIES,
  type Strategy,
  type UncleanPolicy,
  type Work,
} from './context.ts';

export interface SyncOptions extends PolicyOptions {
  root: string;
  /** As rsync understands it; by default what the mirror remembers. */
  source?: string | undefined;
  /** What another host pushes, in place of `source`. */
  pushed?: PushedTree | undefined;
  /** Take the tree of `source` although the mirror remembers another. */
  otherSource?: boolean | undefined;
  /** For rsync, as after `--` on the command line, in addition to what the mirror remembers. */
  rsyncOptions?: readonly string[] | undefined;
  strategy?: Strategy | undefined;
  clone?: CloneChoice | undefined;
  /** Defaults of rsync's command line that are turned off. */
  without?: readonly DefaultName[] | undefined;
  /** The new snapshot's name. */
  id?: string | undefined;
  /** For the new snapshot, or the current one if it needs no successor. */
  tags?: readonly string[] | undefined;
  /** When to start; it names the snapshot, so that several hosts use one name. */
  at?: Date | undefined;
  lock?: Given<LockPolicy> | undefined;
  /** What to do when the mirror's filesystem calls itself unclean; by default warn. */
  unclean?: UncleanPolicy | undefined;
  /** Remove old snapshots at the end; by default true. */
  prune?: boolean | undefined;
  signal?: AbortSignal | undefined;
  onEvent?: OnEvent | undefined;
}

/** A tree of another host, which is connected with this one for as long as the sync takes. */
export interface PushedTree {
  /** What that host calls it. */
  name: string;
  /** Joins rsync with a server of the tree; called once for each rsync. */
  onChannel: (channel: Duplex) => void;
  /** Asks the other host whether to publish, when all else is done; throws to publish nothing. */
  confirm: () => Promise<void>;
}

export interface SyncSummary {
  source: string;
  strategy: Strategy;
  plan: PlanFigures;
  seconds: number;
}

/**
 * Checks what can be checked before there is a lock, or even a mirror, and changes nothing.
 *
 * @returns the mirror as it is, or as the first sync will make it.
 * @throws MirrorlatchError USAGE, NO_MIRROR, NO_SOURCE, PERMISSION or CONFIGURATION.
 */
export function checkSync(options: SyncOptions): { mirror: Mirror; isNew: boolean } {
  checkGroups(options);
  checkStart(options.at);
  checkTags('tags', options.tags);
  if (options.id !== undefined) parseSnapshotId(options.id);
  const namesSource = options.source !== undefined || options.pushed !== undefined;
  const found = namesSource
    ? findMirror(options.root)
    : openMirror(options.root, 'mirrorlatch sync SRC');
  const layout = found?.layout ?? layoutOf(realPathToBe(resolve(options.root)));
  refuseUnfitOptions(options, layout, found?.settings);
  const mirror = found ?? { layout, settings: newSettings(settingsOfNew(options)) };
  planWork(options, mirror);
  if (found === undefined) checkNewRoot(options.root);
  tellNotPassed(options, found);
  return { mirror, isNew: found === undefined };
}

/** All of them in one message, so this is before a new mirror would remember any. */
function refuseUnfitOptions(
  { rsyncOptions = [], ...options }: SyncOptions,
  layout: Layout,
  settings: Settings = newSettings(settingsOfNew(options)),
): void {
  const name =
    options.pushed === undefined ? (options.source ?? rememberedBy(settings).source) : undefined;
  const source = name === undefined ? undefined : parseSource(name);
  withAbsoluteFiles(rsyncOptions, optionLimits(layout, settings, source));
}

/** A call that repeats what the mirror remembers, as from cron, has been told already. */
function tellNotPassed(
  { rsyncOptions = [], onEvent = () => {} }: SyncOptions,
  found: Mirror | undefined,
): void {
  const known = found === undefined ? [] : rememberedBy(found.settings).rsyncOptions;
  const message = describeNotPassed(rsyncOptions, known);
  if (message !== undefined) onEvent({ kind: 'notice', message });
}

/**
 * What is to be transferred, and how, by this call's options and the mirror's memory.
 *
 * @param onNotice called with what was chosen for the user.
 */
export function planWork(
  options: SyncOptions,
  { layout, settings }: Mirror,
  onNotice: (message: string) => void = () => {},
): Work {
  const { strategy = STRATEGIES[0], clone = CLONE_CHOICES[0] } = options;
  const remembered = rememberedBy(withFirstSync(options, { layout, settings }));
  const source = sourceOf(options, layout, remembered, onNotice);
  if (rememberedBy(settings).source === undefined) remarkOtherTree(source, layout, onNotice);
  checkPlaces(source, layout.root, settings.serveAt);
  const limits = optionLimits(layout, settings, source);
  const given = withAbsoluteFiles(options.rsyncOptions ?? [], limits);
  const joined = joinOptions(remembered.rsyncOptions, given, layout.root);
  checkRememberedOptions(remembered.rsyncOptions, layout, limits);
  for (const contradiction of joined.contradictions) onNotice(contradiction);
  const isWholeLine = options.source !== undefined && given.length > 0;
  const beside = isWholeLine ? rulesBeside(remembered.rsyncOptions, given) : [];
  if (beside.length > 0) {
    const init = `mirrorlatch init ${quoteForSh(layout.root)}`;
    onNotice(
      `the mirror also remembers ${showOptions(beside)}, so what that leaves out is missing; to remember this line in its place: ${init} -- ${showOptions(given)}`,
    );
  }
  const { args, needsWholePass: wholeFor, whyWholePass } = parseRsyncOptions(joined.args);
  const without = new Set(options.without);
  if (!keepsNanoseconds(layout)) without.add('nanoseconds');
  const { onChannel, confirm } = options.pushed ?? {};
  const { busyWhen } = policyOf(settings, options).probe;
  const marks = busyWhen.map((path) => Buffer.from(path).toString('latin1'));
  const transfer = { source, without, options: args, marks };
  const common = { transfer, options: joined.args, onChannel, confirm };
  if (settings.mode === 'in-place') {
    refuseForInPlace(options);
    return { ...common, strategy: 'in-place', clone: 'auto', needsWholePass: true };
  }
  const needsWholePass = strategy === 'link-dest' || wholeFor !== undefined;
  if (needsWholePass && without.has('delete')) {
    const cause = wholeFor ?? '--strategy link-dest';
    throw new MirrorlatchError(
      'USAGE',
      `--without delete cannot be combined with ${cause}: a whole pass starts from an empty tree`,
      { hint: 'Leave one of them out.' },
    );
  }
  if (wholeFor !== undefined && strategy === 'plan') {
    onNotice(
      `${wholeFor} needs rsync to see the whole tree: ${whyWholePass}. So this sync uses --strategy link-dest`,
    );
  }
  return {
    ...common,
    strategy: needsWholePass && strategy === 'plan' ? 'link-dest' : strategy,
    clone: strategy === 'copy' ? 'copy' : clone,
    needsWholePass,
  };
}

/** @throws MirrorlatchError CONFIGURATION when a remembered option, or its file, cannot be used. */
function checkRememberedOptions(
  options: readonly string[],
  { root }: Layout,
  limits: OptionLimits,
): void {
  try {
    checkOptions(options, limits);
  } catch (error) {
    if (!hasCode(error, 'USAGE')) throw error;
    const others = withoutFaultyOptions(options, limits);
    const which = error.message.includes('\n') ? 'these options' : 'that option';
    const rest = others.length === 0 ? '--clear-options' : `-- ${showOptions(others)}`;
    throw new MirrorlatchError(
      'CONFIGURATION',
      `${asSentence(error.message)} ${root} remembers ${which}`,
      {
        hint: `${asSentence(error.hint)} To forget ${which}, and mirror what may have been left out: mirrorlatch init ${quoteForSh(root)} ${rest}`,
        cause: error,
      },
    );
  }
}

function refuseForInPlace({ strategy, clone, id, tags = [] }: SyncOptions): void {
  refuseOptionsInPlace(
    {
      '--id': id !== undefined,
      '--tag': tags.length > 0,
      '--strategy': (strategy ?? STRATEGIES[0]) !== STRATEGIES[0],
      '--clone': (clone ?? CLONE_CHOICES[0]) !== CLONE_CHOICES[0],
    },
    'It has one tree, which rsync writes in a single pass. Leave it out.',
  );
}

function sourceOf(
  { source: given, pushed, otherSource = false }: SyncOptions,
  layout: Layout,
  { source: remembered }: Remembered,
  onNotice: (message: string) => void,
): Source {
  const { root } = layout;
  const text = given ?? remembered;
  if (pushed === undefined && text === undefined) throw noSource(layout);
  const source = pushed === undefined ? parseSource(text ?? '') : pushedSource(pushed.name);
  if (remembered === undefined || isSameSource(source, parseSource(remembered)) || otherSource)
    return source;
  if (source.kind === 'local') checkOtherPlaces(source, root, remembered);
  const name = sourceName(source);
  // A push names its tree each time, and may come from many hosts.
  if (pushed !== undefined) {
    onNotice(`${root} remembers the source ${remembered}; this push brings ${name}`);
    return source;
  }
  throw new MirrorlatchError('USAGE', `${root} is a mirror of ${remembered}, not of ${name}`, {
    hint: `If the tree is to come from there this once, add --other-source. To change its source for good: mirrorlatch init ${quoteForSh(root)} --source ${quoteForSh(name)}`,
  });
}

/** Where no source is remembered, history alone shows that this tree is another one than before. */
function remarkOtherTree(
  source: Source,
  layout: Layout,
  onNotice: (message: string) => void,
): void {
  const filled = fillingOf(layout);
  const name = sourceName(source);
  if (filled === null || filled.source === name) return;
  const act = source.kind === 'pushed' ? 'push' : 'sync';
  onNotice(`${layout.root} was ${filled.how}; this ${act} brings ${name}`);
}

/** What filled the current tree, if neither a remembered source nor an adoption did. */
function fillingOf(layout: Layout): { how: string; source: string | undefined } | null {
  const id = currentId(layout);
  if (id === undefined) return null;
  const history = readHistory(layout);
  const how = filledBy(history, id);
  return how === null ? null : { how, source: publicationOf(history, id)?.source };
}

function noSource(layout: Layout): MirrorlatchError {
  const filled = fillingOf(layout);
  const sync = `mirrorlatch sync SRC ${quoteForSh(layout.root)}`;
  return filled === null
    ? new MirrorlatchError('USAGE', `${layout.root} has no source yet`, {
        hint: `Name it once: ${sync}`,
      })
    : new MirrorlatchError('USAGE', `${layout.root} has no source yet: it was ${filled.how}`, {
        hint: `Fill it again in that way: by a push, or by the configuration that names its source. To replace what it has by the tree of a source: ${sync}`,
      });
}

/** A source that is not there may be the one that the mirror remembers, misspelt. */
function checkOtherPlaces(source: Source, root: string, remembered: string): void {
  try {
    checkPlaces(source, root);
  } catch (error) {
    if (!hasCode(error, 'NO_SOURCE')) throw error;
    const { message, hint, cause } = error;
    throw new MirrorlatchError('NO_SOURCE', message, {
      hint: `${asSentence(hint)} ${root} remembers ${remembered}; to sync from there: mirrorlatch sync ${quoteForSh(root)}`,
      cause,
    });
  }
}

/** Whether this call names a source that is not the mirror's own. */
export function namesOtherSource(options: SyncOptions, mirror: Mirror): boolean {
  const { source: remembered } = rememberedBy(withFirstSync(options, mirror));
  if (options.source === undefined || remembered === undefined) return false;
  return !isSameSource(parseSource(options.source), parseSource(remembered));
}

/**
 * The settings with what this call names, if it is the first sync. Before a publication the last call
 * that names a source counts alone, because an earlier one may have been wrong.
 */
function withFirstSync(options: SyncOptions, { layout, settings }: Mirror): Settings {
  const { firstSync } = settings;
  const namesSource = options.source !== undefined || options.pushed !== undefined;
  const isFirst =
    currentId(layout) === undefined ||
    (options.source !== undefined && rememberedBy(settings).source === undefined);
  if (!isFirst) return settings;
  const given = settingsFrom({ source: options.source, rsyncOptions: options.rsyncOptions ?? [] });
  const { rsyncOptions = [] } = given;
  if (namesSource) {
    const named = given.source === undefined ? {} : { source: given.source };
    return { ...settings, firstSync: { ...named, rsyncOptions } };
  }
  if (rsyncOptions.length === 0) return settings;
  const { args } = joinOptions(firstSync?.rsyncOptions ?? [], rsyncOptions);
  return { ...settings, firstSync: { ...firstSync, rsyncOptions: args } };
}

/** What the first sync keeps of this call before it begins. */
export function settingsOfNew(options: SyncOptions): GivenSettings {
  const { source, rsyncOptions, ...rules } = settingsFrom(options);
  return {
    ...rules,
    firstSync: { ...(source === undefined ? {} : { source }), rsyncOptions: rsyncOptions ?? [] },
  };
}

/**
 * Keeps what the first sync names, so that the next one goes on with it after a crash. In a mirror that
 * a command has filled, it first has to prove right.
 *
 * @returns what is to be settled once a sync has ended well.
 */
export function rememberFirstSync(
  options: SyncOptions,
  { layout, settings, before }: Writer,
): FirstSync | undefined {
  const { firstSync } = withFirstSync(options, { layout, settings });
  if (before === undefined && firstSync !== settings.firstSync) {
    changeSettings(layout, { firstSync });
  }
  return firstSync;
}
