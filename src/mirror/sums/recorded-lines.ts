import { join } from 'node:path';
import { MirrorlatchError } from '../../errors.ts';
import { quoteForSh } from '../../system/quote.ts';
import type { Layout } from '../layout.ts';
import { GONE } from './facts.ts';
import { type Line, linesIn, overlaid } from './lines.ts';
import { chainOf, idOf, type SumRecord, unpackRecord } from './record.ts';

/**
 * All that is recorded of a tree, sorted by name.
 *
 * @param work a directory for files.
 * @throws MirrorlatchError DAMAGED if a record is not whole.
 */
export async function recordedLines(
  layout: Layout,
  top: SumRecord,
  work: string,
  signal: AbortSignal,
): Promise<Iterable<Line>> {
  const chain = chainOf(layout, top);
  if ('lacking' in chain) throw damagedRecord(layout, idOf(top), chain.lacking);
  const lines = await layersOf(layout, chain, work, signal);
  return {
    *[Symbol.iterator]() {
      for (const line of overlaid(lines)) if (line.said !== GONE) yield line;
    },
  };
}

/** The lines of records, each sorted by name. @throws MirrorlatchError DAMAGED */
export async function layersOf(
  layout: Layout,
  records: readonly SumRecord[],
  work: string,
  signal: AbortSignal,
): Promise<Iterable<Line>[]> {
  const layers: Iterable<Line>[] = [];
  for (const record of records) {
    const file = join(work, record.name);
    const isWhole = await unpackRecord(layout, record.name, file, signal);
    if (!isWhole) throw damagedRecord(layout, idOf(records[0] ?? record), record.name);
    layers.push(linesIn(file));
  }
  return layers;
}

/** @param id of the snapshot that it is about, or whose record leans on it. */
export function damagedRecord(layout: Layout, id: string, name: string): MirrorlatchError {
  const path = join(layout.sums, name);
  const isOwn = idOf({ name }) === id;
  const leaning = isOwn ? '' : `, on which that of ${id} leans,`;
  const again = ['mirrorlatch verify --record', ...[layout.root, id].map(quoteForSh)].join(' ');
  return new MirrorlatchError('DAMAGED', `the record ${path}${leaning} is damaged or missing`, {
    hint: `What ${id} was when it was published is not known any more. To record what it is now: ${again}`,
    details: { path },
  });
}
