import { createHash } from 'node:crypto';
import { lstatSync, readFileSync, realpathSync } from 'node:fs';
import { join } from 'node:path';

/** What a name of a tree stands for, through symlinks that stay in the tree. */
export type Entry =
  | 'missing'
  | 'not-regular'
  | { readonly size: number; readonly sha256: string; readonly path: string };

/** Looks at the entries of one tree, each once. */
export class TreeState {
  readonly tree: string;
  readonly #entries = new Map<string, Entry>();

  constructor(tree: string) {
    this.tree = realpathSync(tree);
  }

  entry(name: string): Entry {
    const known = this.#entries.get(name);
    if (known !== undefined) return known;
    const entry = this.#look(name);
    this.#entries.set(name, entry);
    return entry;
  }

  isFile(name: string): boolean {
    return typeof this.entry(name) === 'object';
  }

  /** Whether there is anything of that name. */
  has(name: string): boolean {
    return lstatSync(join(this.tree, name), { throwIfNoEntry: false }) !== undefined;
  }

  isLink(name: string): boolean {
    return lstatSync(join(this.tree, name), { throwIfNoEntry: false })?.isSymbolicLink() === true;
  }

  /** Whether it is a symlink to what is no file of the tree. */
  leadsAstray(name: string): boolean {
    return this.isLink(name) && this.entry(name) === 'not-regular';
  }

  #look(name: string): Entry {
    let path: string;
    try {
      path = realpathSync(join(this.tree, name));
    } catch {
      return 'missing';
    }
    if (!path.startsWith(`${this.tree}/`) || !lstatSync(path).isFile()) return 'not-regular';
    const content = readFileSync(path);
    return {
      path,
      size: content.length,
      sha256: createHash('sha256').update(content).digest('hex'),
    };
  }
}
