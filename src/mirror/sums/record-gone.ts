import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Layout } from '../layout.ts';
import type { RecordsSession } from '../name-records.ts';
import { GONE } from './facts.ts';
import { joined, type Line } from './lines.ts';
import { freshName, recordOf, writeRecord } from './record.ts';
import { recordedLines } from './recorded-lines.ts';
import { scanTree } from './scan.ts';

/**
 * Records that what is recorded of a tree, and is not in it, is gone. That is so once the tree was compared
 * with its source: a sync brings what the source has, and nothing is damaged that the source has given up.
 * Only under the lock.
 *
 * @param tree its path, which may be in staging.
 * @returns how many entries that are.
 * @throws MirrorlatchError DAMAGED if its record is not whole.
 */
export async function recordGone(
  layout: Layout,
  id: string,
  tree: string,
  session: RecordsSession,
): Promise<number> {
  const record = recordOf(layout, id, { tree });
  if (record === undefined) return 0;
  const work = join(layout.staging, '.sums');
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work, { mode: 0o700 });
  try {
    const { lines, hidden } = await scanTree(tree, join(work, 'tree'), session);
    if (hidden !== undefined) return 0;
    const recorded = await recordedLines(layout, record, work, session.signal);
    const gone = [...goneLines(lines, recorded)];
    if (gone.length === 0) return 0;
    const header = { tree: record.tree, base: record.name, at: record.at, isLate: record.isLate };
    await writeRecord(layout, freshName(layout, id), header, gone, session.signal);
    return gone.length;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function* goneLines(found: Iterable<Line>, recorded: Iterable<Line>): Generator<Line> {
  for (const { key, said } of joined([found, recorded])) {
    const [now = [], then = []] = said;
    if (now.length === 0 && then.length > 0) yield { key, said: GONE };
  }
}
