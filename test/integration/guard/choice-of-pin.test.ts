import { chmodSync, copyFileSync, existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';
import { expectFailure } from '../../support/expect-failure.ts';
import {
  type Caller,
  callers,
  type Guard,
  guardedCallers,
  guards,
  inShell,
  oneOfEachKind,
  pathOf,
  runGuarded,
  startGuarded,
} from '../../support/guards.ts';
import { mayMount, nobody, runsAsRoot } from '../../support/privilege.ts';
import { runProgram, transcript } from '../../support/program.ts';
import { launcher } from '../../support/project.ts';
import { scratchDirectory } from '../../support/scratch.ts';
import { mirrorsWith } from '../../support/small-mirror.ts';
import { standInFor } from '../../support/stand-in.ts';

const mirrors = mirrorsWith('first', 'second');
const [run, reader] = guards;
const notRoot = runsAsRoot ? '' : ' (skipped: only root can)';
const noMount = mayMount ? '' : ' (skipped: only root with CAP_SYS_ADMIN)';

/** Runs a command line where nobody, not even root, may make another user namespace. */
const withoutNamespaces = [
  ...['unshare', '--user', '--map-root-user', '--'],
  ...['/bin/sh', '-c', 'echo 0 >/proc/sys/user/max_user_namespaces && exec "$@"', 'sh'],
  ...['setpriv', '--bounding-set=-sys_admin', '--inh-caps=-sys_admin', '--'],
];

describe('--pin auto', () => {
  for (const { guard, caller, name } of guardedCallers) {
    test(`is a namespace for root and an ordinary user, and reports it, by ${name}`, async () => {
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

    test(`I14: fails with the ways out if namespaces are forbidden, by ${name}`, async () => {
      const { root } = await mirrors();
      for (const options of [[], ['--pin', 'namespace'], ['--chdir', 'no']]) {
        const result = await runGuarded(guard, root, ['touch', `${root}/ran`], {
          caller,
          options,
          through: withoutNamespaces,
        });
        expectFailure(
          result,
          125,
          /mirror cannot be pinned: this user may not make a mount namespace here/,
          /--pin cwd -- touch/,
          /mirrorlatch current \//,
        );
        // It would not do for a namespace that was asked for.
        const isOffered = /export MIRRORLATCH_FALLBACK=cwd/.test(result.stderr);
        expect(isOffered).toBe(!options.includes('namespace'));
        expect(existsSync(join(root, 'ran'))).toBe(false);
      }
    });

    test(`is the working directory there if {snapshot} or the environment asks for it, by ${name}`, async () => {
      const { root } = await mirrors();
      const pinned = (words: string[], options: string[], env: Record<string, string>) =>
        runGuarded(guard, root, inShell('echo "$MIRRORLATCH_PIN $PWD"; cat "$1"', ...words), {
          caller,
          options: ['--verbose', ...options],
          env,
          through: withoutNamespaces,
          cwd: '/usr',
        });
      const snapshot = join(root, 'snapshots', 'second');
      const reported = `mirrorlatch: ${root} is pinned to second (cwd)\n`;
      const fallback = { MIRRORLATCH_FALLBACK: 'cwd' };
      expect(await pinned(['{snapshot}/file'], [], {})).toMatchObject({
        stdout: `cwd ${snapshot}\nsecond`,
        stderr: reported,
      });
      expect(await pinned(['{snapshot}/file'], ['--chdir', 'no'], {})).toMatchObject({
        stdout: 'cwd /usr\nsecond',
        stderr: reported,
      });
      expect(await pinned(['file'], [], fallback)).toMatchObject({
        stdout: `cwd ${snapshot}\nsecond`,
        stderr: reported,
      });
      expect(await pinned(['file'], ['--chdir', 'no'], fallback)).toMatchObject({
        stdout: `cwd ${snapshot}\nsecond`,
        stderr: `mirrorlatch: /bin/sh starts in ${snapshot}, not in /usr: this user may not make a mount namespace here\n${reported}`,
      });
      const forced = await pinned(['{snapshot}/file'], ['--pin', 'namespace'], fallback);
      expectFailure(forced, 125, /cannot be pinned/, /--pin cwd -- .*'\{snapshot\}\/file'$/m);
    });
  }

  test('I14: fails before the command is started if the second namespace of an ordinary user fails', async () => {
    const { root, home } = await mirrors();
    const fails = 'case "$*" in --user\\ --map-user*) echo "no more" >&2; exit 1 ;; esac';
    const PATH = standInFor('unshare', join(home, 'programs'), fails);
    for (const { guard, caller } of guardedCallers) {
      if (!oneOfEachKind.includes(guard) || caller === callers.find(({ user }) => !user)) continue;
      const result = await runGuarded(guard, root, ['echo', 'ran'], { caller, env: { PATH } });
      expectFailure(result, 125, /may not make a mount namespace here/);
      expect(result.stdout).toBe('');
    }
  });

  test.skipIf(!runsAsRoot)(
    `I14: of root without CAP_SYS_ADMIN says so if descriptors are lacking, and leaves no process${notRoot}`,
    async () => {
      const { root, state } = await mirrors();
      for (const guard of guards) {
        const result = await runGuarded(guard, root, ['true'], {
          through: [
            ...['setpriv', '--bounding-set=-sys_admin', '--inh-caps=-sys_admin', '--'],
            ...inShell('exec 3<. 4<. 5<. 6<. 7<. && exec "$@"'),
          ],
        });
        expectFailure(result, 125, /no descriptor from 3 to 9 is free/);
        const lease = state('leases', 'second');
        const free = await execa('flock', ['-n', '-x', lease, 'true'], { reject: false });
        expect(free.exitCode, guard.name).toBe(0);
      }
    },
  );

  test('I14: fails if {snapshot} names one of several mirrors only', async () => {
    const roots = [(await mirrors()).root, (await mirrors()).root];
    for (const guard of guards) {
      const result = await runGuarded(guard, roots, ['cat', '{snapshot}/file'], {
        through: withoutNamespaces,
      });
      expectFailure(result, 125, /cannot be pinned/);
    }
  });

  test('prints a command that can be pasted, whatever the name of the mirror', async () => {
    const home = scratchDirectory();
    const root = join(home, "it's a $mirror");
    await execa('cp', ['-a', '--', (await mirrors()).root, root]);
    for (const guard of guards) {
      const refused = await runGuarded(guard, root, inShell('cat "$1"; echo "it\'s"', 'file'), {
        through: withoutNamespaces,
      });
      const [, line = ''] =
        /: ((?:sh|mirrorlatch run) .*--pin cwd .*)$/m.exec(refused.stderr) ?? [];
      const pasted = await runGuarded(undefined, [], inShell(line), {
        env: { PATH: `${dirname(launcher)}:${pathOf(guard)}` },
        through: withoutNamespaces,
      });
      expect(pasted.stdout, transcript(pasted)).toBe("secondit's\n");
    }
  });

  test('a shim, an alias and a command of watch follow the same rule', async () => {
    const { root, home } = await mirrors();
    const shims = join(home, 'shims');
    await runProgram(['shims', shims, '--mirror', root, 'wc']);
    const { stdout: aliases } = await runProgram(['shell-init', 'sh', '--mirror', root, 'wc']);
    const run = (command: string[], env = {}) =>
      runGuarded(undefined, [], command, { env, through: withoutNamespaces });
    for (const command of [
      [join(shims, 'wc'), '-c', 'file'],
      inShell('eval "$1"; eval "wc -c file"', aliases),
    ]) {
      expectFailure(await run(command), 125, /cannot be pinned/);
      const pinned = await run(command, { MIRRORLATCH_FALLBACK: 'cwd' });
      expect(pinned.stdout, transcript(pinned)).toBe('6 file\n');
      expect(pinned.stderr).toMatch(/wc starts in .*snapshots\/second, not in \//);
    }
    const options = ['--initial', '--retries', '0', '--retry-delay', '30s', '--json'];
    const words = ['watch', root, ...options, '--', 'cat', 'file'];
    const watching = startGuarded(undefined, [], [launcher, ...words], {
      through: withoutNamespaces,
    });
    await expect.poll(watching.printedSoFar).toContain('command-ended');
    watching.kill('SIGTERM');
    const watched = await watching.result;
    expect(watched.stdout).toMatch(/"command-ended".*"exitCode":125/);
    expect(watched.stderr).toMatch(/cannot be pinned/);
    expect(watched.stderr).toMatch(
      /: mirrorlatch watch \S+ --initial --retries 0 --retry-delay 30000ms --json --pin cwd -- cat file$/m,
    );
  });

  test('keeps the other options in the command that it prints', async () => {
    const { root, home } = await mirrors();
    const refuse = (guard: Guard | undefined, options: readonly string[]) =>
      runGuarded(guard, root, ['cat', 'file'], {
        options,
        through: withoutNamespaces,
        env: { XDG_STATE_HOME: join(home, 'state') },
      });
    const kept = ['--snapshot', 'previous', '--or-current', '--wait', '3s', '--release-on-exit'];
    for (const guard of guards) {
      const { stderr } = await refuse(guard, [...kept, '--pin', 'namespace']);
      expect(stderr).toMatch(new RegExp(` ${kept.join(' ')} --pin cwd -- cat file$`, 'm'));
    }
    const sticky = await refuse(run, ['--sticky', 'apt.1']);
    expect(sticky.stderr).toMatch(/ --sticky apt.1 --pin cwd -- cat file$/m);
    const remembered = await refuse(reader, ['--remember', join(home, 'id')]);
    expect(remembered.stderr).toMatch(/ --remember \S+\/id --pin cwd -- cat file$/m);
    const gone = await refuse(run, ['--reuse', 'none', '--wait', '3s', '--pin', 'cwd']);
    expect(gone.stderr).toMatch(/ --reuse none --or-current --wait 3s --pin cwd -- cat file\. Or/);
  });

  test('prints no command of its own if it would open a shell', async () => {
    const { root } = await mirrors();
    const result = await runGuarded(run, root, [], { through: withoutNamespaces });
    expectFailure(result, 125, /: mirrorlatch run \S+ --pin cwd$/m);
  });

  test('MIRRORLATCH_FALLBACK has no other value', async () => {
    const { root } = await mirrors();
    for (const guard of guards) {
      const env = { MIRRORLATCH_FALLBACK: 'yes' };
      const result = await runGuarded(guard, root, ['true'], { env });
      expectFailure(result, 125, /MIRRORLATCH_FALLBACK is 'yes'/);
    }
  });

  test.skipIf(!runsAsRoot)(
    `I14: fails for an ordinary user's setuid or setgid program, and names what works${notRoot}`,
    async () => {
      const { root, home } = await mirrors();
      chmodSync(home, 0o755);
      const sudo = join(home, 'sudo');
      const setgid = join(home, 'setgid');
      for (const [file, mode] of [
        [sudo, 0o4755],
        [setgid, 0o2755],
      ] as const) {
        copyFileSync('/usr/bin/id', file);
        chmodSync(file, mode);
      }
      for (const { guard, caller } of guardedCallers.filter(({ caller }) => caller.user)) {
        const run = (file: string, pin: string, env = {}) =>
          runGuarded(guard, root, [file, '-u'], {
            caller,
            options: ['--pin', pin, '--verbose'],
            env: { PATH: `${home}:${pathOf(guard)}`, ...env },
          });
        for (const file of [sudo, setgid]) {
          const refused = await run(file, 'auto');
          expectFailure(
            refused,
            125,
            /is setuid or setgid, which has no effect/,
            /Let root make the namespace: (sudo .* -- |put the guard behind sudo)/,
          );
          expect((await run(file, 'namespace')).stderr).toMatch(/pinned to second \(namespace\)/);
          // The scratch directory may be on a filesystem mounted nosuid.
          const bare = await runGuarded(undefined, root, [file, '-u'], { caller });
          for (const result of [
            await run(file, 'cwd'),
            await run(file, 'auto', { MIRRORLATCH_FALLBACK: 'cwd' }),
          ]) {
            expect(result.stderr, transcript(result)).toMatch(/pinned to second \(cwd\)/);
            expect(result.stdout).toBe(bare.stdout);
          }
        }
        const inside = await runGuarded(guard, root, ['sudo', 'apt-get', 'update'], {
          caller,
          options: ['--snapshot', 'first', '--chdir', 'no'],
          env: { PATH: `${home}:${pathOf(guard)}` },
        });
        expectFailure(
          inside,
          125,
          /sudo (sh|mirrorlatch run) .* --snapshot first --chdir no -- apt-get update$/m,
          / --snapshot first --pin cwd -- sudo apt-get update$/m,
        );
        const assigned = await runGuarded(guard, root, ['sudo', 'A=b', 'apt-get', 'update'], {
          caller,
          env: { PATH: `${home}:${pathOf(guard)}` },
        });
        expectFailure(
          assigned,
          125,
          /Let root make the namespace: put the guard behind sudo and its options$/m,
          / --pin cwd -- sudo 'A=b' apt-get update$/m,
        );
        const behind = ['env', 'A=b', 'nice', '-n', '5', 'sudo', '-u'];
        const found = await runGuarded(guard, root, behind, {
          caller,
          env: { PATH: `${home}:${pathOf(guard)}` },
        });
        expectFailure(found, 125, /sudo is setuid/, /--pin cwd -- env 'A=b' nice -n 5 sudo -u$/m);
      }
    },
  );

  test.skipIf(!mayMount)(
    `is a namespace inside a user namespace for root without CAP_SYS_ADMIN${noMount}`,
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

  test.skipIf(!mayMount)(
    `lets root without CAP_SYS_ADMIN change to other users there, as apt does${noMount}`,
    async () => {
      const { root, home } = await mirrors();
      chmodSync(home, 0o777);
      for (const guard of guards) {
        const result = await runGuarded(
          guard,
          root,
          inShell(
            `setpriv --reuid=65534 --regid=65534 --groups=65534,1 sh -c 'id -u; id -G; cat "$1"' sh "$1/current/file"
             : >"$2" && chown 1:2 "$2" && stat -c ' %u %g' "$2"; rm "$2"; grep -c . /proc/self/uid_map`,
            root,
            join(home, 'owned'),
          ),
          {
            options: ['--pin', 'namespace'],
            through: ['setpriv', '--bounding-set=-sys_admin', '--inh-caps=-sys_admin', '--'],
          },
        );
        expect(result.stdout, transcript(result)).toBe('65534\n65534 1\nsecond 1 2\n1\n');
        expect(result.stderr).toBe('');
      }
    },
  );

  test.skipIf(!mayMount)(
    `fails for root that may not map the ids of others${noMount}`,
    async () => {
      const { root } = await mirrors();
      for (const guard of guards) {
        const result = await runGuarded(guard, root, ['true'], {
          through: [
            ...['setpriv', '--bounding-set=-sys_admin,-setuid'],
            ...['--inh-caps=-sys_admin,-setuid', '--'],
          ],
        });
        expectFailure(result, 125, /cannot be pinned/);
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
  test('causes a warning and a hint, under a cwd pin only', async () => {
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

describe('invalid options', () => {
  test('are refused before anything is done, with the value and a hint', async () => {
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
      // In place, the one tree is called live.
      for (const id of ['third', 'live']) {
        const result = await runGuarded(guard, root, ['true'], { options: ['--snapshot', id] });
        expectFailure(result, 125, new RegExp(`has no snapshot ${id}`), /mirrorlatch list/);
      }
    }
    expect(readFileSync(join(root, 'current', 'file'), 'utf8')).toBe('second');
  });
});
