import type { Generation } from './generation.ts';

/** A kind of package repository. */
export interface Repository {
  /** The name of its directory in the mirror. */
  readonly name: string;
  /** The programs that make it. */
  readonly programs: readonly string[];
  /**
   * Makes one generation of the repository.
   *
   * @param directory an empty directory for it.
   * @param work an empty directory for temporary files.
   */
  make(directory: string, generation: Generation, work: string): Promise<void>;
}
