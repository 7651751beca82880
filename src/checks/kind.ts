import type { CheckKind } from '../mirror/settings/policy.ts';
import type { Session } from './session.ts';

/** One kind of repository, which says itself what its files are. */
export interface Kind {
  readonly name: CheckKind;
  /** What it is called for people. */
  readonly what: string;
  /** Patterns of find(1) for the names of the files that it begins with. */
  readonly patterns: readonly string[];
  /** Whether symlinks to nothing of such names count, too. */
  readonly mayDangle?: boolean;
  /**
   * Whether such a file is one of this kind.
   *
   * @param name in the tree, one character per byte (latin1).
   * @param isLink it is a symlink.
   */
  begins(name: string, isLink: boolean): boolean;
  /**
   * Reads what the repositories of a tree say of their files, and hands it to the session.
   *
   * @param beginnings the names of the files that it begins with, sorted.
   * @returns how many repositories, or lists, there are.
   */
  read(beginnings: Iterable<string>, session: Session): Promise<number>;
}
