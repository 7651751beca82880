import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { asMirrorlatchError, MirrorlatchError } from '../errors.ts';
import { channelAt } from '../mirror/channels/channels.ts';
import { currentId, previousId } from '../mirror/current.ts';
import { mayShareFiles, readHistory } from '../mirror/history/history.ts';
import type { Layout } from '../mirror/layout.ts';
import { openMirrorWithSnapshots } from '../mirror/open.ts';
import { snapshotNamed } from '../mirror/snapshot-path.ts';
import { Spool } from '../mirror/spool.ts';
import { MovedFiles } from '../mirror/trees/moved-files.ts';
import { type Difference, differencesOf } from '../mirror/trees/tree-differences.ts';
import { quoteForSh } from '../system/quote.ts';
import { pin } from './pin.ts';

export interface DiffOptions {
  root: string;
  /** The two snapshots, by id or path, `current`, `previous` or a channel; by default the previous and the current one. */
  from?: string | undefined;
  to?: string | undefined;
  /** Compares the content, too, of files that agree in size and time but are not the same file. */
  checksum?: boolean | undefined;
  signal?: AbortSignal | undefined;
}

/** An entry in which two snapshots differ; `moved`: a file that both share has another name. */
export interface SnapshotDifference extends Omit<Difference, 'change' | 'inode'> {
  change: Difference['change'] | 'moved';
  /** The name of a moved file in the older snapshot. */
  from?: string;
}

/** How many entries differ. Sizes are bytes. */
export interface DiffTotals {
  newFiles: number;
  newBytes: number;
  changedFiles: number;
  changedBytes: number;
  /** What the changed files had before. */
  changedBytesBefore: number;
  deletedFiles: number;
  deletedBytes: number;
  movedFiles: number;
  /** Directories, symlinks and others, and files of which only mode, owner or time differ. */
  otherChanges: number;
}

export interface SnapshotDiff {
  root: string;
  from: string;
  to: string;
  areEqual: boolean;
  totals: DiffTotals;
  /** Directories that this user may not look into, so that what is in them was not compared. */
  unreadDirectories: number;
  /** In the order of their names. They can be iterated again and again. */
  differences: Iterable<SnapshotDifference>;
}

/**
 * Compares two snapshots, and hands on in what they differ. Both are held meanwhile. What they share is
 * neither read nor looked at: a name that leads to the same inode in both is unchanged.
 *
 * @param use called with the result, which is of use until it settles.
 * @throws MirrorlatchError NO_MIRROR for a snapshot that does not exist; USAGE for an in-place mirror; IO.
 */
export async function diff<Result>(
  { root, from = 'previous', to = 'current', checksum = false, signal }: DiffOptions,
  use: (found: SnapshotDiff) => Result | Promise<Result>,
): Promise<Result> {
  const { layout } = openMirrorWithSnapshots(root);
  const before = await pin({ root, id: idMeant(layout, from), signal });
  try {
    const after = await pin({ root, id: idMeant(layout, to), signal });
    const history = readHistory(layout);
    const directory = makeTemporaryDirectory();
    const found = new Spool<Difference>();
    try {
      const moved = new MovedFiles();
      const totals = noDifferences();
      let unreadDirectories = 0;
      const differences = differencesOf(
        { before: before.path, after: after.path },
        {
          directory,
          mayShare: [before, after].every(({ id }) => mayShareFiles(history, id)),
          checksum,
          signal: signal ?? new AbortController().signal,
          onForbidden: (count) => {
            unreadDirectories = count;
          },
        },
      );
      let areEqual = true;
      for await (const difference of differences) {
        areEqual = false;
        moved.add(difference);
        count(totals, difference);
        found.add(difference);
      }
      const moves = moved.find();
      for (const { size } of moves) countMoved(totals, size);
      return await use({
        root: layout.root,
        from: before.id,
        to: after.id,
        areEqual,
        totals,
        unreadDirectories,
        differences: { [Symbol.iterator]: () => withMoves(found, moves) },
      });
    } finally {
      found.discard();
      rmSync(directory, { recursive: true, force: true });
      after.release();
    }
  } finally {
    before.release();
  }
}

function idMeant(layout: Layout, word: string): string {
  if (word !== 'current' && word !== 'previous')
    return channelAt(layout, word)?.id ?? snapshotNamed(layout, word);
  const id = word === 'current' ? currentId(layout) : previousId(layout);
  if (id !== undefined) return id;
  const shown = quoteForSh(layout.root);
  throw new MirrorlatchError('NO_MIRROR', `${layout.root} has no ${word} snapshot`, {
    hint: `To compare others, name two that there are: mirrorlatch list ${shown}`,
  });
}

function makeTemporaryDirectory(): string {
  try {
    return mkdtempSync(join(tmpdir(), 'mirrorlatch-'));
  } catch (error) {
    throw asMirrorlatchError(error, `no temporary files can be made in ${tmpdir()}`);
  }
}

function noDifferences(): DiffTotals {
  return {
    newFiles: 0,
    newBytes: 0,
    changedFiles: 0,
    changedBytes: 0,
    changedBytesBefore: 0,
    deletedFiles: 0,
    deletedBytes: 0,
    movedFiles: 0,
    otherChanges: 0,
  };
}

function count(totals: DiffTotals, { change, size, sizeBefore }: Difference): void {
  const isFile = size !== null || sizeBefore !== null;
  if (!isFile || change === 'attributes') totals.otherChanges += 1;
  else if (change === 'new') {
    totals.newFiles += 1;
    totals.newBytes += size ?? 0;
  } else if (change === 'deleted') {
    totals.deletedFiles += 1;
    totals.deletedBytes += sizeBefore ?? 0;
  } else {
    totals.changedFiles += 1;
    totals.changedBytes += size ?? 0;
    totals.changedBytesBefore += sizeBefore ?? 0;
  }
}

/** What was counted as a new file and a deleted one is one. */
function countMoved(totals: DiffTotals, size: number): void {
  totals.newFiles -= 1;
  totals.newBytes -= size;
  totals.deletedFiles -= 1;
  totals.deletedBytes -= size;
  totals.movedFiles += 1;
}

function* withMoves(
  found: Iterable<Difference>,
  moves: ReturnType<MovedFiles['find']>,
): Generator<SnapshotDifference> {
  const cameFrom = new Map(moves.map(({ from, to }) => [to, from]));
  const gone = new Set(moves.map(({ from }) => from));
  for (const { inode: _, ...difference } of found) {
    const { change, name } = difference;
    const from = change === 'new' ? cameFrom.get(name) : undefined;
    if (from !== undefined)
      yield { ...difference, change: 'moved', sizeBefore: difference.size, from };
    else if (change !== 'deleted' || !gone.has(name)) yield difference;
  }
}
