import { NameWriter, readNames } from '../name-list.ts';
import type { Unread } from './compare.ts';
import { parseSum, type Sum, showSum } from './facts.ts';
import { type SortOptions, sortInto } from './lines.ts';

/** A name under which a file is to be read. */
interface ListedName {
  /** The id of the tree, a slash and the name; one character per byte (latin1). */
  path: string;
  sum: Sum | undefined;
}

/** A file, with all names that it has on the list: it is read once. */
export interface ListedFile {
  names: [ListedName, ...ListedName[]];
  /** bytes */
  size: number;
}

/**
 * The files that are to be read, in the order of their inodes, which is about that on the disk. It lies in
 * files, so that millions of them need no memory.
 */
export class ReadingList {
  readonly #path: string;
  readonly #writer: NameWriter;

  /** @param path of the files that are made: this, and this and `.sorted`. */
  constructor(path: string) {
    this.#path = path;
    this.#writer = new NameWriter(path);
  }

  add(id: string, { name, inode, size, sum }: Unread): void {
    this.#writer.write(`${inode.padStart(20, '0')} ${size} ${showSum(sum)} ${id}/${name}`);
  }

  /** Puts the list in order. Nothing can be added then. */
  async sort(options: SortOptions): Promise<void> {
    this.#writer.close();
    await sortInto(`${this.#path}.sorted`, [this.#path], options);
  }

  *files(): Generator<ListedFile> {
    let inode = '';
    let file: ListedFile | undefined;
    for (const line of readNames(`${this.#path}.sorted`)) {
      const [, own = '', size = '', sum = '', path = ''] =
        /^(\d+) (\d+) (\S+) (.*)$/s.exec(line) ?? [];
      const name = { path, sum: parseSum(sum) };
      if (file !== undefined && own === inode) {
        file.names.push(name);
        continue;
      }
      if (file !== undefined) yield file;
      inode = own;
      file = { names: [name], size: Number(size) };
    }
    if (file !== undefined) yield file;
  }
}

/** The checksums by which a file can be checked; none if none was recorded for any of its names. */
export function algorithmsOf({ names }: ListedFile): string[] {
  return [...new Set(names.flatMap(({ sum }) => sum?.algorithm ?? []))];
}
