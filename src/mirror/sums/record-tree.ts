import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { hasCode } from '../../errors.ts';
import { Turns } from '../../system/event-loop.ts';
import { ifAllowed, lstatIfThere } from '../../system/files.ts';
import { bytePath } from '../byte-path.ts';
import type { ChangedName } from '../changes.ts';
import { type Layout, LIVE } from '../layout.ts';
import { NameWriter } from '../name-list.ts';
import type { RecordsSession } from '../name-records.ts';
import { identityIfThere } from '../trees/identity.ts';
import { RealParents } from '../trees/real-parents.ts';
import {
  type Facts,
  FIND_FACTS_AND_CTIME,
  factsOf,
  GONE,
  parseCtime,
  parseFacts,
  parseFound,
  showFacts,
} from './facts.ts';
import { joined, keyOf, type Line, nameOfKey, sortedLines } from './lines.ts';
import { type ReceivedSums, receivedOf } from './received.ts';
import {
  freshName,
  idOf,
  readRecords,
  recordOf,
  removeRecord,
  type SumRecord,
  writeRecord,
} from './record.ts';
import { recordedLines } from './recorded-lines.ts';
import { scanTree } from './scan.ts';

/** How a tree was made, as far as it is known. */
export interface TreeOrigin {
  /** The id of the tree whose files it shares where they are the same, or in place, that it was. */
  base?: string | undefined;
  /** All names in which it may differ from that; undefined if they are not known. */
  changed?: Iterable<ChangedName> | undefined;
  /** What rsync has transferred to make it. */
  received?: ReceivedSums | undefined;
}

/**
 * Records what a tree is, before it is published. If all that differs from its base is known, that takes as
 * long as so much takes; else all of the tree is looked at, but nothing is read. If this very tree was recorded before,
 * each file to which nothing has written since has the checksum that it had then.
 *
 * @param tree its path, as in staging.
 */
export async function recordTree(
  layout: Layout,
  id: string,
  tree: string,
  origin: TreeOrigin,
  session: RecordsSession,
): Promise<void> {
  const identity = identityIfThere(tree);
  if (identity === undefined) return;
  const { records } = readRecords(layout);
  const base = origin.base === undefined ? undefined : recordOf(layout, origin.base, { records });
  const [former] = records
    .filter(({ tree }) => tree === identity)
    .sort((one, other) => Date.parse(other.at) - Date.parse(one.at));
  // What is written from now on is none of this.
  const at = new Date().toISOString();
  const work = join(layout.staging, '.sums');
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work, { mode: 0o700 });
  try {
    const made = { tree, work, received: origin.received?.files() ?? [], session };
    const from = origin.base && layout.snapshot(origin.base);
    const before = former && (() => recordBefore(layout, former, work, session.signal));
    const lines = await linesOf(made, base && from, origin.changed, before);
    const header = { tree: identity, base: base?.name ?? null, isLate: false };
    await writeRecord(layout, freshName(layout, id), { ...header, at }, lines, session.signal);
    forgetUnpublished(layout, records, id, identity);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Forgets what was recorded of a tree that has changed since, or may have. */
export function forgetRecords(layout: Layout, id: string, tree: string): void {
  const identity = identityIfThere(tree);
  for (const record of readRecords(layout).records)
    if (idOf(record) === id && record.tree === identity) removeRecord(layout, record.name);
}

/** Removes what a sync recorded of the same tree that did not come to publish that. */
function forgetUnpublished(
  layout: Layout,
  records: readonly SumRecord[],
  id: string,
  tree: string,
): void {
  if (id === LIVE) return;
  const isBase = (name: string) => records.some(({ base }) => base === name);
  for (const record of records)
    if (idOf(record) === id && record.tree === tree && !isBase(record.name))
      removeRecord(layout, record.name);
}

/** What was recorded of a tree. */
interface RecordBefore {
  lines: Iterable<Line>;
  /** When; ms since the epoch. */
  at: number;
}

/** Nothing is known of a tree whose record is damaged. */
async function recordBefore(
  layout: Layout,
  record: SumRecord,
  work: string,
  signal: AbortSignal,
): Promise<RecordBefore> {
  try {
    const lines = await recordedLines(layout, record, work, signal);
    return { lines, at: Date.parse(record.at) };
  } catch (error) {
    if (hasCode(error, 'DAMAGED')) return NOTHING;
    throw error;
  }
}

const NOTHING: RecordBefore = { lines: [], at: 0 };

interface Made {
  tree: string;
  /** A directory for files. */
  work: string;
  /** See `ReceivedSums`. */
  received: readonly string[];
  session: RecordsSession;
}

/**
 * @param base the path of the tree of which there is a record; undefined if all is to be recorded.
 * @param before finds what was recorded of this tree before.
 */
async function linesOf(
  made: Made,
  base: string | undefined,
  changed: Iterable<ChangedName> | undefined,
  before: () => Promise<RecordBefore> = async () => NOTHING,
): Promise<Iterable<Line>> {
  const { tree, work, received, session } = made;
  if (base !== undefined && changed !== undefined) return changedLines(made, base, changed);
  const arrived = await sortedLines(received, join(work, 'received'), session);
  const { lines } = await scanTree(tree, join(work, 'tree'), session, {
    print: FIND_FACTS_AND_CTIME,
  });
  const former = await before();
  if (base === undefined) return allLines(lines, arrived, former);
  const ofBase = await scanTree(base, join(work, 'base'), session);
  return differentLines(lines, ofBase.lines, arrived, former);
}

/** What is to be recorded of the names that may have changed. */
async function changedLines(
  { tree, work, received, session }: Made,
  base: string,
  changed: Iterable<ChangedName>,
): Promise<Iterable<Line>> {
  const path = join(work, 'changed');
  const names = new NameWriter(path);
  const turns = new Turns(session.signal);
  names.write(keyOf('.'));
  for (const { name, isTakenOut } of changed) {
    await turns.step();
    names.write(keyOf(name));
    if (isTakenOut && !isDirectory(tree, name))
      for (const below of namesBelow(base, name)) names.write(keyOf(below));
  }
  names.close();
  const sorted = await sortedLines([path, ...received], join(work, 'sorted'), session);
  return factsOfNames(tree, sorted);
}

function* factsOfNames(tree: string, sorted: Iterable<Line>): Generator<Line> {
  const parents = new RealParents(tree);
  for (const { key, said } of joined([sorted])) {
    const name = nameOfKey(key);
    const path = bytePath(tree, name);
    // What this user may not see, `verify` does not see either.
    const found = ifAllowed(() => (parents.leadTo(name) ? lstatIfThere(path) : undefined));
    if (found === undefined) yield { key, said: GONE };
    else {
      const facts = factsOf(found, path);
      const { isTouched, sum } = receivedOf(said[0] ?? [], facts.size);
      yield lineOf(key, facts, sum ?? (isTouched ? undefined : 'as before'));
    }
  }
}

/** What is to be recorded of all entries of a tree. @param tree with the time at which each inode has changed. */
function* allLines(
  tree: Iterable<Line>,
  received: Iterable<Line>,
  before: RecordBefore,
): Generator<Line> {
  for (const { key, said } of joined([tree, received, before.lines])) {
    const [[text] = [], arrived = [], [then] = []] = said;
    if (text === undefined) continue;
    const { found, changedAt } = parseCtime(text);
    const facts = parseFound(found);
    const former = changedAt < before.at ? then : undefined;
    yield lineOf(key, facts, sumOf(facts, arrived, former));
  }
}

/**
 * The checksum of a file that was received, or was recorded of one of its size and time.
 *
 * @param former what was recorded of it, unless something has written to it since.
 */
function sumOf(
  { size, time }: Facts,
  arrived: readonly string[],
  former: string | undefined,
): Facts['sum'] {
  const { isTouched, sum } = receivedOf(arrived, size);
  if (sum !== undefined || isTouched) return sum;
  const then = parseFacts(former);
  return then?.size === size && then.time === time && then.sum !== 'as before'
    ? then.sum
    : undefined;
}

/** The same of the entries of a tree that are not the very files of its base. */
function* differentLines(
  tree: Iterable<Line>,
  base: Iterable<Line>,
  received: Iterable<Line>,
  before: RecordBefore,
): Generator<Line> {
  for (const { key, said } of joined([tree, base, received, before.lines])) {
    const [[text] = [], [ofBase] = [], arrived = [], [then] = []] = said;
    if (text === undefined) {
      if (ofBase !== undefined) yield { key, said: GONE };
      continue;
    }
    const { found, changedAt } = parseCtime(text);
    if (found === ofBase) continue;
    const facts = parseFound(found);
    const former = changedAt < before.at ? then : undefined;
    yield lineOf(key, facts, sumOf(facts, arrived, former));
  }
}

function lineOf(key: string, facts: Facts, sum: Facts['sum']): Line {
  return { key, said: showFacts({ ...facts, sum: facts.type === 'f' ? sum : undefined }) };
}

function isDirectory(tree: string, name: string): boolean {
  return lstatIfThere(bytePath(tree, name))?.isDirectory() === true;
}

function* namesBelow(tree: string, directory: string): Generator<string> {
  if (!isDirectory(tree, directory)) return;
  for (const entry of readdirSync(bytePath(tree, directory), { encoding: 'latin1' })) {
    const name = `${directory}/${entry}`;
    yield name;
    yield* namesBelow(tree, name);
  }
}
