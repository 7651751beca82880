import { join } from 'node:path';
import type { Layout } from '../layout.ts';
import { NameWriter } from '../name-list.ts';
import type { RecordsSession } from '../name-records.ts';
import { identityIfThere } from '../trees/identity.ts';
import { parseFacts, parseFound, parseSum, showFacts, showSum } from './facts.ts';
import { joined, keyOf, type Line, overlaid, sortedLines } from './lines.ts';
import { freshName, recordOf, writeRecord } from './record.ts';
import { layersOf, recordedLines } from './recorded-lines.ts';

/** The checksums of files of which none was recorded when they were published, in files. */
export class LateSums {
  readonly #work: string;
  readonly #writers = new Map<string, NameWriter>();

  /** @param work a directory for the files. */
  constructor(work: string) {
    this.#work = work;
  }

  /** @param name as in a `Line`. */
  add(id: string, name: string, algorithm: string, hex: string): void {
    const writer = this.#writers.get(id) ?? new NameWriter(this.#pathOf(id));
    this.#writers.set(id, writer);
    writer.write(keyOf(name) + showSum({ algorithm, hex, isLate: true }));
  }

  /** The checksums of one tree, by name. Nothing can be added to it then. */
  async of(id: string, session: RecordsSession): Promise<Iterable<Line>> {
    const writer = this.#writers.get(id);
    if (writer === undefined) return [];
    writer.close();
    const path = this.#pathOf(id);
    return await sortedLines([path], `${path}.sorted`, session);
  }

  #pathOf(id: string): string {
    return join(this.#work, `late-${id}`);
  }
}

/**
 * Records the checksums of files that had none. Only under the lock, and while the tree is held.
 *
 * @param work a directory for files.
 * @throws MirrorlatchError DAMAGED if the record of the tree is.
 */
export async function addToRecord(
  layout: Layout,
  id: string,
  late: Iterable<Line>,
  work: string,
  session: RecordsSession,
): Promise<void> {
  // Another writer may have folded others into it since it was read.
  const record = recordOf(layout, id);
  if (record === undefined) return;
  const recorded = await recordedLines(layout, record, work, session.signal);
  const own = await layersOf(layout, [record], work, session.signal);
  const { name, size: _, ...header } = record;
  const lines = overlaid([withSums(recorded, late), ...own]);
  await writeRecord(layout, name, header, lines, session.signal);
}

/**
 * Records what a tree is now, because nobody knows what it was when it was published. Likewise.
 *
 * @param found what `scanTree` has found.
 */
export async function recordAnew(
  layout: Layout,
  id: string,
  found: Iterable<Line>,
  late: Iterable<Line>,
  session: RecordsSession,
): Promise<void> {
  const tree = identityIfThere(layout.snapshot(id));
  if (tree === undefined) return;
  const header = { tree, base: null, at: new Date().toISOString(), isLate: true };
  await writeRecord(layout, freshName(layout, id), header, asFound(found, late), session.signal);
}

function* withSums(recorded: Iterable<Line>, late: Iterable<Line>): Generator<Line> {
  for (const { key, said } of joined([recorded, late])) {
    const [[then] = [], [sum] = []] = said;
    const facts = parseFacts(then);
    if (facts !== undefined && sum !== undefined)
      yield { key, said: showFacts({ ...facts, sum: parseSum(sum) }) };
  }
}

function* asFound(found: Iterable<Line>, late: Iterable<Line>): Generator<Line> {
  for (const { key, said } of joined([found, late])) {
    const [[now] = [], [sum = ''] = []] = said;
    if (now !== undefined)
      yield { key, said: showFacts({ ...parseFound(now), sum: parseSum(sum) }) };
  }
}
