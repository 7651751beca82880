import { MirrorlatchError } from '../../errors.ts';
import { lstatIfThere } from '../../system/files.ts';
import { countForbidden, failureOf, findSlowly } from '../../system/find.ts';
import { listsInodeNumbers } from '../../system/inode-numbers.ts';
import { mountPointsWithin } from '../../system/mounts.ts';
import { bytePath } from '../byte-path.ts';
import {
  type InodeNumber,
  SHORT,
  type UseListener,
  type UseRecord,
  UseRecords,
  WHOLE,
} from '../locks/use-records.ts';
import { InodeTable } from './inode-table.ts';

/** What a tree takes on disk. bytes */
export interface TreeUse {
  /** The sizes of its files, each file once. */
  apparent: number;
  /** What all that is in it takes. */
  disk: number;
  /** What of it no other tree has, nor any name elsewhere: what its removal alone would free. */
  own: number;
  /** What of it no earlier tree had. */
  added: number;
  /** What its removal, together with that of all earlier trees, would free. */
  withEarlier: number;
}

/** The unit of st_blocks (inode(7)); bytes. */
const BLOCK = 512;

const REGULAR = 'f'.charCodeAt(0);
const DIRECTORY = 'd'.charCodeAt(0);

/** The sums of one tree. bytes */
interface Sums {
  apparent: number;
  disk: number;
  /** What of it is what has no other name. */
  single: number;
}

/** Adds up what trees that share files take on disk: blocks, so that holes do not count. */
export class DiskUse {
  readonly #inodes = new InodeTable();
  readonly #devices = new Map<number, number>();
  readonly #trees: Sums[] = [];
  /** Directories that this user may not look into. */
  unread = 0;

  /**
   * Counts a tree that may share files with those before: lstat(2) is only for what they do not have.
   *
   * @param path without symlinks on the way to it.
   * @throws MirrorlatchError IO when it cannot be read.
   */
  async countShared(path: string, signal: AbortSignal): Promise<void> {
    const device = lstatIfThere(path)?.dev;
    const isListed =
      device !== undefined &&
      this.#inodes.count > 0 &&
      listsInodeNumbers(path) &&
      mountPointsWithin(path).length === 0;
    if (!isListed) return this.count([path], signal);
    const shared = this.#numberOf(Number(device));
    const printed = ['-type', 'd', '-printf', WHOLE, '-o', '-printf', SHORT];
    await this.#search([path, ...printed], { signal }, (sums, tree) => (inode, nameOf) => {
      if (this.#seeAgain(sums, tree, inode, shared)) return;
      const found = lstatIfThere(bytePath(path, nameOf()));
      if (found === undefined) return;
      this.#take(sums, tree, {
        inode,
        type: found.isFile() ? REGULAR : 0,
        device: Number(found.dev),
        links: Number(found.nlink),
        blocks: Number(found.blocks),
        size: Number(found.size),
      });
    });
  }

  /**
   * Counts any tree. What has vanished is nothing.
   *
   * @param where its path, for find(1), and tests of what does not count.
   * @param cwd where a relative path begins.
   * @throws MirrorlatchError IO when it cannot be read.
   */
  async count(where: readonly string[], signal: AbortSignal, cwd = '/'): Promise<void> {
    await this.#search([...where, '-printf', WHOLE], { signal, cwd }, () => () => {});
  }

  /** What each tree takes, in the order in which they were counted. */
  trees(): TreeUse[] {
    const { first, last, unseen, disk: bytes, count } = this.#inodes;
    const uses = this.#trees.map(({ apparent, disk, single }) => ({
      ...{ apparent, disk, own: single, added: single, withEarlier: single },
    }));
    for (let row = 0; row < count; row += 1) {
      const [size, from, to] = [bytes[row] ?? 0, uses[first[row] ?? 0], uses[last[row] ?? 0]];
      if (from) from.added += size;
      if (unseen[row] !== 0) continue;
      if (to) to.withEarlier += size;
      if (from && from === to) from.own += size;
    }
    let earlier = 0;
    for (const use of uses) {
      earlier += use.withEarlier;
      use.withEarlier = earlier;
    }
    return uses;
  }

  /** What of it all has also names elsewhere; bytes. */
  linkedElsewhere(): number {
    const { unseen, disk, count } = this.#inodes;
    let sum = 0;
    for (let row = 0; row < count; row += 1) if (unseen[row] !== 0) sum += disk[row] ?? 0;
    return sum;
  }

  async #search(
    args: readonly string[],
    options: { signal: AbortSignal; cwd?: string },
    onShort: (sums: Sums, tree: number) => UseListener['onShort'],
  ): Promise<void> {
    const sums = { apparent: 0, disk: 0, single: 0 };
    const tree = this.#trees.push(sums) - 1;
    const records = new UseRecords({
      onWhole: (record) => this.#take(sums, tree, record),
      onShort: onShort(sums, tree),
    });
    let output: AsyncIterable<Buffer> | undefined;
    const search = findSlowly(args, options, (stream) => {
      output = stream;
    });
    search.catch(() => {});
    for await (const chunk of output ?? []) records.read(chunk);
    const result = await search;
    options.signal.throwIfAborted();
    this.unread += countForbidden(result);
    const failure = failureOf(result);
    if (failure !== undefined)
      throw new MirrorlatchError('IO', `${args[0]} cannot be measured: ${failure}`);
  }

  #take(sums: Sums, tree: number, record: Readonly<UseRecord>): void {
    const { inode, type, links } = record;
    const disk = record.blocks * BLOCK;
    const apparent = type === REGULAR ? record.size : 0;
    if (type === DIRECTORY || links === 1) {
      sums.disk += disk;
      sums.apparent += apparent;
      sums.single += disk;
      return;
    }
    const device = this.#numberOf(record.device);
    if (this.#seeAgain(sums, tree, inode, device)) return;
    const inodes = this.#inodes;
    const row = inodes.add(inode.high, inode.low, device);
    inodes.first[row] = tree;
    inodes.last[row] = tree;
    inodes.unseen[row] = links - 1;
    inodes.disk[row] = disk;
    inodes.apparent[row] = apparent;
    sums.disk += disk;
    sums.apparent += apparent;
  }

  /** Notes one more name of an inode. @returns whether the inode is known. */
  #seeAgain(sums: Sums, tree: number, { high, low }: InodeNumber, device: number): boolean {
    const inodes = this.#inodes;
    const row = inodes.find(high, low, device);
    if (row === -1) return false;
    const unseen = inodes.unseen[row] ?? 0;
    if (unseen > 0) inodes.unseen[row] = unseen - 1;
    // Other names of it in the same tree are no more of it.
    if (inodes.last[row] === tree) return true;
    inodes.last[row] = tree;
    sums.disk += inodes.disk[row] ?? 0;
    sums.apparent += inodes.apparent[row] ?? 0;
    return true;
  }

  #numberOf(device: number): number {
    const known = this.#devices.get(device);
    if (known !== undefined) return known;
    this.#devices.set(device, this.#devices.size);
    return this.#devices.size - 1;
  }
}
