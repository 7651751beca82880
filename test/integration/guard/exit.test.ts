import { chmodSync, mkdirSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';
import { expectFailure } from '../../support/expect-failure.ts';
import {
  guardedCallers,
  guards,
  inShell,
  oneOfEachKind,
  pinnings,
  runGuarded,
  startGuarded,
} from '../../support/guards.ts';
import { mayMount, runsAsRoot } from '../../support/privilege.ts';
import { runForJson, runProgram, transcript } from '../../support/program.ts';
import { mirrorsWith, smallMirror } from '../../support/small-mirror.ts';

const mirrors = mirrorsWith('first', 'second');
const notRoot = runsAsRoot ? '' : ' (skipped: only root can become another user)';
const noMount = mayMount ? '' : ' (skipped: only root with CAP_SYS_ADMIN mounts)';

/** Signals that a shell or a guard could handle: the first for all guards, the rest for one of each kind. */
const codes = [0, 75, 125, 255, 1, 2, 64, 124, 126, 127, 128, 137];

describe('I10: a guard passes on', () => {
  for (const { guard, caller, name, pin } of pinnings) {
    const options = ['--pin', pin];
    const isThorough = pin === 'cwd';

    test(`the exit code of the command, by ${name}`, async () => {
      const { root } = await mirrors();
      for (const code of codes.slice(0, isThorough ? undefined : 4)) {
        const result = await runGuarded(guard, root, inShell(`exit ${code}`), {
          caller,
          options,
        });
        expect(result.exitCode, transcript(result)).toBe(code);
        expect(result.stdout + result.stderr).toBe('');
      }
    });

    test(`the signal that killed the command, by ${name}`, async () => {
      const { root } = await mirrors();
      for (const signal of ['SEGV', 'TERM', 'KILL']) {
        const result = await runGuarded(guard, root, inShell(`kill -${signal} $$`), {
          caller,
          options,
          through: inShell('ulimit -c 0; exec "$@"'),
        });
        expect(result.signal, transcript(result)).toBe(`SIG${signal}`);
      }
    });

    test(`a signal sent to its pid, once, by ${name}`, async () => {
      const { root } = await mirrors();
      const running = startGuarded(
        guard,
        root,
        inShell(
          `got() { echo "got $1"; }
             for s in HUP INT TERM USR1; do trap "got $s" $s; done
             echo "ready $$"; while :; do sleep 0.05; done`,
        ),
        { caller, options },
      );
      await expect.poll(running.printedSoFar).toBe(`ready ${running.pid}\n`);
      for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM', 'SIGUSR1'] as const) {
        running.kill(signal);
        await expect.poll(running.printedSoFar).toContain(`got ${signal.slice(3)}`);
      }
      running.kill('SIGKILL');
      const { stdout, signal } = await running.result;
      expect(signal).toBe('SIGKILL');
      expect(stdout.match(/got/g)).toHaveLength(4);
    });

    test(`126 and 127 for a command that cannot be run, by ${name}`, async () => {
      const { root, home } = await mirrors();
      const plain = join(home, 'plain');
      const broken = join(home, 'broken');
      writeFileSync(plain, 'echo\n');
      writeFileSync(broken, '#!/nonexistent/interpreter\n');
      chmodSync(plain, 0o644);
      chmodSync(broken, 0o755);
      for (const [command, code] of [
        ['no-such-command-here', 127],
        ['/no/such/command', 127],
        ['./missing', 127],
        [plain, 126],
        ['/etc', 126],
        [broken, 127],
      ] as const) {
        const result = await runGuarded(guard, root, [command], {
          caller,
          options,
        });
        // Shells differ about a missing interpreter.
        expect(command === broken ? [126, 127] : [code], transcript(result)).toContain(
          result.exitCode,
        );
        expect(result.stderr, transcript(result)).toContain(command);
      }
    });
  }
});

describe('a mirror with nothing to read', () => {
  test('ends a guard with 75 when --wait is over, and names what it waited for', async () => {
    const { root } = smallMirror();
    expect((await runProgram(['init', root])).exitCode).toBe(0);
    const waited = guardedCallers.map(async ({ guard, caller }) => {
      const result = await runGuarded(guard, root, ['true'], { caller, options: ['--wait', '1s'] });
      expectFailure(result, 75, /waiting: /, /has no snapshot yet/, /--wait/);
    });
    await Promise.all(waited);
    for (const [guard, none] of [
      [guards[0], '--no-wait'],
      [guards[1], '--wait=0'],
    ] as const) {
      const result = await runGuarded(guard, root, ['true'], { options: [none] });
      expectFailure(result, 75, /has no snapshot yet/);
      expect(result.stderr, 'it did not wait').not.toMatch(/waiting/);
    }
  });

  test('makes the reader wait for a duration of any unit, and refuse what is none', async () => {
    const { root } = smallMirror();
    expect((await runProgram(['init', root])).exitCode).toBe(0);
    for (const wait of ['0', '0s', '0m', '1']) {
      const result = await runGuarded(guards[1], root, ['true'], { options: ['--wait', wait] });
      expectFailure(result, 75, /has no snapshot yet/);
    }
    for (const wait of ['', 's', '1.5s', '08', '1w', '1M', '-1', '1s2m', '999999999d', 'soon']) {
      const result = await runGuarded(guards[1], root, ['true'], { options: ['--wait', wait] });
      expectFailure(result, 125, /--wait takes a duration such as 90s or 10m/);
    }
  });

  test('lets a guard continue after the first publication', async () => {
    for (const guard of oneOfEachKind) {
      const mirror = smallMirror();
      expect((await runProgram(['init', mirror.root])).exitCode).toBe(0);
      const running = startGuarded(guard, mirror.root, ['cat', 'file'], {
        options: ['--wait', '60m'],
      });
      await expect.poll(running.saidSoFar).toContain('waiting');
      await mirror.publish('first', { file: 'first' });
      const result = await running.result;
      expect(result.stdout, transcript(result)).toBe('first');
    }
  });

  test('ends a guard with 125 if it is gone', async () => {
    const deleted = oneOfEachKind.map(async (guard) => {
      const { root } = smallMirror();
      await runForJson(['init', root, '--in-place']);
      await runForJson(['gate', 'close', root]);
      const running = startGuarded(guard, root, ['true']);
      await expect.poll(running.saidSoFar).toContain('waiting');
      rmSync(root, { recursive: true });
      expectFailure(await running.result, 125, /there is no longer a mirror in/);
    });
    await Promise.all(deleted);
  });

  test('lets a signal end a waiting guard', async () => {
    const { root } = smallMirror();
    expect((await runProgram(['init', root])).exitCode).toBe(0);
    for (const guard of guards) {
      const running = startGuarded(guard, root, ['true']);
      await expect.poll(running.saidSoFar).toContain('waiting');
      running.kill('SIGTERM');
      expect((await running.result).signal).toBe('SIGTERM');
    }
  });

  test('is an error that names current if that is dangling or closed to this user', async () => {
    const { root, home } = await mirrors();
    mkdirSync(join(home, 'other'));
    await execa('ln', ['-s', 'nowhere', join(home, 'other', 'current')]);
    chmodSync(join(root, 'snapshots'), 0o700);
    const told = guardedCallers.map(async ({ guard, caller }) => {
      const foreign = await runGuarded(guard, join(home, 'other'), ['true'], { caller });
      expectFailure(foreign, 125, /other\/current leads nowhere/);
      if (caller.user === undefined) return;
      const closed = await runGuarded(guard, root, ['true'], { caller });
      expectFailure(closed, 125, /current leads nowhere, or you may not enter its target/);
    });
    await Promise.all(told);
  });

  test.skipIf(!runsAsRoot)(
    `is an error at once that names the mode of a snapshot that this user may not enter${notRoot}`,
    async () => {
      const { root } = await mirrors();
      chmodSync(join(root, 'snapshots', 'second'), 0o700);
      for (const { guard, caller } of guardedCallers.filter(({ caller }) => caller.user)) {
        for (const [options, id] of [
          [[], 'second'],
          [['--snapshot', 'second', '--pin', 'cwd'], 'second'],
        ] as const) {
          const closed = await runGuarded(guard, root, ['true'], { caller, options });
          expectFailure(
            closed,
            125,
            new RegExp(`may not enter ${root}/snapshots/${id}: it has mode drwx------`),
            /mirrorlatch init .* -- '--chmod=Da\+rx'/,
          );
        }
      }
    },
  );

  test('is named without control characters, and says whether only current is missing', async () => {
    const { root, home } = await mirrors();
    const strange = join(home, '\x1b[31m\n');
    await execa('cp', ['-a', '--', root, strange]);
    unlinkSync(join(strange, 'current'));
    for (const guard of guards) {
      const result = await runGuarded(guard, strange, ['true'], { options: ['--wait', '0'] });
      expectFailure(result, 75, /\?\[31m\? has snapshots, but .* current is missing/);
      expect(result.stderr).not.toContain('\x1b');
    }
  });

  test('is an error if it is named twice', async () => {
    const { root, home } = await mirrors();
    symlinkSync('mirror', join(home, 'again'));
    for (const guard of guards) {
      const result = await runGuarded(guard, [root, join(home, 'again')], ['true']);
      expectFailure(result, 125, /mirror is named twice/);
    }
  });

  test.skipIf(!mayMount)(`without /proc is one error, at once${noMount}`, async () => {
    const { root } = await mirrors();
    for (const { guard, caller } of guardedCallers) {
      if (caller.user !== undefined) continue;
      const result = await runGuarded(guard, root, ['true'], {
        through: ['unshare', '--mount', ...inShell('mount -t tmpfs none /proc && exec "$@"')],
      });
      expectFailure(result, 125, /\/proc is not mounted/, /mount -t proc/);
      expect(result.stderr.trimEnd().split('\n')).toHaveLength(2);
    }
  });

  test('is an error that names the mirror if only a part of one was named', async () => {
    const { root, home } = await mirrors();
    mkdirSync(join(home, 'known'));
    expect((await runProgram(['init', '--adopt', join(home, 'known')])).exitCode).toBe(0);
    const parts: [part: string, mirror: string][] = [
      [join(root, 'current', 'below'), root],
      [join(root, 'snapshots', 'first', 'below'), `${root} --snapshot first`],
      [join(root, 'snapshots', 'second'), root],
      [join(root, '.mirrorlatch'), root],
      [join(home, 'known'), join(home, 'known.mirror')],
    ];
    for (const guard of oneOfEachKind) {
      for (const [part, mirror] of parts) {
        const result = await runGuarded(guard, part, ['true']);
        expectFailure(result, 125, new RegExp(`part of a mirror.* itself: ${mirror}\n`));
      }
    }
  });
});
