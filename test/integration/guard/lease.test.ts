import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { execa } from 'execa';
import { describe, expect, onTestFinished, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { expectFailure } from '../../support/expect-failure.ts';
import {
  callers,
  type Guard,
  guardedCallers,
  guards,
  inShell,
  oneOfEachKind,
  runGuarded,
  startGuarded,
} from '../../support/guards.ts';
import { missingOf } from '../../support/installed.ts';
import { mayMount, nobody, runsAsRoot } from '../../support/privilege.ts';
import { runForJson, transcript } from '../../support/program.ts';
import { bin } from '../../support/project.ts';
import { mirrorsWith } from '../../support/small-mirror.ts';
import { standInFor } from '../../support/stand-in.ts';

/** Only `first` may be pruned; the others are current and previous. */
const mirrors = mirrorsWith('first', 'second', 'third');
const notRoot = runsAsRoot ? '' : ' (skipped: only root can)';
const noMount = mayMount ? '' : ' (skipped: only root with CAP_SYS_ADMIN mounts)';

interface Pruned {
  readonly removed: readonly string[];
  readonly kept: readonly {
    readonly id: string;
    readonly readers: readonly { readonly by: string; readonly pid: number }[];
  }[];
}

const prune = async (root: string): Promise<Pruned> =>
  (await runForJson(['prune', root, '--keep-last', '1', '--grace', '0'])) as unknown as Pruned;

/** The readers of the first snapshot, as prune reports them. */
const holds = ({ kept }: Pruned): string[] | undefined =>
  kept.find(({ id }) => id === 'first')?.readers.map(({ by }) => by);

/** The processes that hold the lease of the first snapshot. */
const pidsOf = ({ kept }: Pruned): number[] =>
  kept.flatMap(({ id, readers }) =>
    id === 'first' ? readers.filter(({ by }) => by === 'lease').map(({ pid }) => pid) : [],
  );

/** Ends a process whose pid a command printed, even if the test fails before. */
function endOf(pid: number): () => void {
  let isOver = false;
  const end = (): void => {
    if (!isOver) process.kill(pid, 'SIGKILL');
    isOver = true;
  };
  onTestFinished(end);
  return end;
}

/** Combinations in which each guard and each caller occurs. */
const ways = guards.flatMap((guard, index) => {
  const caller = callers[index % callers.length];
  return guardedCallers.filter((way) => way.guard === guard && way.caller === caller);
});

describe('I5: a pinned snapshot is not pruned', () => {
  for (const { guard, caller, name } of ways) {
    test(`while the command or a child of it lives, however the others ended, by ${name}`, async () => {
      const { root, snapshots, state } = await mirrors();
      // Only the lease holds the snapshot, because the working directory is elsewhere.
      const running = startGuarded(
        guard,
        root,
        inShell('cd /; sleep 600 & echo $!; exec sleep 600'),
        { caller, options: ['--pin', 'cwd', '--snapshot', 'first'] },
      );
      await expect.poll(running.printedSoFar).toMatch(/\d\n/);
      const endChild = endOf(Number(running.printedSoFar()));
      expect(holds(await prune(root))).toEqual(['lease', 'lease']);
      running.kill('SIGKILL');
      await expect.poll(() => existsSync(`/proc/${running.pid}/fd/0`)).toBe(false);
      expect(holds(await prune(root))).toEqual(['lease']);
      // Another host sees only the lock.
      const exclusive = await execa('flock', ['-n', '-x', state('leases', 'first'), 'true'], {
        reject: false,
      });
      expect(exclusive.exitCode).toBe(1);
      endChild();
      await running.result;
      expect((await prune(root)).removed).toEqual(['first']);
      expect(snapshots()).toEqual(['second', 'third']);
    });

    test(`only until the command ends with --release-on-exit, by ${name}`, async () => {
      const { root, home, state } = await mirrors();
      const running = startGuarded(
        guard,
        root,
        inShell(
          // The daemon says its pid itself: from then on no signal to the group of the guard reaches it.
          `cd /; trap : HUP TERM
           setsid sh -c 'echo $$; exec sleep 600 >/dev/null 2>&1' &
           while [ ! -e "$1" ]; do sleep 0.05; done; exit 7`,
          join(home, 'go'),
        ),
        {
          caller,
          options: ['--pin', 'cwd', '--snapshot', 'first', '--release-on-exit'],
          // Its own process group, and an extra descriptor of the caller.
          through: ['setsid', ...inShell('exec 3<. && exec "$@"')],
        },
      );
      await expect.poll(running.printedSoFar).toMatch(/\d\n/);
      const daemon = Number(running.printedSoFar());
      const endDaemon = endOf(daemon);
      const [helper] = pidsOf(await prune(root));
      expect(helper).not.toBe(running.pid);
      const open = `/proc/${helper}/fd`;
      // It opens others while it looks whether the command has ended.
      await eventually(() =>
        expect(
          new Set(oneDigit(readdirSync(open)).map((fd) => readlinkSync(join(open, fd)))),
        ).toEqual(new Set(['/dev/null', state('leases', 'first')])),
      );
      for (const signal of ['SIGHUP', 'SIGTERM']) process.kill(-running.pid, signal);
      await pause(200);
      expect(holds(await prune(root))).toContain('lease');
      writeFileSync(join(home, 'go'), '');
      expect((await running.result).exitCode).toBe(7);
      await expect.poll(() => existsSync(`${open}/0`)).toBe(false);
      expect(existsSync(`/proc/${daemon}/fd/0`)).toBe(true);
      expect((await prune(root)).removed).toEqual(['first']);
      endDaemon();
    });
  }

  test('with --release-on-exit by no child of the command, until its last thread has ended', async () => {
    const { root, home } = await mirrors();
    const options = ['--pin', 'cwd', '--snapshot', 'first', '--release-on-exit'];
    // In each the first thread ends: another replaces it by exec, or runs on without it.
    const threads = {
      exec: "threading.Thread(target=lambda: os.execvp('sleep', ['sleep', '600'])).start(); time.sleep(600)",
      exit: 'threading.Thread(target=lambda: time.sleep(600)).start(); ctypes.CDLL(None).pthread_exit(None)',
    };
    for (const guard of guards) {
      const waited = await runGuarded(guard, root, ['perl', '-e', '1 while wait() != -1'], {
        options,
      });
      expect(waited.exitCode, transcript(waited)).toBe(0);
    }
    const ways = missingOf('python3').length > 0 ? [] : Object.entries(threads);
    const running = ways.flatMap(([name, code]) => {
      const script = join(home, `${name}.py`);
      writeFileSync(script, `import ctypes, os, threading, time\nprint(1, flush=True)\n${code}\n`);
      return guards.map((guard) => startGuarded(guard, root, ['python3', script], { options }));
    });
    for (const { printedSoFar } of running) await expect.poll(printedSoFar).toBe('1\n');
    // Each helper looks at least once.
    await pause(1500);
    expect(pidsOf(await prune(root)).length).toBeGreaterThanOrEqual(running.length);
    for (const command of running) command.kill('SIGKILL');
    await Promise.all(running.map(({ result }) => result));
    await expect.poll(async () => (await prune(root)).removed).toEqual(['first']);
  });

  test.skipIf(!mayMount)(
    `that an ordinary user reads through a read-only bind mount of ROOT (I11)${noMount}`,
    async () => {
      const { root, home } = await mirrors();
      const bound = join(home, 'bound');
      mkdirSync(bound);
      await execa('mount', ['--bind', root, bound]);
      await execa('mount', ['-o', 'remount,bind,ro', bound]);
      const readers = guardedCallers
        .filter(({ caller }) => caller.user)
        .map(({ guard, caller }) =>
          startGuarded(
            guard,
            bound,
            inShell('cat file "$1/current/file"; cd /; exec sleep 600', bound),
            { caller, options: ['--snapshot', 'first', '--pin', 'namespace'] },
          ),
        );
      for (const reader of readers) {
        await expect.poll(reader.printedSoFar).toBe('firstfirst');
      }
      const leases = holds(await prune(root))?.filter((by) => by === 'lease');
      for (const reader of readers) reader.kill('SIGKILL');
      await Promise.all(readers.map(({ result }) => result));
      expect(leases).toHaveLength(readers.length);
      expect((await prune(root)).removed).toEqual(['first']);
    },
  );
});

describe('I5: a snapshot that is pruned after it was resolved and before it is held', () => {
  /** A PATH with a flock(1) that waits before it locks, which widens the window as needed. */
  function slowFlock(home: string): { PATH: string; waiting: string; go: string } {
    const [waiting, go] = [`${home}.waiting`, `${home}.go`];
    const waits = `if mkdir '${waiting}' 2>/dev/null; then while [ ! -e '${go}' ]; do sleep 0.05; done; fi`;
    return { PATH: standInFor('flock', home, waits), waiting, go };
  }

  const startSlowly = (guard: Guard, root: string, PATH: string) =>
    startGuarded(guard, root, inShell('printf "%s " "$MIRRORLATCH_ID" && cat file'), {
      env: { PATH },
    });

  test.skipIf(!mayMount)(`is given up for the then current one${noMount}`, async () => {
    const { root, home, ...mirror } = await mirrors();
    const readers = guards.map((guard, index) => {
      const window = slowFlock(join(home, `window-${index}`));
      return { ...window, running: startSlowly(guard, root, window.PATH) };
    });
    for (const { waiting } of readers) {
      await expect.poll(() => existsSync(waiting)).toBe(true);
    }
    await mirror.publish('fourth', { file: 'fourth' });
    await mirror.publish('fifth', { file: 'fifth' });
    // From its own PID namespace, as from another host, prune sees no working directory.
    const { stdout } = await execa('unshare', [
      ...['--pid', '--fork', '--mount-proc', '--'],
      ...[process.execPath, bin],
      ...['prune', root, '--keep-last', '1', '--grace', '0', '--json'],
    ]);
    expect(JSON.parse(stdout).removed).toContain('third');
    for (const { go } of readers) writeFileSync(go, '');
    for (const { running } of readers) {
      const result = await running.result;
      expect(result.stdout, transcript(result)).toBe('fifth fifth');
      expect(result.stderr).toBe('');
    }
  });

  test('is tried again while another process holds the lease exclusively', async () => {
    const { root, state } = await mirrors();
    for (const guard of oneOfEachKind) {
      const holder = execa('flock', ['-x', state('leases', 'third'), 'sleep', '1']);
      await expect
        .poll(
          async () =>
            (
              await execa('flock', ['-n', '-s', state('leases', 'third'), 'true'], {
                reject: false,
              })
            ).exitCode,
        )
        .toBe(1);
      const result = await runGuarded(guard, root, ['cat', 'file']);
      expect(result.stdout, transcript(result)).toBe('third');
      await holder;
    }
  });

  test.skipIf(!runsAsRoot)(`is reported if the lease cannot be read${notRoot}`, async () => {
    const { root, state } = await mirrors();
    chmodSync(state('leases'), 0o700);
    const { guard, caller } = guardedCallers.find((way) => way.caller.user === nobody) ?? {};
    const result = await runGuarded(guard, root, ['cat', 'file'], caller ? { caller } : {});
    expect(result.exitCode, transcript(result)).toBe(125);
    expect(result.stderr).toMatch(/lease of .*third cannot be taken/);
  });
});

/** The single-digit descriptors, which sh can close. */
function oneDigit(descriptors: readonly string[]): string[] {
  return descriptors.filter(({ length }) => length === 1);
}

test('a symlink that leads to no snapshot is named as that, and not its lease', async () => {
  const { root } = await mirrors();
  for (const [name, options] of [
    ['current', []],
    ['previous', ['--snapshot', 'previous']],
  ] as const) {
    rmSync(join(root, name));
    symlinkSync('/etc', join(root, name));
    const results = oneOfEachKind.map((guard) => runGuarded(guard, root, ['true'], { options }));
    for (const result of await Promise.all(results)) {
      const said = new RegExp(`${name} is not a symlink to a snapshot of this mirror$`, 'm');
      expectFailure(result, 125, said, /Look at it with: ls -ld /);
      expect(result.stderr).not.toMatch(/lease/);
    }
    rmSync(join(root, name));
    symlinkSync('snapshots/third', join(root, name));
  }
});

test('I13: a symlink in place of a lease or of their directory leads no reader elsewhere', async () => {
  const { root, home, state } = await mirrors();
  mkdirSync(join(home, 'others'));
  writeFileSync(join(home, 'others', 'third'), '');
  for (const [name, target] of [
    ['leases/third', join(home, 'others', 'third')],
    ['leases', join(home, 'others')],
  ] as const) {
    rmSync(state(name), { recursive: true });
    symlinkSync(target, state(name));
    const results = oneOfEachKind.map((guard) => runGuarded(guard, root, ['true']));
    for (const result of await Promise.all(results)) {
      expectFailure(result, 125, /leases\/third is a symlink, or in one/);
    }
  }
});

test('a FIFO in place of a lease or of the state of the gate does not stop a guard', async () => {
  const { root, state } = await mirrors();
  for (const [name, exitCode] of [
    ['gate.json', 75],
    ['leases/third', 125],
  ] as const) {
    rmSync(state(name), { force: true });
    await execa('mkfifo', [state(name)]);
    const results = oneOfEachKind.map((guard) =>
      runGuarded(guard, root, ['true'], { options: ['--wait', '0'] }),
    );
    for (const result of await Promise.all(results)) expectFailure(result, exitCode);
    rmSync(state(name));
  }
});
