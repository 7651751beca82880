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

/** One line of `.mirrorlatch/history.jsonl`: what happened to the mirror, oldest first. */
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
  /** What `current` names since then. */
  id: string;
  /** What it named before. */
  previous: string | null;
}

export interface SyncFigures {
  source: string;
  strategy: string;
  clone: string;
  files: number;
  bytes: number;
  newFiles: number;
  newBytes: number;
  deletedFiles: number;
  seconds: number;
}

/** Appends one line and makes it durable; a line that a crash tore is closed first. */
export function appendHistory(layout: Layout, entry: HistoryEntry): void {
  const descriptor = openSync(layout.history, 'a+', 0o644);
  try {
    const { size } = fstatSync(descriptor);
    // Whatever the umask says: who reads the mirror may know how it came about.
    if (size === 0) fchmodSync(descriptor, 0o644);
    const last = Buffer.alloc(1);
    const isTorn = size > 0 && readSync(descriptor, last, 0, 1, size - 1) === 1 && last[0] !== 10;
    writeFileSync(descriptor, `${isTorn ? '\n' : ''}${JSON.stringify(entry)}\n`);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** All entries, oldest first; lines that a crash tore are passed over. */
export function readHistory(layout: Layout): HistoryEntry[] {
  const entries: HistoryEntry[] = [];
  for (const line of readTextIfThere(layout.history)?.split('\n') ?? []) {
    const entry = parseHistoryLine(line);
    if (entry !== undefined) entries.push(entry);
  }
  return entries;
}

/** Undefined for a line that a crash tore, and for an empty one. */
export function parseHistoryLine(line: string): HistoryEntry | undefined {
  const value = parseJson(line) as { event?: unknown } | null | undefined;
  return typeof value?.event === 'string' ? (value as HistoryEntry) : undefined;
}

/** The newest publication of a snapshot, with its figures. */
export function publicationOf(history: readonly HistoryEntry[], id: string) {
  return history.findLast((entry) => entry.event === 'published' && entry.id === id) as
    | Extract<HistoryEntry, { event: 'published' }>
    | undefined;
}

/** When `current` last came to name `id`; undefined when it never did. */
export function becameCurrentAt(history: readonly HistoryEntry[], id: string): Date | undefined {
  return timeOf(history.findLast((entry) => isFlip(entry) && entry.id === id));
}

/** When `current` last went from `id` to another; undefined when it never did. */
export function stoppedBeingCurrentAt(
  history: readonly HistoryEntry[],
  id: string,
): Date | undefined {
  return timeOf(
    history.findLast((entry) => isFlip(entry) && entry.previous === id && entry.id !== id),
  );
}

/**
 * Snapshots by when `current` last came to name each, the latest last. It is the order of the
 * lines that counts, not their times: a clock may be put back.
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

function isFlip(
  entry: HistoryEntry,
): entry is Extract<HistoryEntry, { event: 'published' | 'rolled-back' }> {
  return entry.event === 'published' || entry.event === 'rolled-back';
}

function timeOf(entry: HistoryEntry | undefined): Date | undefined {
  return entry === undefined ? undefined : new Date(entry.at);
}
