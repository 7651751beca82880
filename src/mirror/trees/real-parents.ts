import { lstatIfThere } from '../../system/files.ts';
import { bytePath, parentOf } from '../byte-path.ts';

/** Checks that the path to an entry leads through real directories only. */
export class RealParents {
  readonly #tree: string;
  /** Answers for recent parents. Lists come directory by directory, so few are needed. */
  #known = new Map<string, boolean>([['.', true]]);

  constructor(tree: string) {
    this.#tree = tree;
  }

  leadTo(name: string): boolean {
    const parent = parentOf(name);
    const known = this.#known.get(parent);
    if (known !== undefined) return known;
    const isReal =
      this.leadTo(parent) && lstatIfThere(bytePath(this.#tree, parent))?.isDirectory() === true;
    if (this.#known.size > 1000) this.#known = new Map([['.', true]]);
    this.#known.set(parent, isReal);
    return isReal;
  }
}
