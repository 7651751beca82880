import { join } from 'node:path';
import type { RepositoryMirror } from './mirror.ts';

/** How a client is guarded: not at all, by `mirrorlatch run`, or by ROOT/.mirrorlatch/reader. */
export type Guard = 'bare' | 'run' | 'reader';

export const guards: readonly Guard[] = ['bare', 'run', 'reader'];

/** The command line that runs `command` under a guard in the caller's working directory. */
export function guarded(
  guard: Guard,
  { root, program }: RepositoryMirror,
  command: readonly string[],
): readonly string[] {
  switch (guard) {
    case 'bare':
      return command;
    case 'run':
      return [program, 'run', root, '--chdir', 'no', '--', ...command];
    case 'reader':
      return [join(root, '.mirrorlatch/reader'), '--chdir', 'no', '--', ...command];
  }
}
