import { basename, join } from 'node:path';
import { asMirrorlatchError } from '../../errors.ts';
import { currentId, previousId } from '../../mirror/current.ts';
import { describeRemains } from '../../mirror/describe-finding.ts';
import {
  becameCurrentAt,
  type HistoryEntry,
  inspectHistory,
} from '../../mirror/history/history.ts';
import { indexOf } from '../../mirror/history/history-index.ts';
import { type Layout, LIVE, layoutOf } from '../../mirror/layout.ts';
import { readGate } from '../../mirror/locks/gate.ts';
import { glanceAtLock, type LockState } from '../../mirror/locks/lock-state.ts';
import { obstacleAt } from '../../mirror/locks/obstacle.ts';
import { openMirror } from '../../mirror/open.ts';
import { DEFAULT_LOCK } from '../../mirror/settings/policy.ts';
import { rememberedBy } from '../../mirror/settings/settings.ts';
import { snapshotIds, survey, unseenPlaces } from '../../mirror/survey.ts';
import { current } from '../../reader/current.ts';
import { lstatIfThere, markOf } from '../../system/files.ts';
import {
  digestOf,
  type HistoryDigest,
  type LastOutcome,
  type SnapshotFigures,
} from './history-digest.ts';
import { whyUnreadable } from './readable.ts';
import type {
  DayReport,
  GateReport,
  LookedAt,
  MirrorReport,
  PinFigures,
  SnapshotReport,
  WorkReport,
} from './status-report.ts';

/** The files of one mirror whose locks the kernel lists. */
export interface LockedFiles {
  leases: readonly string[];
  /** The writer's, if there is one. */
  writers: readonly string[];
}

/** How many locks there are on each of them. */
export interface LockCounts {
  leases: readonly number[];
  writers: readonly number[];
}

/** What history says, and what a crash left. */
interface Known {
  /** What both depend on. */
  key: string;
  digest: HistoryDigest;
  /** When `current` came to name what it names. */
  currentSince: string | null;
  damagedLines: number;
  left: string[];
  unseen: string[];
  failureLog: string | null;
}

const CHANGES_SHOWN = 5;
const DAY_MS = 86_400_000;
/** A lock whose holder has died is looked at again after this time; ms. */
const DEAD_MS = 10_000;

/** Looks at one mirror again and again, and remembers what has not changed. */
export class MirrorLook {
  readonly mirror: LookedAt;
  readonly #layout: Layout;
  #ids: readonly string[] = [];
  #known: Known | undefined;
  #dead: { at: number; locks: number; state: LockState } | undefined;

  constructor(mirror: LookedAt) {
    this.mirror = mirror;
    this.#layout = layoutOf(mirror.root);
  }

  lockedFiles(): LockedFiles {
    if (this.mirror.kind === 'foreign') return { leases: [], writers: [] };
    this.#ids = this.mirror.kind === 'in-place' ? [LIVE] : this.#snapshotIds();
    return { leases: this.#ids.map(this.#layout.lease), writers: [this.#layout.kernelLock] };
  }

  /** @param now ms since the epoch. */
  report(locks: LockCounts, pins: PinFigures | undefined, now: number): MirrorReport {
    try {
      return this.mirror.kind === 'foreign'
        ? this.#reportForeign(pins)
        : this.#reportMirror(locks, pins, now);
    } catch (error) {
      const { message } = asMirrorlatchError(error, `${this.mirror.name} cannot be read`);
      return { ...this.#nothingKnown(pins), unreadable: message };
    }
  }

  #snapshotIds(): string[] {
    try {
      return snapshotIds(this.#layout);
    } catch {
      // The report says why.
      return [];
    }
  }

  #nothingKnown(pins: PinFigures | undefined): MirrorReport {
    const { name, prefix, content, kind } = this.mirror;
    return {
      name,
      prefix,
      content,
      kind,
      unreadable: null,
      source: null,
      current: null,
      previous: null,
      snapshots: [],
      work: null,
      gate: null,
      hold: null,
      lastSuccessAt: null,
      lastFullLookAt: null,
      lastOutcome: null,
      failures: 0,
      outcomes: [],
      changes: [],
      lastDay: null,
      maxShrinkPercent: null,
      pins: pins === undefined ? null : pinsWithoutIds(pins),
      leases: null,
      left: [],
      unseen: [],
      failureLog: null,
      damagedHistoryLines: 0,
      damaged: [],
    };
  }

  #reportForeign(pins: PinFigures | undefined): MirrorReport {
    const { root } = this.mirror;
    const { id } = current(root);
    const link = join(root, basename(this.#layout.current));
    const flipped = lstatIfThere(link);
    const since = flipped === undefined ? null : new Date(Number(flipped.mtimeMs)).toISOString();
    const unreadable = whyUnreadable(link) ?? null;
    return {
      ...this.#nothingKnown(pins),
      unreadable,
      current: { id: this.mirror.currentId?.() ?? id, since, ...NO_FIGURES },
    };
  }

  #reportMirror(locks: LockCounts, pins: PinFigures | undefined, now: number): MirrorReport {
    const { settings } = openMirror(this.mirror.root);
    const lock = this.#lockState(locks.writers[0] ?? 0, now);
    const work = workOf(lock);
    const id = currentId(this.#layout);
    const { digest, currentSince, damagedLines, left, unseen, failureLog } = this.#read(
      id,
      work !== null,
    );
    const { figures, changes, ...told } = digest;
    const { source } = rememberedBy(settings);
    const gate = this.#gate();
    const isOpen = id !== undefined && gate === null;
    return {
      ...this.#nothingKnown(pins),
      ...told,
      unreadable: (isOpen && whyUnreadable(this.#layout.snapshot(id))) || null,
      source: source === undefined ? null : withoutUser(source),
      current:
        id === undefined ? null : { id, since: currentSince, ...(figures.get(id) ?? NO_FIGURES) },
      previous: previousId(this.#layout) ?? null,
      snapshots: this.#snapshots(digest, locks.leases, pins),
      work,
      gate,
      hold: settings.hold ?? null,
      changes: changes.slice(0, CHANGES_SHOWN),
      lastDay: lastDayOf(digest, now),
      maxShrinkPercent: settings.maxShrinkPercent,
      leases: locks.leases.reduce((sum, count) => sum + count, 0),
      left,
      unseen,
      failureLog,
      damagedHistoryLines: damagedLines,
      damaged: damagedIn(digest),
    };
  }

  /** Reads history again only if it, or what a crash may leave, has changed. */
  #read(id: string | undefined, isBusy: boolean): Known {
    const key = `${id} ${isBusy} ${markOf(this.#layout.history)} ${isBusy ? '' : this.#marks()}`;
    if (this.#known?.key === key) return this.#known;
    const { entries, damaged } = inspectHistory(this.#layout);
    const digest = digestOf(entries, id);
    this.#known = {
      key,
      digest,
      currentSince: (id && becameCurrentAt(entries, id)?.toISOString()) ?? null,
      damagedLines: damaged.length,
      // While a writer is at work, its traces look the same.
      left: isBusy ? [] : remainsIn(this.#layout, entries),
      unseen: isBusy ? [] : unseenPlaces(this.#layout),
      failureLog: logOf(this.#layout, digest.lastOutcome),
    };
    return this.#known;
  }

  /** What changes when something comes to the places in which a crash leaves something, or goes. */
  #marks(): string {
    const { root, state, snapshots, leases, staging, trash, superseded, gateRecord } = this.#layout;
    return [root, state, snapshots, leases, staging, trash, superseded, gateRecord]
      .map(markOf)
      .join(' ');
  }

  #lockState(locks: number, now: number): LockState {
    const dead = this.#dead;
    if (dead !== undefined && dead.locks === locks && Math.abs(now - dead.at) < DEAD_MS)
      return dead.state;
    const state = glanceAtLock(this.#layout, locks);
    const isLookedFor = state.kind === 'dead' || state.kind === 'orphans';
    this.#dead = isLookedFor ? { at: now, locks, state } : undefined;
    return state;
  }

  #gate(): GateReport | null {
    // The lock has to be looked at after the gate, so that no writer which begins now seems dead.
    const obstacle = obstacleAt(this.#layout, glanceAtLock);
    if (obstacle === undefined) return null;
    const { why, isClosedByHand, isNew, isAbandoned } = obstacle;
    const isDirty = isAbandoned || readGate(this.#layout).state === 'dirty';
    return { why, isClosedByHand, state: isNew ? 'new' : isDirty ? 'dirty' : 'closed' };
  }

  #snapshots(
    { figures }: HistoryDigest,
    leases: readonly number[],
    pins: PinFigures | undefined,
  ): SnapshotReport[] {
    if (this.mirror.kind === 'in-place') return [];
    return this.#ids
      .map((id, at) => {
        const { publishedAt, files, bytes } = figures.get(id) ?? NO_FIGURES;
        const held = { leases: leases[at] ?? 0, pins: pins?.byId.get(id) ?? 0 };
        return { id, publishedAt, files, bytes, ...held };
      })
      .sort((a, b) => ((a.publishedAt ?? '') < (b.publishedAt ?? '') ? 1 : -1));
  }
}

const NO_FIGURES: SnapshotFigures = {
  publishedAt: null,
  files: null,
  bytes: null,
  leftOut: [],
  writableByAll: null,
  damaged: null,
};

function damagedIn({ figures }: HistoryDigest): MirrorReport['damaged'] {
  return [...figures].flatMap(([id, { damaged }]) =>
    damaged === null || damaged === 0 ? [] : [{ id, entries: damaged }],
  );
}

/** What neither the gate nor the last failure says already, nor is a person's own. */
function remainsIn(layout: Layout, history: readonly HistoryEntry[]): string[] {
  const wanted =
    indexOf(history).lastSync?.event === 'failed' ? ['unfinished-tree', 'unfinished-command'] : [];
  const told = ['foreign-tree', 'unclean-gate', ...wanted];
  return survey(layout, history)
    .filter(({ kind }) => !told.includes(kind))
    .map(describeRemains);
}

/** What rsync said in the last sync, if that failed. Only the owner may read it. */
function logOf(layout: Layout, last: LastOutcome | null): string | null {
  if (last?.event !== 'failed') return null;
  const log = layout.log(last.id);
  return lstatIfThere(log)?.isFile() ? log : null;
}

function workOf(lock: LockState): WorkReport | null {
  if (lock.kind === 'free') return null;
  const isSilent =
    lock.kind === 'dead' ||
    lock.kind === 'orphans' ||
    (lock.kind === 'held' && lock.killed !== undefined) ||
    (lock.kind === 'foreign' && lock.heartbeatAgeMs > DEFAULT_LOCK.staleAfterMs);
  const owner = lock.owner ?? (lock.kind === 'held' ? lock.killed : undefined);
  const progress = lock.kind === 'orphans' ? undefined : lock.progress;
  return {
    state: isSilent ? 'silent' : 'running',
    command: owner?.command ?? null,
    user: owner?.user ?? null,
    host: owner?.host.hostname ?? null,
    pid: owner?.pid ?? null,
    since: owner?.since ?? null,
    phase: progress?.phase ?? null,
    done: progress?.done ?? null,
  };
}

function lastDayOf({ changes }: HistoryDigest, now: number): DayReport {
  const sum = { publications: 0, newFiles: 0, deletedFiles: 0, newBytes: 0 };
  for (const { event, at, newFiles, deletedFiles, newBytes } of changes) {
    if (event !== 'published' || now - Date.parse(at) > DAY_MS) continue;
    sum.publications += 1;
    sum.newFiles += newFiles ?? 0;
    sum.deletedFiles += deletedFiles ?? 0;
    sum.newBytes += newBytes ?? 0;
  }
  return sum;
}

function pinsWithoutIds({ pins, strictPins, oldestSeconds }: PinFigures) {
  return { pins, strictPins, oldestSeconds };
}

/** A source as everybody may see it: without the user of `rsync://user@host/module` or `user@host:path`. */
function withoutUser(source: string): string {
  return source.replace(/^(rsync:\/\/)?[^/:@]+@/i, '$1');
}
