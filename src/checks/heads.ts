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
  readonly #byPlace = new Map<string, Head>();
  readonly #kinds = new Set<CheckKind>();

  get list(): Head[] {
    return [...this.#byPlace.values()];
  }

  /** Of one directory and kind, the first counts. */
  add(kind: CheckKind, name: string): void {
    const place = placeOf({ kind, name });
    if (this.#byPlace.size >= MOST_HEADS || this.#byPlace.has(place)) return;
    this.#byPlace.set(place, { kind, name });
    this.#kinds.add(kind);
  }

  /**
   * Misses the heads that a tree had before. Without its head, nothing would say what a repository should have. An upstream
   * takes old repositories out as a whole, so one is missed if its directory is still there, or if no repository of
   * its kind is.
   */
  miss(before: readonly Head[], session: Session): void {
    for (const head of before) {
      if (this.#byPlace.has(placeOf(head)) || session.files.isThere(head.name)) continue;
      const directory = bytePath(session.options.tree, posix.dirname(head.name));
      const isLast = !this.#kinds.has(head.kind);
      if (isLast || lstatIfThere(directory) !== undefined)
        session.claim('.', head.name, { size: undefined, sum: undefined, by: '' });
    }
  }
}

function placeOf({ kind, name }: Head): string {
  return `${kind} ${posix.dirname(name)}`;
}
