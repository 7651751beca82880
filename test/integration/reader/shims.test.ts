import { chmodSync, copyFileSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { execa, execaSync } from 'execa';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type GuardOptions, guardOf } from '../../../src/reader/guard.ts';
import { checkShimName, type IfUnavailable, shimText } from '../../../src/reader/shims.ts';
import { fileName } from '../../support/file-name.ts';
import { builtReader } from '../../support/guards.ts';
import { scratchDirectory } from '../../support/scratch.ts';

/** The shells that may be /bin/sh and so run a shim. */
const INTERPRETERS = [['dash'], ['bash', '--posix'], ['busybox', 'sh']] as const;

/** The absolute path, for tests in which PATH leads nowhere. */
function pathOf(program: string): string {
  return execaSync('sh', ['-c', 'command -v "$0"', program]).stdout;
}

/** Prints its own path and its words, with a NUL after each. */
const RECORDER = `#!/bin/sh
printf '%s\\0' "$0" "$@"
`;

/** A reader that only runs the command after `--`. */
const READER = `#!/bin/sh
while [ "$1" != -- ]; do shift; done
shift
GUARDED=yes exec "$@"
`;

/** A mirror with a reader, two directories of programs and two of shims. */
function playground(reader = READER, root = 'mirror') {
  const home = scratchDirectory();
  const at = (...names: string[]) => join(home, ...names);
  const mirror = at(root);
  mkdirSync(join(mirror, '.mirrorlatch'), { recursive: true });
  writeFileSync(join(mirror, '.mirrorlatch', 'reader'), reader, { mode: 0o755 });
  for (const directory of ['bin', 'more-bin', 'shims', 'more-shims']) mkdirSync(at(directory));
  const program = (path: string, text = 'printf "%s\\0" $GUARDED "$0" "$@"') => {
    writeFileSync(at(path), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
    return at(path);
  };
  const shim = (
    path: string,
    {
      ifUnavailable = 'fail',
      ...changes
    }: Partial<GuardOptions> & { ifUnavailable?: IfUnavailable } = {},
  ) => {
    const guard = guardOf({
      roots: [mirror],
      reader: 'executable',
      program: 'mirrorlatch',
      ...changes,
    });
    const name = path.split('/').at(-1) ?? '';
    writeFileSync(at(path), shimText(name, guard, ifUnavailable, builtReader), { mode: 0o755 });
    return at(path);
  };
  const path = (...directories: string[]) =>
    [...directories.map((some) => at(some)), '/usr/bin', '/bin'].join(':');
  return { home, mirror, at, program, shim, path };
}

interface Run {
  words: string[];
  stderr: string;
  exitCode: number | undefined;
}

async function run(
  command: readonly string[],
  env: Readonly<Record<string, string>>,
  cwd = '/',
): Promise<Run> {
  const [file = '', ...args] = command;
  const { stdout, stderr, exitCode } = await execa(file, args, {
    env,
    cwd,
    extendEnv: false,
    reject: false,
    timeout: 50_000,
  });
  return { words: stdout.split('\0').slice(0, -1), stderr, exitCode };
}

const commandName = fileName.filter((some) => {
  try {
    checkShimName(some);
    return true;
  } catch {
    return false;
  }
});

for (const [file, ...options] of INTERPRETERS) {
  const shell = [file, ...options].join(' ');
  const interpreter = [pathOf(file), ...options];

  test(`${shell}: a shim runs its command guarded, whatever ROOT, PATH, its name and its arguments are`, {
    timeout: 60_000,
  }, async () => {
    await fc.assert(
      fc.asyncProperty(
        fileName,
        // A directory in PATH cannot contain a colon.
        fileName.filter((some) => !some.includes(':')),
        commandName,
        fc.array(fc.string({ unit: 'binary' }).map((some) => some.replaceAll('\0', ''))),
        async (root, directory, command, words) => {
          const { mirror, at, shim, program } = playground(RECORDER, join('roots', root));
          mkdirSync(at('paths', directory), { recursive: true });
          const real = program(join('paths', directory, command));
          const own = shim(join('shims', command));
          const PATH = `${at('shims')}:${at('paths', directory)}:/usr/bin:/bin`;
          const result = await run([...interpreter, own, ...words], { PATH });
          rmSync(at('roots'), { recursive: true });
          expect(result).toEqual({
            words: [
              ...[join(mirror, '.mirrorlatch', 'reader'), '--chdir', 'no', '--'],
              ...[real, ...words],
            ],
            stderr: '',
            exitCode: 0,
          });
        },
      ),
      { numRuns: 40 },
    );
  });

  test(`${shell}: the command has the environment of its caller`, async () => {
    const { shim, program, path } = playground();
    const own = shim('shims/peruse');
    program('bin/peruse', 'exec env -0');
    const names = [
      ...['line', 'rest', 'before', 'found', 'passed', 'directory', 'file', 'command'],
      ...['LC_ALL', 'message', 'name', 'real', 'A_B', 'HOME'],
    ];
    const env = {
      PATH: path('shims', 'bin'),
      ...Object.fromEntries(names.map((some) => [some, `of the caller: ${some}`])),
    };
    const seenBy = async (command: string[]) => {
      const { words } = await run(command, env);
      // Variables that a shell sets when it starts.
      return words.filter((word) => !/^(PWD|OLDPWD|SHLVL|_)=/.test(word)).sort();
    };
    expect(await seenBy([...interpreter, own])).toEqual(
      [...Object.entries(env).map(([key, value]) => `${key}=${value}`), 'GUARDED=yes'].sort(),
    );
  });

  test(`${shell}: shims in two directories of PATH do not call each other`, async () => {
    const { at, shim, program, path } = playground();
    for (const directory of ['shims', 'more-shims']) shim(`${directory}/peruse`);
    const real = program('bin/peruse');
    for (const order of [
      ['shims', 'more-shims', 'bin'],
      ['more-shims', 'shims', 'bin'],
      ['bin', 'shims', 'more-shims'],
      ['shims', 'bin', 'more-shims'],
    ]) {
      for (const own of ['shims', 'more-shims']) {
        const result = await run([...interpreter, at(own, 'peruse'), 'x'], {
          PATH: path(...order),
        });
        expect(result, order.join(':')).toEqual({
          words: ['yes', real, 'x'],
          stderr: '',
          exitCode: 0,
        });
      }
    }
  });

  test(`${shell}: without the command, or with only shims of it, it exits with 127`, async () => {
    const { shim, path } = playground();
    const own = shim('shims/peruse');
    shim('more-shims/peruse');
    for (const PATH of ['', ':', path('shims', 'more-shims'), '/nowhere']) {
      const result = await run([...interpreter, own], { PATH });
      expect(result).toEqual({
        words: [],
        stderr: 'mirrorlatch: peruse: command not found, ignoring shims',
        exitCode: 127,
      });
    }
  });

  test(`${shell}: entries that are not executable files are skipped in PATH`, async () => {
    const { at, shim, program, path } = playground();
    const own = shim('shims/peruse');
    const others = ['plain', 'directory', 'dangling', 'fifo', 'copy', 'link'];
    for (const some of others) mkdirSync(at(some));
    writeFileSync(at('plain/peruse'), 'not executable', { mode: 0o644 });
    mkdirSync(at('directory/peruse'));
    symlinkSync('nothing', at('dangling/peruse'));
    await execa('mkfifo', ['-m', '0777', at('fifo/peruse')]);
    copyFileSync(own, at('copy/peruse'));
    symlinkSync('../shims/peruse', at('link/peruse'));
    const real = program('bin/peruse');
    const result = await run([...interpreter, own], { PATH: path('shims', ...others, 'bin') });
    expect(result).toEqual({ words: ['yes', real], stderr: '', exitCode: 0 });
  });
}

test('a binary is found, and a program that is executable but not readable', async () => {
  const { at, shim, program, path } = playground();
  copyFileSync('/usr/bin/printf', at('bin/peruse'));
  const own = shim('shims/peruse');
  const PATH = path('shims', 'bin', 'more-bin');
  expect(await run([own, '%s\\0', 'a', 'b'], { PATH })).toMatchObject({ words: ['a', 'b'] });
  chmodSync(at('bin/peruse'), 0o711);
  expect(await run([own, '%s\\0', 'c'], { PATH })).toMatchObject({ words: ['c'] });
  rmSync(at('bin/peruse'));
  const real = program('more-bin/peruse');
  expect(await run([own], { PATH })).toMatchObject({ words: ['yes', real] });
});

test('empty and relative directories of PATH mean the working directory, as for execvp(3)', async () => {
  const { home, at, shim, program } = playground();
  const own = shim('shims/peruse');
  program('bin/peruse');
  for (const [PATH, cwd, found] of [
    [`${at('shims')}::/usr/bin:/bin`, at('bin'), at('bin', 'peruse')],
    [`${at('shims')}:/usr/bin:/bin:`, at('bin'), at('bin', 'peruse')],
    [`shims:bin:/usr/bin:/bin`, home, at('bin', 'peruse')],
  ] as const) {
    expect((await run([own], { PATH }, cwd)).words.map((word) => join(word))).toEqual([
      'yes',
      found,
    ]);
  }
});

test('a wrapper earlier in PATH that calls the shim is not called back', async () => {
  const { at, shim, program, path } = playground();
  const own = shim('shims/peruse');
  program('bin/peruse', `exec ${own} wrapped "$@"`);
  const real = program('more-bin/peruse');
  const PATH = path('bin', 'shims', 'more-bin');
  expect(await run([at('bin/peruse'), 'x'], { PATH })).toEqual({
    words: ['yes', real, 'wrapped', 'x'],
    stderr: '',
    exitCode: 0,
  });
});

test('a command before the shim in PATH is found if there is none after it, or if the shim is not in PATH', async () => {
  const { shim, program, path } = playground();
  const own = shim('shims/peruse');
  const real = program('bin/peruse');
  for (const PATH of [path('bin', 'shims'), path('bin')]) {
    expect(await run([own], { PATH })).toMatchObject({ words: ['yes', real] });
  }
});

test('a shim finds its command however it is reached: by a symlink, by a relative path, by sh', async () => {
  const { home, at, shim, program, path } = playground();
  const own = shim('shims/peruse');
  const real = program('bin/peruse');
  symlinkSync('shims', at('linked-shims'));
  symlinkSync('../shims/peruse', at('more-bin/renamed'));
  const PATH = path('linked-shims', 'bin');
  for (const command of [
    [at('linked-shims', 'peruse')],
    [relative(home, own)],
    ['sh', 'shims/peruse'],
    [at('more-bin', 'renamed')],
  ]) {
    expect(await run(command, { PATH }, home)).toMatchObject({ words: ['yes', real] });
  }
  expect(await run(['sh', 'peruse'], { PATH }, at('shims'))).toMatchObject({
    words: ['yes', real],
  });
});

test('arguments that are not UTF-8 reach the command unchanged', async () => {
  const { shim, program, path } = playground();
  const own = shim('shims/peruse');
  program('bin/peruse', 'printf %s "$1" | od -An -tx1');
  const script = `exec '${own}' "$(printf '\\377\\200a')"`;
  const { stdout } = await execa('sh', ['-c', script], { env: { PATH: path('shims', 'bin') } });
  expect(stdout.trim()).toBe('ff 80 61');
});

test('without the reader it exits with 125 and prints how to run the command unguarded', async () => {
  const { mirror, shim, program, path } = playground();
  const own = shim('shims/peruse');
  const real = program('bin/peruse');
  rmSync(join(mirror, '.mirrorlatch'), { recursive: true });
  const { words, stderr, exitCode } = await run([own], { PATH: path('shims', 'bin') });
  expect([words, exitCode]).toEqual([[], 125]);
  expect(stderr).toMatch(`mirrorlatch: peruse: ${mirror}/.mirrorlatch/reader cannot be executed`);
  expect(stderr).toMatch(`or run the command unguarded: ${real}`);
});

test('if one of several mirrors is missing it exits with 125 and names that', async () => {
  const { at, mirror, shim, program, path } = playground();
  const own = shim('shims/peruse', { roots: [mirror, at('second')] });
  program('bin/peruse');
  const env = { PATH: path('shims', 'bin') };
  const result = await run([own], env);
  expect(result.exitCode).toBe(125);
  expect(result.stderr).toMatch(`there is no mirror in ${at('second')}`);
  // Another tool's tree is recognized by its symlink, which may still be dangling.
  mkdirSync(at('second'));
  symlinkSync('releases/1', at('second/current'));
  expect(await run([own], env)).toMatchObject({ exitCode: 0, words: ['yes', at('bin/peruse')] });
});

test('if mirrorlatch is not in PATH it exits with 125', async () => {
  const { at, program, shim, path } = playground();
  const own = shim('shims/peruse', { sticky: true });
  program('bin/peruse');
  const env = { PATH: path('shims', 'bin') };
  expect(await run([own], env)).toMatchObject({
    exitCode: 125,
    stderr: expect.stringMatching(
      /mirrorlatch is not in PATH\n +Add the directory of mirrorlatch to PATH/,
    ),
  });
  program('bin/mirrorlatch', 'printf "%s\\0" "$@"');
  expect((await run([own, 'x'], env)).words).toEqual([
    ...['run', at('mirror'), '--preset', '--chdir', 'no', '--', at('bin/peruse'), 'x'],
  ]);
});

test('with --if-unavailable run the command runs bare, after a warning, with its own exit code', async () => {
  const { mirror, shim, program, path } = playground();
  const own = shim('shims/peruse', { ifUnavailable: 'run' });
  const real = program('bin/peruse', 'printf "%s\\0" $GUARDED "$@"; exit 3');
  const env = { PATH: path('shims', 'bin') };
  expect(await run([own, 'a b', ''], env)).toEqual({
    words: ['yes', 'a b', ''],
    stderr: '',
    exitCode: 3,
  });
  rmSync(mirror, { recursive: true });
  expect(await run([own, 'a b', ''], env)).toEqual({
    words: ['a b', ''],
    stderr: `mirrorlatch: ${mirror}/.mirrorlatch/reader cannot be executed: ${real} runs unguarded`,
    exitCode: 3,
  });
});

test('a reader on a filesystem mounted noexec is run by sh', async () => {
  const { mirror, shim, program, path } = playground();
  const own = shim('shims/peruse', { reader: 'readable' });
  const real = program('bin/peruse');
  chmodSync(join(mirror, '.mirrorlatch', 'reader'), 0o644);
  const env = { PATH: path('shims', 'bin') };
  expect(await run([own, 'x'], env)).toMatchObject({ words: ['yes', real, 'x'], exitCode: 0 });
  rmSync(join(mirror, '.mirrorlatch', 'reader'));
  expect(await run([own, 'x'], env)).toMatchObject({ exitCode: 125 });
});

test('the shim becomes its command: the same process, ended by the same signal', async () => {
  const { shim, program, path } = playground();
  const own = shim('shims/peruse');
  program('bin/peruse', 'echo $$; kill -KILL $$');
  const running = execa(own, { env: { PATH: path('shims', 'bin') }, reject: false });
  const { stdout, signal } = await running;
  expect([stdout, signal]).toEqual([String(running.pid), 'SIGKILL']);
});
