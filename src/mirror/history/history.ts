import { closeSync, fstatSync, fsyncSync, readFileSync, readSync, writeFileSync } from 'node:fs';
import { asMirrorlatchError, errnoOf, MirrorlatchError } from '../../errors.ts';
import { readTextIfThere } from '../../system/files.ts';
import { openOwnFile, separateOwnFile } from '../../system/own-files.ts';
import { userName } from '../../system/proc.ts';
import { quoteForSh } from '../../system/quote.ts';
import type { Layout } from '../layout.ts';
import { withReserve } from '../reserve.ts';
import { parseJson } from '../settings/records.ts';
import { type Flip, indexOf, type Published, type Verified } from './history-index.ts';
import { type HistoryEntry, isHistoryEntry, type LeftOutRecord } from './history-line.ts';

export { isFlip } from './history-index.ts';
export type { HistoryEntry, SyncFigures } from './history-line.ts';

/** Every reader of the mirror may read its history. */
const MODE = 0o644;

/**
 * Makes sure that lines can be appended, before anything happens that is to be recorded. A copy of
 * the mirror by hard links shares the file, so it gets content of its own.
 *
 * @throws MirrorlatchError CONFIGURATION when something else lies in its place, PERMISSION when it
 *   belongs to another user.
 */
export function prepareHistory(layout: Layout): void {
  const { history } = layout;
  withReserve(layout, () => {
    separateOwnFile(history);
    try {
      closeSync(openOwnFile(history, MODE));
    } catch (error) {
      if (errnoOf(error) !== 'EACCES') throw error;
      const user = userName(process.geteuid?.() ?? 0);
      throw new MirrorlatchError('PERMISSION', `${history} may not be written by ${user}`, {
        hint: `As root, give it to the user of the mirror: chown -h ${quoteForSh(user)} ${quoteForSh(history)} && chmod u+rw ${quoteForSh(history)}`,
        cause: error,
      });
    }
  });
}

/** Appends one line and flushes it to disk. If a crash tore the last line, ends that line first. */
export function appendHistory(layout: Layout, entry: HistoryEntry): void {
  withReserve(layout, () => append(layout, entry));
}

function append(layout: Layout, entry: HistoryEntry): void {
  const descriptor = openOwnFile(layout.history, MODE);
  try {
    const { size } = fstatSync(descriptor);
    const last = Buffer.alloc(1);
    const isTorn = size > 0 && readSync(descriptor, last, 0, 1, size - 1) === 1 && last[0] !== 10;
    writeFileSync(descriptor, `${isTorn ? '\n' : ''}${JSON.stringify(entry)}\n`);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** All entries, oldest first, without the lines that say nothing intelligible. */
export function readHistory(layout: Layout): readonly HistoryEntry[] {
  return inspectHistory(layout).entries;
}

/**
 * All entries, oldest first, and the numbers of the lines that are skipped, from 1: a crash may have
 * torn them, a disk damaged them, or another version or a person written them.
 */
export function inspectHistory(layout: Layout): {
  entries: readonly HistoryEntry[];
  damaged: number[];
} {
  const entries: HistoryEntry[] = [];
  const damaged: number[] = [];
  const lines = readText(layout)?.split('\n') ?? [];
  lines.forEach((line, index) => {
    const entry = parseHistoryLine(line);
    if (entry !== undefined) entries.push(entry);
    else if (line !== '') damaged.push(index + 1);
  });
  return { entries, damaged };
}

/** One line of `history.jsonl`. */
export interface HistoryLine {
  /** The bytes of the line, as latin1. */
  readonly text: string;
  /** Undefined if the line is damaged. */
  readonly entry: HistoryEntry | undefined;
}

/** All lines that are not empty, oldest first, for what writes them again. */
export function linesOfHistory({ history }: Layout): HistoryLine[] {
  return readFileSync(history, 'latin1')
    .split('\n')
    .filter((text) => text !== '')
    .map((text) => ({ text, entry: parseHistoryLine(Buffer.from(text, 'latin1').toString()) }));
}

function readText({ root, history }: Layout): string | undefined {
  try {
    return readTextIfThere(history);
  } catch (error) {
    throw asMirrorlatchError(error, `the history of ${root} cannot be read`);
  }
}

/** The entry of one line; undefined if the line is none. */
export function parseHistoryLine(line: string): HistoryEntry | undefined {
  const value = parseJson(line);
  return isHistoryEntry(value) ? value : undefined;
}

/** The latest publication of a snapshot, with its figures. */
export function publicationOf(history: readonly HistoryEntry[], id: string): Published | undefined {
  return indexOf(history).publications.get(id);
}

/** Whether a snapshot has been made to share files with another, as far as history knows. */
export function mayShareFiles(history: readonly HistoryEntry[], id: string): boolean {
  const { clone = 'none', strategy } = publicationOf(history, id) ?? {};
  return !['btrfs', 'reflink', 'copy'].includes(clone) && strategy !== 'copy';
}

/** Whether it shares blocks of files that are not the same: by reflinks, or as a snapshot of btrfs. */
export function sharesBlocks(history: readonly HistoryEntry[], id: string): boolean {
  return ['btrfs', 'reflink'].includes(publicationOf(history, id)?.clone ?? '');
}

/**
 * What filled a tree, such as `filled from web@www:/srv/web/`, by a push or by a sync whose source was not
 * remembered; null for one that was adopted, and for one of which
 * history says nothing.
 */
export function filledBy(history: readonly HistoryEntry[], id: string): string | null {
  const { source, strategy } = publicationOf(history, id) ?? {};
  if (source === undefined || strategy === undefined) return null;
  return strategy === 'command' ? `filled by lock, command ${source}` : `filled from ${source}`;
}

/** When a sync or a command has succeeded last; null if none has. An adopted tree may be of any age. */
export function lastSuccess(history: readonly HistoryEntry[]): string | null {
  return indexOf(history).lastSuccess?.at ?? null;
}

/** The id of the tree that a directory was when it was adopted; undefined if history does not say it. */
export function idOfAdoption(history: readonly HistoryEntry[]): string | undefined {
  // The adopted path may change later.
  return indexOf(history).lastAdoption?.id;
}

/** Whether a sync has published since a directory was adopted. */
export function hasSyncedSinceAdoption(history: readonly HistoryEntry[]): boolean {
  return indexOf(history).hasTransferredSinceAdoption;
}

/** What a snapshot lacked of its source when a sync last looked. */
export function leftOutOf(history: readonly HistoryEntry[], id: string): LeftOutRecord[] {
  return indexOf(history).looks.get(id)?.leftOut ?? [];
}

/** What `verify` has found of a tree when it looked last; undefined if it never did. */
export function verificationOf(history: readonly HistoryEntry[], id: string): Verified | undefined {
  return indexOf(history).verifications.get(id);
}

/** Why the last attempt to prune a snapshot failed; undefined if none did. */
export function pruneFailureOf(history: readonly HistoryEntry[], id: string): string | undefined {
  const last = indexOf(history).mentions.get(id);
  return last?.event === 'prune-failed' ? last.message : undefined;
}

/** When `current` was last pointed at `id`, as written; undefined if it never was. */
export function becameCurrentAt(history: readonly HistoryEntry[], id: string): Date | undefined {
  const entry = indexOf(history).flips.get(id);
  return entry === undefined ? undefined : new Date(entry.at);
}

/** The entry by which `current` came to name what it names; undefined before the first publication. */
export function lastFlip(history: readonly HistoryEntry[]): Flip | undefined {
  return indexOf(history).lastFlip;
}
