import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Layout } from '../layout.ts';
import { identityIfThere } from '../trees/identity.ts';
import { GONE } from './facts.ts';
import { type Line, overlaid } from './lines.ts';
import {
  idOf,
  readRecords,
  recordOf,
  removeRecord,
  removeUnfinished,
  type SumRecord,
  writeRecord,
} from './record.ts';
import { layersOf } from './recorded-lines.ts';

/**
 * Removes the records on which no tree leans any more, and folds those of pruned snapshots into the next ones
 * as soon as that pays, so that no tree leans on many. Only under the lock.
 *
 * @throws MirrorlatchError DAMAGED if a record is not whole.
 */
export async function foldRecords(layout: Layout, signal: AbortSignal): Promise<void> {
  removeUnfinished(layout);
  const { records } = readRecords(layout);
  const isOfTree = (record: SumRecord) =>
    identityIfThere(layout.snapshot(idOf(record))) === record.tree &&
    recordOf(layout, idOf(record), { records }) === record;
  const tops = records.filter(isOfTree);
  const needed = new Map<string, SumRecord>();
  const leaning = new Map<string, number>();
  const named = new Map(records.map((record) => [record.name, record]));
  for (const top of tops) {
    let record: SumRecord | undefined = top;
    while (record !== undefined && !needed.has(record.name)) {
      needed.set(record.name, record);
      if (record.base === null) break;
      leaning.set(record.base, (leaning.get(record.base) ?? 0) + 1);
      record = named.get(record.base);
    }
  }
  for (const { name } of records) if (!needed.has(name)) removeRecord(layout, name);
  const isKept = new Set(tops.map(({ name }) => name));
  const isEnd = ({ name }: SumRecord) => isKept.has(name) || leaning.get(name) !== 1;
  for (const run of runsOf([...needed.values()], isEnd)) await fold(layout, foldable(run), signal);
}

/**
 * Records that lean on each other, the newest first, of which only that is wanted for itself.
 *
 * @param isEnd whether a record is wanted, or more than one leans on it.
 */
export function runsOf<Record extends { name: string; base: string | null }>(
  records: readonly Record[],
  isEnd: (record: Record) => boolean,
): Record[][] {
  const named = new Map(records.map((record) => [record.name, record]));
  return records.filter(isEnd).map((end) => {
    const run = [end];
    let next = end.base === null ? undefined : named.get(end.base);
    while (next !== undefined && !isEnd(next)) {
      run.push(next);
      next = next.base === null ? undefined : named.get(next.base);
    }
    return run;
  });
}

/**
 * The part of a run that pays to be folded: down to the oldest record that is at most twice as large as all
 * above it. So each line is written again seldom, and what is left of a run is at most some twenty records.
 *
 * @param run the newest first.
 */
export function foldable<Record extends { size: number }>(run: readonly Record[]): Record[] {
  let above = 0;
  let end = 0;
  run.forEach(({ size }, at) => {
    if (at > 0 && size <= 2 * above) end = at;
    above += size;
  });
  return end === 0 ? [] : run.slice(0, end + 1);
}

/** @param run the newest first, which then has what all of them had. */
async function fold(layout: Layout, run: readonly SumRecord[], signal: AbortSignal): Promise<void> {
  const [top, last] = [run[0], run.at(-1)];
  if (top === undefined || last === undefined) return;
  const work = mkdtempSync(join(layout.staging, '.sums-'));
  try {
    const lines = overlaid(await layersOf(layout, run, work, signal));
    const { tree, at, isLate } = top;
    const header = { tree, base: last.base, at, isLate };
    await writeRecord(layout, top.name, header, last.base === null ? there(lines) : lines, signal);
    for (const { name } of run.slice(1)) removeRecord(layout, name);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Below a record that leans on none, there is nothing that could be gone. */
function* there(lines: Iterable<Line>): Generator<Line> {
  for (const line of lines) if (line.said !== GONE) yield line;
}
