import { closeSync, ftruncateSync, mkdirSync, openSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { errnoOf } from '../errors.ts';
import { bytePath, parentOf } from '../mirror/byte-path.ts';
import type { SyncFigures } from '../mirror/history/history.ts';
import { type DefaultName, planArguments } from '../rsync/arguments.ts';
import type { Entry } from '../rsync/itemize.ts';
import { FILTER_RULES, parseRsyncOptions } from '../rsync/options.ts';
import { runRsync } from '../rsync/run.ts';
import { parseSource } from '../rsync/source.ts';
import { isTemporary, isUpdateMark } from '../rsync/temporary-names.ts';
import { Turns } from '../system/event-loop.ts';

/** By what a sync has chosen the entries of its source. */
export interface Selection {
  /** Those of rsync that the user gave. */
  options: readonly string[];
  without: readonly DefaultName[];
}

/**
 * How a tree was chosen, as history has it; undefined for one that no sync has made.
 */
export function selectionOf({
  rsyncOptions,
  without = [],
}: Partial<Pick<SyncFigures, 'rsyncOptions' | 'without'>>): Selection | undefined {
  return rsyncOptions && { options: rsyncOptions, without: without as readonly DefaultName[] };
}

export interface SelectedOptions {
  /** A directory for files. */
  work: string;
  inherit: readonly number[];
  signal: AbortSignal;
}

const BY_SIZE: readonly string[] = ['max-size', 'min-size'];

/** Options that leave entries out by their names and sizes. */
const CHOOSING: ReadonlySet<string> = new Set([...FILTER_RULES, 'cvs-exclude', ...BY_SIZE]);

/** Whether entries were left out by their sizes, so that nobody knows it of a file whose size nobody says. */
export function choosesBySize({ options }: Selection): boolean {
  return parseRsyncOptions(options).named.some(({ name }) => BY_SIZE.includes(name));
}

/**
 * Asks rsync which of some files a sync would bring, if its source had them: all others were left out on
 * purpose. So its rules mean here what they mean to it.
 *
 * @param files their names, one character per byte (latin1), and sizes in bytes.
 * @throws MirrorlatchError IO when rsync fails.
 */
export async function selectedOf(
  files: Iterable<{ name: string; size: number | undefined }>,
  { options, without }: Selection,
  { work, inherit, signal }: SelectedOptions,
): Promise<ReadonlySet<string>> {
  const source = join(work, 'selected');
  const selected = new Set<string>();
  mkdirSync(source, { mode: 0o700 });
  try {
    const turns = new Turns(signal);
    for (const { name, size = 0 } of files) {
      await turns.step();
      if (!without.includes('temp-excludes') && isTemporary({ name, type: 'file' })) continue;
      if (!without.includes('update-marks') && isUpdateMark({ name, type: 'file' })) continue;
      // One that cannot be made here is missed.
      if (!makeSparse(source, name, size)) selected.add(name);
    }
    const { named } = parseRsyncOptions(options);
    const rules = named.filter(({ name }) => CHOOSING.has(name)).flatMap(({ words }) => words);
    const transfer = {
      source: parseSource(`${source}/`),
      without: new Set(without),
      options: rules,
    };
    const target = join(work, 'nothing');
    const { ending } = await runRsync({
      args: planArguments(transfer, target),
      inherit,
      signal,
      onEntry: ({ change, name }: Entry) => change === 'new' && selected.add(name),
      log: () => {},
    });
    if (ending.kind !== 'clean') throw ending.error;
    return selected;
  } finally {
    rmSync(source, { recursive: true, force: true });
  }
}

/** What no file can be called, or is too large for one. */
const IMPOSSIBLE = ['ENOTDIR', 'EEXIST', 'EFBIG', 'EINVAL', 'ERR_OUT_OF_RANGE', 'ENAMETOOLONG'];

/** @returns false where a file of that name and size cannot be made. */
function makeSparse(directory: string, name: string, size: number): boolean {
  try {
    mkdirSync(bytePath(directory, parentOf(name)), { recursive: true });
    const descriptor = openSync(bytePath(directory, name), 'wx', 0o600);
    try {
      ftruncateSync(descriptor, size);
    } finally {
      closeSync(descriptor);
    }
    return true;
  } catch (error) {
    if (IMPOSSIBLE.includes(errnoOf(error) ?? '')) return false;
    throw error;
  }
}
