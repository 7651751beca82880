import type { Repository } from './repository.ts';

/** A package manager, or another program that fetches, configured as usual through `current`. */
export interface Client {
  readonly name: string;
  /** The programs that `update` and `install` start. */
  readonly programs: readonly string[];
  readonly repository: Repository;
  /** Shell command that fetches the metadata; absent if `install` does that itself. */
  readonly update?: string;
  /** Shell command that installs all packages. */
  readonly install: string;
  /**
   * Makes a configuration, a package database and an installation root.
   *
   * @param state an empty directory, in which both commands start.
   * @param url of the repository, without a trailing slash.
   * @returns environment variables for the commands.
   */
  configure(state: string, url: string): Readonly<Record<string, string>>;
  /** Directory of the fetched metadata, below the state; absent if none is kept. */
  readonly metadata?: string;
  /** Path of the file that a package installs, below the state. */
  installed(name: string): string;
}

/** The command line that updates and installs. @param between a shell command between the two. */
export function updateAndInstall({ update, install }: Client, between = ':'): readonly string[] {
  return ['sh', '-c', update === undefined ? install : `${update} && ${between} && ${install}`];
}
