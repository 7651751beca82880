import { posix } from 'node:path';
import { bytePath, parentsOf } from '../mirror/byte-path.ts';
import type { CheckKind } from '../mirror/settings/policy.ts';
import { lstatIfThere } from '../system/files.ts';
import type { Session } from './session.ts';

/** The file by which a repository is known to be there, such as its Release. */
export interface Head {
  kind: CheckKind;
  /** One character per byte (latin1). */
  name: string;
}

/** More of one kind are no repositories. */
const MOST_HEADS = 10_000;

/** Lists of checksums come and go with what they are about, and a directory may have many. */
const OF_FILES: CheckKind = 'sha256sums';

/** The heads of the repositories of one tree. */
export class Heads {
  /** Those of the tree that readers have now, see `keyOf`. */
  readonly #before: ReadonlyMap<string, Head>;
  /** By their places. */
  readonly #found = new Map<string, Head>();
  readonly #counts = new Map<CheckKind, number>();

  constructor(before: readonly Head[] = []) {
    this.#before = new Map(before.map((head) => [keyOf(head), head]));
  }

  get list(): Head[] {
    return [...this.#found.values()];
  }

  /** Of one directory and kind, the first counts. */
  add(kind: CheckKind, name: string): void {
    const place = placeOf({ kind, name });
    const count = this.#counts.get(kind) ?? 0;
    if (count >= MOST_HEADS || this.#found.has(place)) return;
    this.#found.set(place, { kind, name });
    this.#counts.set(kind, count + 1);
  }

  /** Whether readers have a repository that begins with this. */
  has(kind: CheckKind, name: string): boolean {
    return this.#before.has(keyOf({ kind, name }));
  }

  /**
   * Misses the heads that readers have. Without its head, nothing would say what a repository should have. An upstream
   * takes old repositories out as a whole, so one is missed if its directory is still there, or if no repository of
   * its kind is. What is there and is none any more is an error page, or cut off.
   */
  miss(session: Session): void {
    for (const head of this.#before.values()) {
      if (this.#found.has(placeOf(head)) || isReadElsewhere(head.name, session)) continue;
      if (head.kind === OF_FILES) this.#missList(head, session);
      else this.#missRepository(head, session);
    }
  }

  #missList(head: Head, session: Session): void {
    const entry = lstatIfThere(bytePath(session.options.tree, head.name));
    // A symlink is no list, see `sha256sums`: what it leads to is read where it lies, if it is one.
    if (entry?.isFile()) this.#blame(head, 'it lists no checksums any more', session);
  }

  #missRepository(head: Head, session: Session): void {
    if (session.files.isThere(head.name)) {
      this.#blame(head, 'it begins no repository any more', session);
      return;
    }
    const isOnly = !this.#counts.has(head.kind);
    const directory = bytePath(session.options.tree, directoryOf(head));
    if (isOnly || lstatIfThere(directory) !== undefined) session.miss(head.name);
  }

  /** Of very many, the last may begin one still. What is a finding already is none again. */
  #blame({ kind, name }: Head, why: string, session: Session): void {
    const isKnown = (this.#counts.get(kind) ?? 0) < MOST_HEADS;
    if (isKnown && !session.findings.blames(name)) session.malformed(name, why);
  }
}

/** Whether a directory above it has become a symlink: what it leads to is read where it lies. */
function isReadElsewhere(name: string, { files, options: { tree } }: Session): boolean {
  const isLink = (one: string) => lstatIfThere(bytePath(tree, one))?.isSymbolicLink() === true;
  return files.isThere(name) && parentsOf(name).some(isLink);
}

/** As long as it is there, so is the repository. The lists of rpm-md have a directory of their own, which goes with them. */
function directoryOf({ kind, name }: Head): string {
  const directory = posix.dirname(name);
  const above = posix.dirname(directory);
  return kind === 'rpm-md' && above !== '.' ? above : directory;
}

function keyOf({ kind, name }: Head): string {
  return `${kind} ${name}`;
}

function placeOf({ kind, name }: Head): string {
  return keyOf({ kind, name: kind === OF_FILES ? name : posix.dirname(name) });
}
