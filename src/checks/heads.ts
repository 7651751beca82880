import { posix } from 'node:path';
import { bytePath } from '../mirror/byte-path.ts';
import type { CheckKind } from '../mirror/settings/policy.ts';
import { lstatIfThere } from '../system/files.ts';
import type { Session } from './session.ts';

/** The file by which a repository is known to be there, such as its Release. */
export interface Head {
  kind: CheckKind;
  /** One character per byte (latin1). */
  name: string;
}

/** More of them are no repositories. */
const MOST_HEADS = 10_000;

/** The heads of the repositories of one tree. */
export class Heads {
  readonly list: Head[] = [];

  /** Of one directory and kind, the first counts. */
  add(kind: CheckKind, name: string): void {
    if (this.list.length < MOST_HEADS && !this.#has({ kind, name })) this.list.push({ kind, name });
  }

  /**
   * Misses the heads that a tree had before. Without its head, nothing would say what a repository should have. An upstream
   * takes old repositories out as a whole, so one is missed if its directory is still there, or if no repository of
   * its kind is.
   */
  miss(before: readonly Head[], session: Session): void {
    for (const head of before) {
      if (this.#has(head) || session.files.find(head.name) !== 'missing') continue;
      const directory = bytePath(session.options.tree, posix.dirname(head.name));
      const isLast = !this.list.some(({ kind }) => kind === head.kind);
      if (isLast || lstatIfThere(directory) !== undefined)
        session.claim('.', head.name, { size: undefined, sum: undefined, by: '' });
    }
  }

  #has({ kind, name }: Head): boolean {
    const directory = posix.dirname(name);
    return this.list.some((one) => one.kind === kind && posix.dirname(one.name) === directory);
  }
}
