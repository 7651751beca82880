import type { Generation } from './generation.ts';

/** A kind of package repository. */
export interface Repository {
  /** Its directory in the mirror. */
  readonly name: string;
  /** The programs that make it. */
  readonly programs: readonly string[];
  /**
   * Makes one generation of it.
   *
   * @param directory empty, where it shall be.
   * @param work empty, for what is needed meanwhile.
   */
  make(directory: string, generation: Generation, work: string): Promise<void>;
}
