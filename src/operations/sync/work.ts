import { realpathSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import type { Duplex } from 'node:stream';
import { MirrorlatchError } from '../../errors.ts';
import type { CloneMethod } from '../../mirror/clone.ts';
import { publicationOf, readHistory } from '../../mirror/history.ts';
import { layoutOf } from '../../mirror/layout.ts';
import type { PlanFigures } from '../../mirror/plan.ts';
import { checkPlaces, keepsNanoseconds } from '../../mirror/preflight.ts';
import { currentId } from '../../mirror/publication.ts';
import {
  changedSettings,
  type GivenSettings,
  newSettings,
  writeSettings,
} from '../../mirror/settings.ts';
import { guardAgainstShrinking, type TreeSize } from '../../mirror/shrink-guard.ts';
import { parseSnapshotId } from '../../mirror/snapshot-id.ts';
import type { DefaultName } from '../../rsync/arguments.ts';
import { parseRsyncOptions } from '../../rsync/options.ts';
import { pushedSource } from '../../rsync/pushed.ts';
import { parseSource, type Source } from '../../rsync/source.ts';
import { ifThere, lstatIfThere } from '../../system/files.ts';
import type { Strategy, SyncContext } from './build-tree.ts';
import type { OnEvent } from '../../writer/events.ts';
import { checkNewRoot, findMirror, type Mirror, openMirror } from '../mirror.ts';

export interface SyncOptions {
  root: string;
  /** As rsync understands it; by default what the mirror remembers. */
  source?: string | undefined;
  /** What another host pushes, in place of `source`. */
  pushed?: PushedTree | undefined;
  /** For rsync, see `parseRsyncOptions`; by default what the mirror remembers. */
  rsyncOptions?: readonly string[] | undefined;
  strategy?: Strategy | undefined;
  clone?: CloneMethod | 'auto' | undefined;
  /** Defaults of rsync's command line that are turned off. */
  without?: readonly DefaultName[] | undefined;
  /** Share of files or bytes that may vanish; percent. By default the mirror's setting. */
  maxShrinkPercent?: number | undefined;
  allowShrink?: boolean | undefined;
  /** The new snapshot's name. */
  id?: string | undefined;
  /** When to start; it names the snapshot, so that several hosts use one name. */
  at?: Date | undefined;
  /** How long to wait for another writer; ms. */
  waitMs?: number | undefined;
  /** After how long without a heartbeat another host's lock is taken over; ms. */
  staleAfterMs?: number | undefined;
  retries?: number | undefined;
  retryDelayMs?: number | undefined;
  /** What to do when the mirror's filesystem calls itself unclean. */
  unclean?: 'warn' | 'refuse' | 'ignore' | undefined;
  /** Remove old snapshots at the end; by default true. */
  prune?: boolean | undefined;
  keepLast?: number | undefined;
  keepWithinMs?: number | undefined;
  graceMs?: number | undefined;
  /** How long a sync in place waits for the readers that are inside; ms. */
  drainMs?: number | undefined;
  /** What it does then. */
  afterDrain?: 'give-up' | 'go-on' | undefined;
  signal?: AbortSignal | undefined;
  onEvent?: OnEvent | undefined;
}

/** The tree of another host that is connected with this one for as long as the sync takes. */
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

/** What is to be transferred, and how. */
export type Work = Pick<
  SyncContext,
  'transfer' | 'strategy' | 'clone' | 'needsWholePass' | 'onChannel' | 'confirm'
>;

/** What is to be transferred, and how, by this call's options and the mirror's memory. */
function planWork(options: SyncOptions, { layout, settings }: Mirror): Work {
  const { onEvent = () => {}, strategy = 'plan' } = options;
  const source = sourceOf(options, { layout, settings });
  checkPlaces(source, layout.root);
  const given = options.rsyncOptions?.length ? options.rsyncOptions : settings.rsyncOptions;
  const { args, needsWholePass: wholeFor } = parseRsyncOptions(given);
  const without = new Set(options.without);
  if (lstatIfThere(layout.state) && !keepsNanoseconds(layout)) without.add('nanoseconds');
  const { onChannel, confirm } = options.pushed ?? {};
  const common = { transfer: { source, without, options: args }, onChannel, confirm };
  if (settings.mode === 'in-place') {
    refuseForInPlace(options);
    return {
      ...common,
      strategy: 'in-place',
      clone: 'auto',
      needsWholePass: true,
    };
  }
  const needsWholePass = strategy === 'link-dest' || wholeFor !== undefined;
  if (needsWholePass && without.has('delete')) {
    throw new MirrorlatchError(
      'USAGE',
      `--without delete does not go with ${wholeFor ?? '--strategy link-dest'}: a whole pass starts from an empty tree`,
      { hint: 'Leave one of them out.' },
    );
  }
  if (wholeFor !== undefined && strategy === 'plan') {
    onEvent({
      kind: 'notice',
      message: `${wholeFor} needs rsync to see the whole tree: --strategy link-dest`,
    });
  }
  return {
    ...common,
    strategy: needsWholePass && strategy === 'plan' ? 'link-dest' : strategy,
    clone: strategy === 'copy' ? 'copy' : (options.clone ?? 'auto'),
    needsWholePass,
  };
}

function refuseForInPlace({ strategy = 'plan', clone = 'auto', id }: SyncOptions): void {
  const wrong = [
    ...(id === undefined ? [] : ['--id']),
    ...(strategy === 'plan' ? [] : ['--strategy']),
    ...(clone === 'auto' ? [] : ['--clone']),
  ];
  if (wrong.length === 0) return;
  throw new MirrorlatchError('USAGE', `${wrong.join(', ')} does not go with a mirror in place`, {
    hint: 'It has one tree, which rsync writes in a single pass. Leave it out.',
  });
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
 * The mirror as it is, or as the first sync will make it, what is to be done, and the name that was
 * asked for, if any; changes nothing.
 */
export function prepareSync(options: SyncOptions): {
  mirror: Mirror;
  work: Work;
  isNew: boolean;
  id: string | undefined;
} {
  const id = options.id === undefined ? undefined : parseSnapshotId(options.id);
  const namesSource = options.source !== undefined || options.pushed !== undefined;
  const found = namesSource ? findMirror(options.root) : openMirror(options.root);
  const mirror = found ?? {
    layout: layoutOf(realPathToBe(resolve(options.root))),
    settings: newSettings(settingsOf(options)),
  };
  const work = planWork(options, mirror);
  if (found === undefined) checkNewRoot(options.root);
  return { mirror, work, isNew: found === undefined, id };
}

/**
 * A mirror gets the source of its first sync. Until one has been published, that is the one that is
 * named last: the first may have been misspelt.
 */
export function rememberSource(options: SyncOptions, { layout, settings }: Mirror): void {
  const isSettled = settings.source !== undefined && currentId(layout) !== undefined;
  if (options.source === undefined || isSettled) return;
  const { source, rsyncOptions } = settingsOf(options);
  writeSettings(layout, changedSettings(settings, { source, rsyncOptions }));
}

/** What a first sync leaves for those after it. */
function settingsOf({
  source,
  rsyncOptions,
  keepLast,
  keepWithinMs,
  graceMs,
  maxShrinkPercent,
}: SyncOptions): GivenSettings {
  return {
    source: source === undefined ? undefined : parseSource(source).argument,
    rsyncOptions: rsyncOptions && [...parseRsyncOptions(rsyncOptions).args],
    keepLast,
    keepWithinMs,
    graceMs,
    maxShrinkPercent,
  };
}

/** The shrink guard of this sync, for each plan that it makes. */
export function guardOf(
  options: SyncOptions,
  { layout, settings }: Mirror,
  { transfer }: Work,
  before: string | undefined,
): (plan: PlanFigures) => void {
  if (before === undefined || options.allowShrink || transfer.without.has('delete'))
    return () => {};
  const published = publicationOf(readHistory(layout), before);
  const limit = options.maxShrinkPercent ?? settings.maxShrinkPercent;
  return (plan) => {
    const size: TreeSize = {
      files: published?.files ?? plan.source.files - plan.newFiles + plan.deletedFiles,
      bytes: published?.bytes,
    };
    guardAgainstShrinking(plan, size, limit);
  };
}

/** The real path of what is there, or will be when it has been made. */
export function realPathToBe(path: string): string {
  const real = ifThere(() => realpathSync(path));
  if (real !== undefined || path === dirname(path)) return real ?? path;
  return join(realPathToBe(dirname(path)), basename(path));
}
