import type { Difference } from './tree-differences.ts';

/** With more new or deleted files that have other names, moved ones are not sought. */
const MOST = 10_000;

/** A file under another name than in an older tree. */
export interface MovedFile {
  from: string;
  to: string;
  /** bytes */
  size: number;
}

/**
 * The files that have another name in a newer tree than in an older one: one that is deleted and one that is
 * new are the same inode. So only a file that the trees share is seen to be moved.
 */
export class MovedFiles {
  readonly #gone = new Map<string, string[]>();
  readonly #came = new Map<string, { name: string; size: number }[]>();
  #count = 0;

  /** Adds a difference, of which it may be a half. */
  add({ change, name, size, inode }: Difference): void {
    if (inode === undefined || this.#count > MOST) return;
    this.#count += 1;
    if (change === 'new') push(this.#came, inode, { name, size: size ?? 0 });
    else push(this.#gone, inode, name);
  }

  /** All of them, once all differences have been added. */
  find(): MovedFile[] {
    if (this.#count > MOST) return [];
    return [...this.#came].flatMap(([inode, names]) => {
      const before = this.#gone.get(inode) ?? [];
      return names
        .slice(0, before.length)
        .map(({ name, size }, at) => ({ from: before[at] ?? '', to: name, size }));
    });
  }
}

function push<Item>(map: Map<string, Item[]>, key: string, item: Item): void {
  const items = map.get(key);
  if (items === undefined) map.set(key, [item]);
  else items.push(item);
}
