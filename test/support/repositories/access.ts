import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { RepositoryMirror } from './mirror.ts';

/** How a client reaches a mirror. */
export interface Access {
  /** The URL of `current`, without a trailing slash. */
  readonly url: string;
  /** The command line that runs `command` in the caller's working directory. */
  around(command: readonly string[]): readonly string[];
  /** Environment variables of the client. */
  readonly environment?: Readonly<Record<string, string>>;
}

/** By a path: bare, under `mirrorlatch run`, or under ROOT/.mirrorlatch/reader. */
export type PathGuard = 'bare' | 'run' | 'reader';

export const pathGuards: readonly PathGuard[] = ['bare', 'run', 'reader'];

/** Access by a path, under a guard. */
export function accessByPath(guard: PathGuard, { root, program }: RepositoryMirror): Access {
  const words = {
    bare: [],
    run: [program, 'run', root, '--chdir', 'no', '--'],
    reader: [join(root, '.mirrorlatch/reader'), '--chdir', 'no', '--'],
  };
  return {
    url: pathToFileURL(join(root, 'current')).href,
    around: (command) => [...words[guard], ...command],
  };
}
