import { posix } from 'node:path';
import { parentOf, parentsOf } from '../../mirror/byte-path.ts';

import { nameIn } from '../claims.ts';
import type { Session } from '../session.ts';
import { entryIn } from '../tree-files.ts';
import type { Link } from './links.ts';

/** Where in a tree the files lie that an index names. */
export class Places {
  readonly #session: Session;
  /** The directory that was looked for last, and whether it is there: the links of a page lead to few. */
  #last: readonly [name: string, isThere: boolean] = ['.', true];
  #isToldOf = false;

  constructor(session: Session) {
    this.#session = session;
  }

  /**
   * An index may name files of a directory that a mirror does not have, as one of bandersnatch without its
   * `release-files`. So a file is missed only in a directory that is there, or that readers have.
   *
   * @param page the name of the index in the tree.
   * @returns the name of the file in the tree; undefined for one that lies elsewhere.
   */
  of(link: Link, page: string): string | undefined {
    const directory = parentOf(page);
    const place =
      link.from === 'page' ? this.#fromPage(link, directory) : this.#fromTop(link, directory);
    if (place === undefined && !this.#isToldOf) {
      this.#isToldOf = true;
      this.#session.notes.add(
        `${page} names ${link.path}, whose directory is not there: such files are taken to lie elsewhere`,
      );
    }
    return place;
  }

  #fromPage({ path }: Link, directory: string): string | undefined {
    const name = nameIn('.', path);
    if (name === undefined) return undefined;
    const shared = [directory, ...parentsOf(directory), '.'].find((above) => isBelow(name, above));
    const [next = ''] = (shared === '.' ? name : name.slice((shared?.length ?? 0) + 1)).split('/');
    const beside = posix.join(shared ?? '.', next);
    return shared === directory || beside === name || this.#isThere(beside) ? name : undefined;
  }

  /** The top of the site may be that of the tree, or lie in it. */
  #fromTop({ path }: Link, directory: string): string | undefined {
    for (const top of ['.', ...parentsOf(directory).toReversed(), directory]) {
      const name = nameIn(top, path);
      if (name === undefined) continue;
      const above = top === '.' ? 0 : top.split('/').length;
      const start = parentOf(name)
        .split('/')
        .slice(0, above + SURE)
        .join('/');
      if (this.#isThere(start)) return name;
    }
    return undefined;
  }

  #isThere(name: string): boolean {
    if (this.#last[0] !== name) {
      const { tree, base } = this.#session.options;
      const isIn = (one: string) => entryIn(one, name) !== undefined;
      this.#last = [name, isIn(tree) || (base !== undefined && isIn(base))];
    }
    return this.#last[1];
  }
}

/** So many directories of a path make sure that it begins there. */
const SURE = 2;

function isBelow(name: string, directory: string): boolean {
  return directory === '.' || name.startsWith(`${directory}/`);
}
