import { closeSync } from 'node:fs';
import { join } from 'node:path';
import { eachName, NameRecords, type RecordsSession } from '../name-records.ts';
import { findLinesApart, linesOfFile } from '../trees/lines-apart.ts';
import { addFact, type Facts, type ListedEntry, openFileList, splitLine } from './file-list.ts';

/** What two lists of a tree say of a name, one after the other. */
export interface ListedChange {
  /** One character per byte (latin1). */
  name: string;
  before: Facts;
  after: Facts;
}

/**
 * In which entries lists of one tree differ, each from the one before. Only the lines that differ are read,
 * and they lie in files: what is the same in lists of millions of lines costs neither time nor memory.
 */
export class ListedChanges {
  readonly #directory: string;
  readonly #session: RecordsSession;
  readonly #isIgnored: (name: string) => boolean;
  readonly #steps: NameRecords[] = [];

  /**
   * @param directory where files are made.
   * @param isIgnored says of a name that it does not matter what a list says of it.
   */
  constructor(directory: string, session: RecordsSession, isIgnored: (name: string) => boolean) {
    this.#directory = directory;
    this.#session = session;
    this.#isIgnored = isIgnored;
  }

  /**
   * Adds what the next list says.
   *
   * @param before the last list, and `after` the next one.
   * @param onDifference called for each line that differs.
   * @returns whether they are the same, byte for byte.
   * @throws FileListFault
   */
  async add(before: Buffer, after: Buffer, onDifference: () => void = () => {}): Promise<boolean> {
    const step = this.#steps.length;
    const records = new NameRecords(join(this.#directory, `.listed-${step}`));
    this.#steps.push(records);
    let isSame = true;
    await withLists(before, after, (one, other) =>
      findLinesApart(linesOfFile(one), linesOfFile(other), this.#session.signal, (found) => {
        const { side, line } = found;
        isSame = false;
        onDifference();
        const { name, fact } = splitLine(line) ?? {};
        if (name === undefined || fact === undefined || this.#isIgnored(name)) return;
        records.add(name, `${step} ${side} ${fact}`);
      }),
    );
    records.close();
    return isSame;
  }

  /**
   * Calls back with each entry that differs between the last two lists, a directory before what is in it.
   *
   * @throws FileListFault for a list that names an entry twice; what `onChange` throws.
   */
  async eachOfLast(onChange: (change: ListedChange) => void): Promise<void> {
    await this.#each(this.#steps.slice(-1), onChange);
  }

  /**
   * The same for all lists: an entry may be the same in the first and in the last of them. Of an entry that
   * has changed more than once, it is the last change.
   */
  async eachOfAll(onChange: (change: ListedChange) => void): Promise<void> {
    await this.#each(this.#steps, onChange);
  }

  /** What it has made in its directory is of no use any more. */
  close(): void {
    for (const step of this.#steps) step.close();
  }

  #each(steps: readonly NameRecords[], onChange: (change: ListedChange) => void): Promise<void> {
    return eachName(steps, this.#directory, this.#session, (name, records) => {
      const change = changeOf(name, records);
      if (change !== undefined) onChange(change);
    });
  }
}

async function withLists(
  before: Buffer,
  after: Buffer,
  compare: (one: number, other: number) => Promise<void>,
): Promise<void> {
  const one = openFileList(before);
  try {
    const other = openFileList(after);
    try {
      await compare(one, other);
    } finally {
      closeSync(other);
    }
  } finally {
    closeSync(one);
  }
}

/** @returns undefined if nothing changes: a line has another place, no more. */
function changeOf(name: string, records: readonly string[]): ListedChange | undefined {
  const last = Math.max(...records.map((record) => Number.parseInt(record, 10)));
  const change = { name, before: noFacts(), after: noFacts() };
  for (const record of records) {
    const [, step, side, fact = ''] = /^(\d+) (old|new) (.*)$/s.exec(record) ?? [];
    if (Number(step) !== last) continue;
    addFact(side === 'old' ? change.before : change.after, name, fact);
  }
  const { before, after } = change;
  const isSame =
    isSameEntry(before.entry, after.entry) && `${before.checksums}` === `${after.checksums}`;
  return isSame ? undefined : change;
}

function noFacts(): Facts {
  return { checksums: [] };
}

function isSameEntry(one: ListedEntry | undefined, other: ListedEntry | undefined): boolean {
  if (one === undefined || other === undefined) return one === other;
  return (
    one.type === other.type &&
    one.size === other.size &&
    one.time === other.time &&
    one.isRestricted === other.isRestricted
  );
}
