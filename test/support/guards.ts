import { existsSync, mkdirSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execaSync } from 'execa';
import { afterAll } from 'vitest';
import { missingOf } from './installed.ts';
import { nobody, runsAsRoot, type User } from './privilege.ts';
import {
  nobodyRunsTheProgram,
  type ProgramResult,
  type RunningProgram,
  startProcess,
} from './program.ts';
import { launcher } from './project.ts';

/** The reader as built, for trees without one. */
export const builtReader = fileURLToPath(new URL('../../dist/reader/reader.sh', import.meta.url));

/** A way to run a command pinned to one snapshot. */
export interface Guard {
  readonly name: string;
  /** The command line that runs `command` pinned to the mirrors `roots`. */
  around(
    roots: string | readonly string[],
    options: readonly string[],
    command: readonly string[],
  ): string[];
  /** The shell that is used as `sh` instead of the system's. */
  readonly shell?: readonly string[];
}

/** The user that starts a guard; without `user`, the one that runs the tests. */
export interface Caller {
  readonly name: string;
  readonly user?: User;
}

const run: Guard = {
  name: 'mirrorlatch run',
  around: (roots, options, command) => [
    launcher,
    'run',
    ...[roots].flat().flatMap((root, index) => (index === 0 ? [root] : ['-m', root])),
    ...options,
    ...(command.length === 0 ? [] : ['--', ...command]),
  ],
};

const reader = (name: string, shell: readonly string[]): Guard => ({
  name: `the reader under ${name}`,
  shell,
  around: (given, options, command) => {
    const roots = [given].flat();
    const own = join(roots[0] ?? '', '.mirrorlatch', 'reader');
    return [
      ...shell,
      ...(roots.length === 1 && existsSync(own)
        ? [own]
        : [builtReader, ...roots.flatMap((root) => ['--root', root])]),
      ...options,
      '--',
      ...command,
    ];
  },
});

/** All guards. They pass the same tests. */
export const guards: readonly Guard[] = [
  run,
  reader('dash', ['dash']),
  ...(missingOf('busybox').length === 0 ? [reader('busybox ash', ['busybox', 'ash'])] : []),
  reader('bash', ['bash']),
];

/** One guard of each kind, for tests that are slow or do not depend on the shell. */
export const oneOfEachKind: readonly Guard[] = guards.slice(0, 2);

/** Root and an ordinary user, or the latter alone if the tests do not run as root. */
export const callers: readonly Caller[] = runsAsRoot
  ? [{ name: 'root' }, { name: 'an ordinary user', user: nobody }]
  : [{ name: 'an ordinary user' }];

/** Each guard with each caller that can start it. */
export const guardedCallers: readonly { guard: Guard; caller: Caller; name: string }[] =
  guards.flatMap((guard) =>
    callers
      .filter(({ user }) => guard !== run || user === undefined || nobodyRunsTheProgram)
      .map((caller) => ({ guard, caller, name: `${guard.name}, started by ${caller.name}` })),
  );

/**
 * Each guard and caller under a namespace pin, and one guard of each kind under a cwd pin, which is
 * the simpler part of the former.
 */
export const pinnings: readonly ((typeof guardedCallers)[number] & {
  pin: 'namespace' | 'cwd';
})[] = [
  ...guardedCallers.map((way) => ({
    ...way,
    name: `${way.name}, by a namespace`,
    pin: 'namespace' as const,
  })),
  ...guardedCallers
    .filter(({ guard, caller }) => oneOfEachKind.includes(guard) && caller === callers[0])
    .map((way) => ({ ...way, name: `${way.name}, by its cwd`, pin: 'cwd' as const })),
];

/** How a guard is started; the defaults are those of the test's own process. */
export interface GuardOptions {
  readonly caller?: Caller;
  readonly cwd?: string;
  /** Added to the test's environment; `undefined` removes a variable. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Options of the guard, such as `--pin cwd`. */
  readonly options?: readonly string[];
  /** A prefix of the whole command line, such as `setpriv --bounding-set -sys_admin`. */
  readonly through?: readonly string[];
}

const running = new Set<RunningProgram>();

// Leave no guard behind when a test fails. Not at the end of each test: when several run at once,
// vitest does not know which one has ended.
afterAll(() => {
  for (const guarded of running) guarded.kill('SIGKILL');
});

/** Starts a command pinned to `roots`, or bare if there is no guard. */
export function startGuarded(
  guard: Guard | undefined,
  roots: string | readonly string[],
  command: readonly string[],
  { caller, cwd = '/', env = {}, options = [], through = [] }: GuardOptions = {},
): RunningProgram {
  const words = [...through, ...(guard?.around(roots, options, command) ?? command)];
  const guarded = startProcess(words, {
    cwd,
    ...caller?.user,
    env: { PATH: pathOf(guard), ...(caller?.user === undefined ? {} : { HOME: '/' }), ...env },
  });
  running.add(guarded);
  void guarded.result.finally(() => running.delete(guarded));
  return guarded;
}

/** Runs a command pinned to `roots`, or bare if there is no guard, to its end. */
export function runGuarded(
  guard: Guard | undefined,
  roots: string | readonly string[],
  command: readonly string[],
  options: GuardOptions = {},
): Promise<ProgramResult> {
  return startGuarded(guard, roots, command, options).result;
}

/** The command line that runs a script with the system's sh; arguments are `$1` and so on. */
export function inShell(script: string, ...args: readonly string[]): string[] {
  return ['/bin/sh', '-c', script, 'sh', ...args];
}

/** For each shell a directory in which its name is `sh`. */
const shells = fileURLToPath(new URL('../../node_modules/.cache/guards', import.meta.url));

/** PATH with the guard's shell as `sh`, which the reader starts again inside the namespace. */
export function pathOf(guard: Guard | undefined): string {
  const system = process.env['PATH'] ?? '';
  const program = guard?.shell?.[0];
  if (program === undefined) return system;
  const directory = join(shells, program);
  if (!existsSync(directory)) {
    // Two test files may get here at once; only one rename succeeds.
    const made = join(shells, `${program}-${process.pid}`);
    mkdirSync(made, { recursive: true });
    symlinkSync(execaSync('which', [program]).stdout, join(made, 'sh'));
    try {
      renameSync(made, directory);
    } catch {
      rmSync(made, { recursive: true });
    }
  }
  return `${directory}:${system}`;
}
