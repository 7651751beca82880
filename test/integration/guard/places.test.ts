import { existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { describe, expect, onTestFinished, test } from 'vitest';
import { expectFailure } from '../../support/expect-failure.ts';
import { guardedCallers, guards, inShell, runGuarded } from '../../support/guards.ts';
import { makeLoopFilesystem, whyNoLoopFilesystem } from '../../support/loop-filesystem.ts';
import { mayMount } from '../../support/privilege.ts';
import { transcript } from '../../support/program.ts';
import { scratchDirectory } from '../../support/scratch.ts';
import { mirrorsWith, smallMirror } from '../../support/small-mirror.ts';

const mirrors = mirrorsWith('first', 'second');
const pins = ['namespace', 'cwd'];
const noMount = mayMount ? '' : ' (skipped: only root with CAP_SYS_ADMIN mounts)';

/** Prints the pinned id as told, where the command is, and what three kinds of paths hold. */
const look = (root: string): string[] =>
  inShell(
    `printf '%s|' "$MIRRORLATCH_ID" "$MIRRORLATCH_PIN" "$PWD" "$MIRRORLATCH_ROOT"
     cat file "$PWD/file" "$MIRRORLATCH_SNAPSHOT/file" "$1/current/file"
     printf '|%s' "$(ls -x "$1/snapshots")"`,
    root,
  );

const seenBy = (root: string, pin: string, id = 'second'): string =>
  [
    ...[id, pin, join(root, 'snapshots', id), root],
    `${id}${id}${id}second`,
    pin === 'namespace' ? id : 'first  second',
  ].join('|');

describe('I1: a mirror is pinned', () => {
  test.for([
    `spaces  and quotes ' " \`ticks\` $(touch proof) $\{x} %s *?[x] ,ro,x=y`,
    '\nnew\n\nline and tab\t\n',
    'back\\slash \\012 \\x41',
    'ünïcode ✓ 漢字 #hash;semi&amp|pipe:colon',
  ])('where ROOT is called %j', async (name) => {
    const home = scratchDirectory();
    const root = join(home, name);
    await execa('cp', ['-a', '--', (await mirrors()).root, root]);
    for (const { guard, caller } of guardedCallers) {
      for (const pin of pins) {
        const result = await runGuarded(guard, root, look(root), {
          caller,
          options: ['--pin', pin],
        });
        expect(result.stdout, transcript(result)).toBe(seenBy(root, pin));
      }
    }
    expect(existsSync(join(home, 'proof'))).toBe(false);
  });

  test('where ROOT is relative, ., behind a symlink, or begins with a dash', async () => {
    const { root, home } = await mirrors();
    symlinkSync('mirror', join(home, '-link'));
    symlinkSync(root, join(home, 'absolute'));
    for (const guard of guards) {
      for (const [index, [given, cwd]] of [
        ['mirror', home],
        ['.', root],
        ['..', join(root, 'snapshots')],
        ['./-link', home],
        [`${home}/absolute/`, '/'],
        [`${home}/-link/../mirror//`, '/'],
      ].entries()) {
        const pin = pins[index % 2] ?? '';
        const result = await runGuarded(guard, [given ?? ''], look(root), {
          cwd: cwd ?? '/',
          options: ['--pin', pin],
        });
        expect(result.stdout, transcript(result)).toBe(seenBy(root, pin));
      }
    }
  });

  test.skipIf(!mayMount)(
    `where ROOT is itself a mount point with nosuid, nodev, noexec and noatime${noMount}`,
    async () => {
      const { root, home } = await mirrors();
      const mounted = join(home, 'mounted');
      mkdirSync(mounted);
      await execa('mount', [
        ...['-t', 'tmpfs', '-o', 'mode=755,nosuid,nodev,noexec,noatime'],
        ...['none', mounted],
      ]);
      await execa('cp', ['-a', '--', `${root}/.`, mounted]);
      for (const { guard, caller } of guardedCallers) {
        for (const pin of pins) {
          const result = await runGuarded(guard, mounted, look(mounted), {
            caller,
            options: ['--pin', pin],
          });
          expect(result.stdout, transcript(result)).toBe(seenBy(mounted, pin));
          expect(result.stderr).toBe('');
        }
        const flags = await runGuarded(
          guard,
          mounted,
          ['findmnt', '-no', 'VFS-OPTIONS', '--target', '.'],
          { caller, options: ['--pin', 'namespace'] },
        );
        expect(flags.stdout, transcript(flags)).toBe('ro,nosuid,nodev,noexec,noatime\n');
      }
    },
  );

  test.skipIf(!mayMount)(
    `where ROOT lies on another filesystem, and is mounted in a second place${whyNoLoopFilesystem}`,
    async () => {
      const disk = await makeLoopFilesystem('ext4', {
        mount: ['nosuid', 'nodev', 'noexec', 'noatime'],
      });
      onTestFinished(() => disk.remove());
      const { root, home } = await mirrors();
      const there = join(disk.path, 'mirror');
      const bound = join(home, 'bound');
      await execa('cp', ['-a', '--', root, there]);
      mkdirSync(bound);
      await execa('mount', ['--bind', there, bound]);
      onTestFinished(async () => {
        await execa('umount', [bound]);
      });
      for (const { guard, caller } of guardedCallers) {
        for (const place of [there, bound]) {
          const result = await runGuarded(guard, place, look(place), {
            caller,
            options: ['--pin', 'namespace'],
          });
          expect(result.stdout, transcript(result)).toBe(seenBy(place, 'namespace'));
          expect(result.stderr).toBe('');
        }
      }
    },
  );

  test('several at once, each of its own name in the environment', async () => {
    const all = [await mirrors(), await mirrors(), await mirrors()].map(({ root }) => root);
    for (const { guard, caller } of guardedCallers) {
      for (const pin of pins) {
        const result = await runGuarded(
          guard,
          all,
          inShell(
            `pwd; for n in '' _2 _3; do
               eval "printf '%s\\n' \\"\\$MIRRORLATCH_ROOT$n\\" \\"\\$MIRRORLATCH_SNAPSHOT$n\\" \\"\\$MIRRORLATCH_ID$n\\" \\"\\$MIRRORLATCH_PIN$n\\""
             done; for root; do ls "$root/snapshots"; done`,
            ...all,
          ),
          { caller, options: ['--pin', pin] },
        );
        expect(result.stdout, transcript(result)).toBe(
          [
            `${all[0]}/snapshots/second`,
            ...all.flatMap((root) => [root, `${root}/snapshots/second`, 'second', pin]),
            ...all.flatMap(() => (pin === 'namespace' ? ['second'] : ['first', 'second'])),
            '',
          ].join('\n'),
        );
      }
    }
  });

  test('where the reader is started by a symlink, by a relative name and in its own directory', async () => {
    const { root, home } = await mirrors();
    const file = join(root, '.mirrorlatch', 'reader');
    mkdirSync(join(home, 'bin'));
    symlinkSync(file, join(home, 'bin', 'first'));
    symlinkSync('first', join(home, 'bin', 'a name\n'));
    for (const { shell } of guards) {
      for (const [reader, cwd] of [
        [join(home, 'bin', 'first'), '/'],
        [join(home, 'bin', 'a name\n'), '/'],
        ['./a name\n', join(home, 'bin')],
        ['mirror/.mirrorlatch/reader', home],
        ['reader', join(root, '.mirrorlatch')],
      ] as const) {
        if (shell === undefined && !reader.includes('/')) continue;
        for (const pin of pins) {
          const [program = '', ...words] = [...(shell ?? []), reader, '--pin', pin, ...look(root)];
          const { stdout, stderr } = await execa(program, words, { cwd, reject: false });
          expect(stdout, stderr).toBe(seenBy(root, pin));
        }
      }
    }
  });
});

describe('with --chdir no', () => {
  const stay = ['--pin', 'namespace', '--chdir', 'no'];

  test('a command stays where it is, also within current and beside the mirror', async () => {
    const { root, home } = await mirrors();
    symlinkSync('mirror', join(home, 'link'));
    for (const { guard, caller } of guardedCallers) {
      for (const cwd of [home, root, `${root}/current/below`, `${home}/link/current`]) {
        const result = await runGuarded(
          guard,
          root,
          inShell('pwd; cat "$1/current/file"; ls "$1/snapshots"; ls -d "$PWD/../../first"', root),
          // Node leaves PWD to the environment: a shell tells it.
          { caller, options: stay, through: inShell('cd "$0" && exec "$@"').toSpliced(3, 1, cwd) },
        );
        expect(result.stdout, transcript(result)).toBe(`${cwd}\nsecondsecond\n`);
      }
    }
  });

  test('a working directory in another snapshot is refused with the way out', async () => {
    const { root } = await mirrors();
    writeFileSync(join(root, 'current', 'only-here'), '');
    for (const { guard, caller } of guardedCallers) {
      const cwd = join(root, 'snapshots', 'first', 'below');
      const result = await runGuarded(guard, root, ['true'], { caller, cwd, options: stay });
      expectFailure(result, 125, /snapshots\/first\/below does not exist in the pin/, /--chdir no/);
    }
  });

  test('a pin of the working directory alone makes no sense, and is refused', async () => {
    const { root } = smallMirror();
    for (const guard of guards) {
      const result = await runGuarded(guard, root, ['true'], {
        options: ['--pin', 'cwd', '--chdir', 'no'],
      });
      expectFailure(result, 125, /nothing would be pinned/, /Leave one of them out/);
    }
  });
});
