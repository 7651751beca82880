import {
  closeSync,
  fchmodSync,
  fstatSync,
  fsyncSync,
  openSync,
  readSync,
  writeFileSync,
} from 'node:fs';
import { readTextIfThere } from '../system/files.ts';
import type { Layout } from './layout.ts';
import { parseJson } from './records.ts';

/** One line of `.mirrorlatch/history.jsonl`. Each event of the mirror appends a line. */
export type HistoryEntry =
  | ({ event: 'published' } & Flip & Partial<SyncFigures>)
  | ({ event: 'rolled-back' } & Flip)
  | ({ event: 'unchanged'; current: string } & Stamp)
  | ({ event: 'failed'; id: string; code: string; message: string } & Stamp)
  | ({ event: 'pruned'; id: string } & Stamp);

interface Stamp {
  /** ISO 8601, UTC. */
  at: string;
}

interface Flip extends Stamp {
  /** What `current` named from then on. */
  id: string;
  /** What it named before. */
  previous: string | null;
}

/** How a snapshot was made. */
export interface SyncFigures {
  source: string;
  strategy: string;
  clone: string;
  /** The whole tree: regular files and their bytes. */
  files: number;
  bytes: number;
  newFiles: number;
  /** Bytes that were transferred. */
  newBytes: number;
  deletedFiles: number;
  seconds: number;
}

/** Appends one line and flushes it to disk. If a crash tore the last line, ends that line first. */
export function appendHistory(layout: Layout, entry: HistoryEntry): void {
  const descriptor = openSync(layout.history, 'a+', 0o644);
  try {
    const { size } = fstatSync(descriptor);
    // Every reader of the mirror may read its history, whatever the umask.
    if (size === 0) fchmodSync(descriptor, 0o644);
    const last = Buffer.alloc(1);
    const isTorn = size > 0 && readSync(descriptor, last, 0, 1, size - 1) === 1 && last[0] !== 10;
    writeFileSync(descriptor, `${isTorn ? '\n' : ''}${JSON.stringify(entry)}\n`);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** All entries, oldest first. Lines that a crash tore are skipped. */
export function readHistory(layout: Layout): HistoryEntry[] {
  const entries: HistoryEntry[] = [];
  for (const line of readTextIfThere(layout.history)?.split('\n') ?? []) {
    const entry = parseHistoryLine(line);
    if (entry !== undefined) entries.push(entry);
  }
  return entries;
}

/** The entry of one line; undefined if the line is empty or torn by a crash. */
export function parseHistoryLine(line: string): HistoryEntry | undefined {
  const value = parseJson(line) as { event?: unknown } | null | undefined;
  return typeof value?.event === 'string' ? (value as HistoryEntry) : undefined;
}

/** The latest publication of a snapshot, with its figures. */
export function publicationOf(history: readonly HistoryEntry[], id: string) {
  return history.findLast((entry) => entry.event === 'published' && entry.id === id) as
    | Extract<HistoryEntry, { event: 'published' }>
    | undefined;
}

/** When `current` was last pointed at `id`; undefined if it never was. */
export function becameCurrentAt(history: readonly HistoryEntry[], id: string): Date | undefined {
  return timeOf(history.findLast((entry) => isFlip(entry) && entry.id === id));
}

/** When `current` was last pointed from `id` to another; undefined if it never was. */
export function stoppedBeingCurrentAt(
  history: readonly HistoryEntry[],
  id: string,
): Date | undefined {
  return timeOf(
    history.findLast((entry) => isFlip(entry) && entry.previous === id && entry.id !== id),
  );
}

/**
 * Snapshots in the order in which `current` was last pointed at each, the latest last. The order of
 * the lines counts, not their times, because a clock may be set back.
 */
export function inOrderOfPublication(
  history: readonly HistoryEntry[],
  ids: readonly string[],
): string[] {
  const lines = new Map<string, number>();
  history.forEach((entry, line) => {
    if (isFlip(entry)) lines.set(entry.id, line);
  });
  return [...ids].sort((a, b) => (lines.get(a) ?? -1) - (lines.get(b) ?? -1));
}

/** Whether `current` came to name another snapshot by this. */
export function isFlip(
  entry: HistoryEntry,
): entry is Extract<HistoryEntry, { event: 'published' | 'rolled-back' }> {
  return entry.event === 'published' || entry.event === 'rolled-back';
}

function timeOf(entry: HistoryEntry | undefined): Date | undefined {
  return entry === undefined ? undefined : new Date(entry.at);
}
