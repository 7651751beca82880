import { chmodSync, copyFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { expectFailure } from '../../support/expect-failure.ts';
import {
  type Caller,
  callers,
  guardedCallers,
  guards,
  inShell,
  oneOfEachKind,
  runGuarded,
} from '../../support/guards.ts';
import { mayMount, nobody, runsAsRoot } from '../../support/privilege.ts';
import { transcript } from '../../support/program.ts';
import { mirrorsWith } from '../../support/small-mirror.ts';

const mirrors = mirrorsWith('first', 'second');
const notRoot = runsAsRoot ? '' : ' (skipped: only root can)';
const noMount = mayMount ? '' : ' (skipped: only root with CAP_SYS_ADMIN)';

/** Runs the rest of a command line where nobody, not even root, may make another user namespace. */
const withoutNamespaces = [
  ...['unshare', '--user', '--map-root-user', '--'],
  ...['/bin/sh', '-c', 'echo 0 >/proc/sys/user/max_user_namespaces && exec "$@"', 'sh'],
  ...['setpriv', '--bounding-set=-sys_admin', '--inh-caps=-sys_admin', '--'],
];

describe('--pin auto', () => {
  for (const { guard, caller, name } of guardedCallers) {
    test(`is a namespace for root and an ordinary user, and says so, by ${name}`, async () => {
      const { root } = await mirrors();
      const command = inShell(
        'printf "%s " "$MIRRORLATCH_PIN"; id -u; id -g; ls "$1"',
        `${root}/snapshots`,
      );
      const result = await runGuarded(guard, root, command, { caller, options: ['--verbose'] });
      const { uid, gid } = caller.user ?? { uid: process.getuid?.(), gid: process.getgid?.() };
      expect(result.stdout, transcript(result)).toBe(`namespace ${uid}\n${gid}\nsecond\n`);
      expect(result.stderr).toBe(`mirrorlatch: ${root} is pinned to second (namespace)\n`);
      const silent = await runGuarded(guard, root, ['true'], { caller });
      expect(silent.stderr).toBe('');
    });

    test(`is the working directory where namespaces are forbidden, by ${name}`, async () => {
      const { root } = await mirrors();
      const result = await runGuarded(
        guard,
        root,
        inShell('printf "%s " "$MIRRORLATCH_PIN" "$PWD"; cat file'),
        { caller, options: ['--verbose'], through: withoutNamespaces },
      );
      expect(result.stdout, transcript(result)).toBe(`cwd ${root}/snapshots/second second`);
      expect(result.stderr).toBe(`mirrorlatch: ${root} is pinned to second (cwd)\n`);
      const forced = await runGuarded(guard, root, ['true'], {
        caller,
        options: ['--pin', 'namespace'],
        through: withoutNamespaces,
      });
      expect(forced.exitCode, transcript(forced)).not.toBe(0);
    });
  }

  test.skipIf(!runsAsRoot)(
    `is the working directory for an ordinary user's setuid program${notRoot}`,
    async () => {
      const { root, home } = await mirrors();
      const setuid = join(home, 'setuid');
      copyFileSync('/usr/bin/id', setuid);
      chmodSync(setuid, 0o4755);
      chmodSync(home, 0o755);
      for (const { guard, caller } of guardedCallers.filter(({ caller }) => caller.user)) {
        const result = await runGuarded(guard, root, [setuid, '-u'], {
          caller,
          options: ['--verbose'],
        });
        expect(result.stderr, transcript(result)).toMatch(/pinned to second \(cwd\)/);
        // The scratch directory may lie on a filesystem that is mounted with nosuid.
        const bare = await runGuarded(undefined, root, [setuid, '-u'], { caller });
        expect(result.stdout).toBe(bare.stdout);
      }
    },
  );

  test.skipIf(!mayMount)(
    `is a namespace by way of the user namespace for root without CAP_SYS_ADMIN${noMount}`,
    async () => {
      const { root } = await mirrors();
      for (const guard of guards) {
        const result = await runGuarded(
          guard,
          root,
          inShell('id -u; umount "$1" 2>/dev/null; ls "$1/snapshots"', root),
          {
            options: ['--verbose'],
            through: ['setpriv', '--bounding-set=-sys_admin', '--inh-caps=-sys_admin', '--'],
          },
        );
        expect(result.stdout, transcript(result)).toBe('0\nsecond\n');
      }
    },
  );
});

describe('in a user namespace', () => {
  const caller: Caller | undefined = callers.find(({ user }) => user === nobody) ?? callers[0];

  test('an ordinary user keeps uid and gid, and has no capability', async () => {
    const { root } = await mirrors();
    for (const { guard } of guardedCallers.filter((way) => way.caller === caller)) {
      const result = await runGuarded(guard, root, ['cat', '/proc/self/status'], {
        caller: caller ?? { name: '' },
        options: ['--pin', 'namespace'],
      });
      const own = caller?.user ?? { uid: process.getuid?.(), gid: process.getgid?.() };
      const { uid, gid } = own;
      expect(result.stdout, transcript(result)).toContain(
        `\nUid:\t${uid}\t${uid}\t${uid}\t${uid}\n`,
      );
      expect(result.stdout).toContain(`\nGid:\t${gid}\t${gid}\t${gid}\t${gid}\n`);
      expect(result.stdout).toMatch(/^CapPrm:\t0+\nCapEff:\t0+$/m);
    }
  });
});

describe('a path through current in an argument', () => {
  test('brings a warning with the way out under a cwd pin alone', async () => {
    const { root } = await mirrors();
    const there = `--source=${root}/current/file`;
    for (const { guard, caller } of guardedCallers) {
      const run = (pin: string, ...words: string[]) =>
        runGuarded(guard, root, ['true', ...words], { caller, options: ['--pin', pin] });
      const warned = await run('cwd', 'other', there);
      expect(warned.exitCode, transcript(warned)).toBe(0);
      expect(warned.stderr).toBe(
        `mirrorlatch: ${there} leads through ${root}/current, which may change: only the working directory is pinned\n` +
          '  Write {snapshot} instead, or use --pin namespace if that is permitted.\n',
      );
      expect((await run('namespace', there)).stderr).toBe('');
      expect((await run('cwd', '{snapshot}/file')).stderr).toBe('');
    }
  });
});

describe('wrong words', () => {
  test('are refused before anything is done, with the thing and the way out', async () => {
    const { root } = await mirrors();
    for (const guard of guards) {
      for (const [options, ...said] of [
        [['--pin', 'tight'], /pin/, /auto.*namespace.*cwd/],
        [['--chdir', 'maybe'], /chdir/, /yes.*no/],
        [['--wait', 'long'], /long/],
        [['--nonsense'], /--nonsense/],
        [['--snapshot', '../first'], /\.\.\/first/],
        [['--snapshot', ''], /snapshot/],
      ] as const) {
        const result = await runGuarded(guard, root, ['touch', `${root}/proof`], { options });
        expectFailure(result, 125, ...said);
      }
      expectFailure(await runGuarded(guard, join(root, 'nothing'), ['true']), 125, /nothing/);
      expectFailure(await runGuarded(guard, join(root, 'snapshots'), ['true']), 125, /no mirror/);
    }
    for (const guard of oneOfEachKind) {
      const options = ['--snapshot', 'third'];
      expectFailure(
        await runGuarded(guard, root, ['true'], { options }),
        125,
        /has no snapshot third/,
        /mirrorlatch list/,
      );
    }
    expect(readFileSync(join(root, 'current', 'file'), 'utf8')).toBe('second');
  });
});
