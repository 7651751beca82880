import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Repository } from './repository.ts';

/** A package manager, configured as an administrator does: by absolute paths through `current`. */
export interface Client {
  readonly name: string;
  /** The programs that the two commands start. */
  readonly programs: readonly string[];
  readonly repository: Repository;
  /** Shell text that fetches the metadata; absent where `install` does that itself. */
  readonly update?: string;
  /** Shell text that installs all packages. */
  readonly install: string;
  /**
   * Gives it a configuration, a package database and a system of its own.
   *
   * @param state empty; both commands start here.
   * @param url of its repository, without a slash at the end.
   * @returns what its environment needs.
   */
  configure(state: string, url: string): Readonly<Record<string, string>>;
  /** Below the state: where it keeps the metadata that it read; absent where it keeps none. */
  readonly metadata?: string;
  /** Below the state: the file of this package, once it is installed. */
  installed(name: string): string;
}

/** The address of a client's repository in the mirror. */
export function repositoryUrl(client: Client, root: string): string {
  return pathToFileURL(join(root, 'current', client.repository.name)).href;
}

/** What an administrator types to update and install. */
export function updateAndInstall({ update, install }: Client): readonly string[] {
  return ['sh', '-c', update === undefined ? install : `${update} && ${install}`];
}
