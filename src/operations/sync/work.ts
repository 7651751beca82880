import { resolve } from 'node:path';
import type { Duplex } from 'node:stream';
import { MirrorlatchError } from '../../errors.ts';
import { currentId } from '../../mirror/current.ts';
import { publicationOf, readHistory } from '../../mirror/history.ts';
import { type Layout, layoutOf } from '../../mirror/layout.ts';
import { findMirror, type Mirror, openMirror, refuseOptionsInPlace } from '../../mirror/open.ts';
import type { PlanFigures } from '../../mirror/plan.ts';
import type { Given, LockPolicy, ShrinkPolicy } from '../../mirror/policy.ts';
import { checkPlaces, keepsNanoseconds } from '../../mirror/preflight.ts';
import { changeSettings, newSettings, settingsFrom } from '../../mirror/settings.ts';
import { type ShrinkGuard, shrinkGuard } from '../../mirror/shrink-guard.ts';
import { parseSnapshotId } from '../../mirror/snapshot-id.ts';
import type { DefaultName } from '../../rsync/arguments.ts';
import { parseRsyncOptions } from '../../rsync/options.ts';
import { pushedSource } from '../../rsync/pushed.ts';
import { parseSource, type Source } from '../../rsync/source.ts';
import { realPathToBe } from '../../system/files.ts';
import { checkNewRoot } from '../../writer/create.ts';
import type { OnEvent } from '../../writer/events.ts';
import type { PolicyOptions } from '../../writer/policy.ts';
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
  /** For rsync, as after `--` on the command line; by default what the mirror remembers. */
  rsyncOptions?: readonly string[] | undefined;
  strategy?: Strategy | undefined;
  clone?: CloneChoice | undefined;
  /** Defaults of rsync's command line that are turned off. */
  without?: readonly DefaultName[] | undefined;
  /** The new snapshot's name. */
  id?: string | undefined;
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
  if (options.id !== undefined) parseSnapshotId(options.id);
  const namesSource = options.source !== undefined || options.pushed !== undefined;
  const found = namesSource ? findMirror(options.root) : openMirror(options.root);
  const mirror = found ?? {
    layout: layoutOf(realPathToBe(resolve(options.root))),
    settings: newSettings(settingsFrom(options)),
  };
  planWork(options, mirror);
  if (found === undefined) checkNewRoot(options.root);
  return { mirror, isNew: found === undefined };
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
  const source = sourceOf(options, { layout, settings });
  checkPlaces(source, layout.root);
  const given = options.rsyncOptions?.length ? options.rsyncOptions : settings.rsyncOptions;
  const { args, needsWholePass: wholeFor } = parseRsyncOptions(given);
  const without = new Set(options.without);
  if (!keepsNanoseconds(layout)) without.add('nanoseconds');
  const { onChannel, confirm } = options.pushed ?? {};
  const common = { transfer: { source, without, options: args }, onChannel, confirm };
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
    onNotice(`${wholeFor} needs rsync to see the whole tree: --strategy link-dest`);
  }
  return {
    ...common,
    strategy: needsWholePass && strategy === 'plan' ? 'link-dest' : strategy,
    clone: strategy === 'copy' ? 'copy' : clone,
    needsWholePass,
  };
}

function refuseForInPlace({ strategy, clone, id }: SyncOptions): void {
  refuseOptionsInPlace(
    {
      '--id': id !== undefined,
      '--strategy': (strategy ?? STRATEGIES[0]) !== STRATEGIES[0],
      '--clone': (clone ?? CLONE_CHOICES[0]) !== CLONE_CHOICES[0],
    },
    'It has one tree, which rsync writes in a single pass. Leave it out.',
  );
}

function sourceOf({ source, pushed }: SyncOptions, { layout, settings }: Mirror): Source {
  if (pushed !== undefined) return pushedSource(pushed.name);
  const text = source ?? settings.source;
  if (text !== undefined) return parseSource(text);
  throw new MirrorlatchError('USAGE', `${layout.root} does not know its source yet`, {
    hint: `Name it once: mirrorlatch sync SRC ${layout.root}`,
  });
}

/**
 * A mirror remembers the source of its first sync. Until one has been published, that is the source
 * that was named last: an earlier one may have been misspelt.
 */
export function rememberSource(options: SyncOptions, { layout, settings }: Mirror): void {
  const isSettled = settings.source !== undefined && currentId(layout) !== undefined;
  if (options.source === undefined || isSettled) return;
  const { source, rsyncOptions } = settingsFrom(options);
  changeSettings(layout, { source, rsyncOptions });
}

/** The guard for each plan of a sync. Under `--without delete` nothing of `current` vanishes. */
export function shrinkGuardOf(
  { transfer }: Work,
  layout: Layout,
  current: string | undefined,
  policy: ShrinkPolicy,
): ShrinkGuard {
  if (current === undefined || transfer.without.has('delete')) return () => {};
  return shrinkGuard({ ...publicationOf(readHistory(layout), current) }, policy);
}
