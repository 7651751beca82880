import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { forgetVerified } from '../../checks/verified.ts';
import { asMirrorlatchError } from '../../errors.ts';
import { appendHistory } from '../../mirror/history/history.ts';
import type { Layout } from '../../mirror/layout.ts';
import type { RecordsSession } from '../../mirror/name-records.ts';
import { addToRecord, type LateSums, recordAnew } from '../../mirror/sums/late.ts';
import { joined, type Line } from '../../mirror/sums/lines.ts';
import { scanTree } from '../../mirror/sums/scan.ts';
import { withLock } from '../../writer/session.ts';
import type { VerifiedTree, VerifyOptions } from './verified.ts';

/** What was found. */
export interface Results {
  trees: readonly VerifiedTree[];
  /** The content of files was read. */
  hasRead: boolean;
  late: LateSums;
  /** Of a tree the names that are wrong by what its repositories say, sorted. */
  wrong: ReadonlyMap<string, Iterable<Line>>;
}

export interface KeepMeans {
  /** A directory for files. */
  work: string;
  session: RecordsSession;
}

/** What is recorded is worth a wait for a sync that runs; ms. */
const RECORD_WAIT_MS = 60 * 60 * 1000;

/** Puts what was found into the history, and, if that was asked for, records what is new. */
export async function keepResults(
  layout: Layout,
  results: Results,
  { record = false, lock, signal, onEvent }: VerifyOptions,
  means: KeepMeans,
): Promise<void> {
  const failure = `${layout.root} was verified, but that cannot be recorded`;
  const waitMs = lock?.waitMs ?? (record ? RECORD_WAIT_MS : undefined);
  const session = { command: 'verify', failure, lock: { ...lock, waitMs }, signal };
  const { trees, hasRead: content } = results;
  try {
    await withLock(layout, session, async () => {
      if (trees.some(({ damaged }) => damaged > 0)) forgetVerified(layout);
      if (record) for (const tree of trees) await recordTree(layout, tree, results, means);
      for (const { id, damaged, recordedAt, recordDamage, checked } of trees) {
        if (recordedAt === null && recordDamage === null && checked + damaged === 0) continue;
        const at = new Date().toISOString();
        appendHistory(layout, { event: 'verified', at, id, content, damaged });
      }
    });
  } catch (error) {
    if (record || signal?.aborted) throw error;
    const { message } = asMirrorlatchError(error, failure);
    onEvent?.({ kind: 'notice', message: `the result is not in the history: ${message}` });
  }
}

async function recordTree(
  layout: Layout,
  tree: VerifiedTree,
  results: Results,
  means: KeepMeans,
): Promise<void> {
  const { id } = tree;
  const { session } = means;
  const late = without(await results.late.of(id, session), results.wrong.get(id) ?? []);
  const work = join(means.work, `record-${id}`);
  mkdirSync(work);
  if (tree.recordedAt === null) {
    const { lines } = await scanTree(layout.snapshot(id), join(work, 'tree'), session);
    await recordAnew(layout, id, lines, late, session);
    Object.assign(tree, { isRecordedNow: true, recordDamage: null });
  } else await addToRecord(layout, id, late, work, session);
  rmSync(work, { recursive: true, force: true });
}

/** Sorted lines but for those of some names. */
function* without(lines: Iterable<Line>, names: Iterable<Line>): Generator<Line> {
  for (const { key, said } of joined([lines, names])) {
    const [[own] = [], isNamed = []] = said;
    if (own !== undefined && isNamed.length === 0) yield { key, said: own };
  }
}
