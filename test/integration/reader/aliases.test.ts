import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import { aliasesFor, withoutAliases } from '../../../src/reader/aliases.ts';
import { type Guard, guardOf } from '../../../src/reader/guard.ts';
import { fileName } from '../../support/file-name.ts';
import { makeScratch } from '../../support/scratch.ts';
import { type RealShell, SHELLS, takeIn, typeInto } from '../../support/shells.ts';

const scratch = makeScratch();
afterAll(() => scratch.remove());

/** Records, in $RECORD, its name, the number of its words, and the words with a NUL after each. */
const RECORDER = `#!/bin/sh
{ printf '%s\\0' $# "\${0##*/}"; [ $# = 0 ] || printf '%s\\0' "$@"; } >>"$RECORD"
`;

/** A directory of programs for PATH, and a `sudo` that only runs its words. */
const programs = join(scratch.path, 'bin');
mkdirSync(programs);
for (const name of ['apt-get', 'g++-12_x.y', 'mirrorlatch']) {
  writeFileSync(join(programs, name), RECORDER, { mode: 0o755 });
}
writeFileSync(join(programs, 'sudo'), '#!/bin/sh\nexec "$@"\n', { mode: 0o755 });

const inDebian = guardOf({
  roots: ['/srv/mirror/debian'],
  reader: 'executable',
  program: 'mirrorlatch',
});

let sessions = 0;

/** The command lines that were run after these lines were typed into the shell. */
async function recorded(shell: RealShell, code: string, ...typed: string[]): Promise<string[][]> {
  sessions += 1;
  const record = join(scratch.path, `record-${sessions}`);
  const file = join(scratch.path, `init-${sessions}`);
  writeFileSync(file, code);
  writeFileSync(record, '');
  const env = { RECORD: record, PATH: `${programs}:${process.env['PATH']}`, LC_ALL: 'C.UTF-8' };
  await typeInto(shell, [takeIn(shell, file), ...typed], env);
  const words = readFileSync(record, 'utf8').split('\0').slice(0, -1);
  const runs: string[][] = [];
  while (words.length > 0) runs.push(words.splice(0, Number(words.shift()) + 1));
  return runs;
}

for (const shell of SHELLS) {
  test(`${shell.name}: typed commands are guarded, also after sudo, whatever ROOT is called`, {
    timeout: 60_000,
  }, async () => {
    await fc.assert(
      fc.asyncProperty(fileName, async (directory) => {
        const root = join(scratch.path, 'roots', directory);
        const state = join(root, '.mirrorlatch');
        mkdirSync(state, { recursive: true });
        writeFileSync(join(state, 'reader'), RECORDER, { mode: 0o755 });
        const guard = guardOf({
          roots: [root, '/other mirror'],
          reader: 'executable',
          program: 'mirrorlatch',
        });
        const code = aliasesFor(shell.dialect, guard, {
          commands: ['apt-get', 'g++-12_x.y'],
          sudo: true,
        });
        const runs = await recorded(
          shell,
          code,
          `apt-get install ${shell.quote('a  b')} ${shell.quote('')} ${shell.quote('$x*')}`,
          'sudo apt-get update',
          'sudo g++-12_x.y',
          'g++-12_x.y',
        );
        const before = ['reader', '--root', root, '--root', '/other mirror', '--chdir', 'no', '--'];
        rmSync(root, { recursive: true });
        expect(runs).toEqual([
          [...before, 'apt-get', 'install', 'a  b', '', '$x*'],
          [...before, 'apt-get', 'update'],
          [...before, 'g++-12_x.y'],
          [...before, 'g++-12_x.y'],
        ]);
      }),
      { numRuns: 15 },
    );
  });

  test(`${shell.name}: without --sudo, sudo is left alone`, async () => {
    const code = aliasesFor(shell.dialect, inProgram(), { commands: ['apt-get'], sudo: false });
    expect(await recorded(shell, code, 'sudo apt-get update', 'apt-get update')).toEqual([
      ['apt-get', 'update'],
      ['mirrorlatch', 'run', '/srv/x', '--preset', '--chdir', 'no', '--', 'apt-get', 'update'],
    ]);
  });

  test(`${shell.name}: sudo still runs other commands and takes options`, async () => {
    const code = aliasesFor(shell.dialect, inProgram(), { commands: ['apt-get'], sudo: true });
    expect(
      await recorded(shell, code, 'sudo', 'sudo g++-12_x.y apt-get', 'sudo env apt-get'),
    ).toEqual([['g++-12_x.y', 'apt-get'], ['apt-get']]);
  });

  test(`${shell.name}: the code may be evaluated twice, and --remove undoes it, also twice`, async () => {
    const options = { commands: ['apt-get', 'g++-12_x.y'], sudo: true };
    const code = aliasesFor(shell.dialect, inProgram(), options);
    const undo = withoutAliases(shell.dialect, options);
    const all = `${code}\n${code}\n${undo}\n${undo}`;
    expect(await recorded(shell, all, 'apt-get 1', 'sudo apt-get 2', 'g++-12_x.y')).toEqual([
      ['apt-get', '1'],
      ['apt-get', '2'],
      ['g++-12_x.y'],
    ]);
    expect(await recorded(shell, `${code}\n${code}`, 'apt-get 1')).toEqual([
      ['mirrorlatch', 'run', '/srv/x', '--preset', '--chdir', 'no', '--', 'apt-get', '1'],
    ]);
  });

  test(`${shell.name}: evaluating it, and removing what was never there, succeeds silently`, async () => {
    const options = { commands: ['apt-get'], sudo: true };
    const file = join(scratch.path, `quiet-${shell.name.replaceAll(' ', '-')}`);
    const ended = shell.dialect === 'fish' ? 'echo "ended:$status"' : 'echo "ended:$?"';
    for (const code of [
      aliasesFor(shell.dialect, inDebian, options),
      withoutAliases(shell.dialect, options),
    ]) {
      writeFileSync(file, code);
      const { stdout, stderr } = await typeInto(shell, [takeIn(shell, file), ended]);
      expect(stdout.toString()).toMatch(/ended:0/);
      expect(stderr).not.toMatch(/apt-get|unalias|functions|compdef/);
    }
  });
}

test('any name that is not refused works as an alias in every shell', {
  timeout: 60_000,
}, async () => {
  const command = fc
    .string({ unit: fc.constantFrom(...'abzAZ019_.+-'), minLength: 1, maxLength: 8 })
    .filter((some) => /^[A-Za-z0-9_]/.test(some) && some !== '_');
  await fc.assert(
    fc.asyncProperty(fc.uniqueArray(command, { minLength: 1, maxLength: 30 }), async (commands) => {
      for (const shell of SHELLS) {
        const code = aliasesFor(shell.dialect, inProgram(), { commands, sudo: true });
        const runs = await recorded(shell, code, ...commands.map((some) => `${some} x`));
        const words = ['mirrorlatch', 'run', '/srv/x', '--preset', '--chdir', 'no', '--'];
        expect(runs, shell.name).toEqual(commands.map((some) => [...words, some, 'x']));
      }
    }),
    { numRuns: 3 },
  );
});

/** A guard that runs `mirrorlatch` from PATH. */
function inProgram(): Guard {
  return guardOf({ roots: ['/srv/x'], reader: 'absent', program: 'mirrorlatch', sticky: true });
}
