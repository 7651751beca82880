import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { expectFailure } from '../../support/expect-failure.ts';
import {
  type Guard,
  type GuardOptions,
  guardedCallers,
  guards,
  inShell,
  pathOf,
  pinnings,
  runGuarded,
} from '../../support/guards.ts';
import { missingOf } from '../../support/installed.ts';
import { startProcess, transcript } from '../../support/program.ts';
import { launcher } from '../../support/project.ts';
import { mirrorsWith } from '../../support/small-mirror.ts';

const mirrors = mirrorsWith('first', 'second');

/** The output of the same command, bare and guarded. */
async function bareAndGuarded(
  guard: Guard,
  root: string,
  command: readonly string[],
  options: GuardOptions,
): Promise<{ bare: string; guarded: string; snapshot: string }> {
  const [bare, guarded] = await Promise.all([
    runGuarded(undefined, root, command, options),
    runGuarded(guard, root, command, options),
  ]);
  for (const result of [bare, guarded]) expect(result.exitCode, transcript(result)).toBe(0);
  return {
    bare: bare.stdout,
    guarded: guarded.stdout,
    snapshot: join(root, 'snapshots', 'second'),
  };
}

for (const { guard, caller, name, pin } of pinnings) {
  describe(`I10: by ${name}:`, () => {
    const options = ['--pin', pin];

    test('arguments arrive unchanged except for {snapshot}', async () => {
      const { root } = await mirrors();
      const words = ['', '-x', '--', '--pin', '\nline\n', '  a  b ', '*', '\\', "'", '$HOME', ''];
      const result = await runGuarded(
        guard,
        root,
        ['printf', '%s|', ...words, 'a{snapshot}b{snapshot}', '{snapshot', '{{snapshot}}'],
        { caller, options },
      );
      const path = join(root, 'snapshots', 'second');
      expect(result.stdout, transcript(result)).toBe(
        [...words, `a${path}b${path}`, '{snapshot', `{${path}}`, ''].join('|'),
      );
    });

    test('bytes that are not UTF-8 arrive in arguments and environment', async () => {
      const { root } = await mirrors();
      const result = await runGuarded(
        guard,
        root,
        inShell(`printf '%s/' "$BYTES" "$@" | od -An -v -tx1 | tr -d ' \\n'`),
        {
          caller,
          options,
          through: inShell(
            `BYTES=$(printf '\\001\\200\\377\\303('); export BYTES; exec "$@" "$BYTES" "$(printf '\\355\\240\\200')"`,
          ),
        },
      );
      expect(result.stdout, transcript(result)).toBe('0180ffc3282f0180ffc3282feda0802f');
    });

    test('the environment differs only as documented', async () => {
      const { root } = await mirrors();
      const { bare, guarded, snapshot } = await bareAndGuarded(guard, root, ['env', '-0'], {
        caller,
        options,
        env: {
          ml_mine: 'kept',
          CDPATH: '/usr',
          ENV: '/nonexistent/profile',
          OLDPWD: '/usr',
          LINES: '3',
          EMPTY: '',
          PATH: pathOf(guard),
          // Shells count their depth, and bash passes each command its path.
          SHLVL: undefined,
          _: undefined,
          AWKWARD: ' a\nb=c\\ "\'',
          'a.b': ' x\ny=\'"$z\u0001\n',
          'BASH_FUNC_f%%': '() {  echo;\n}',
          '1': '',
          IFS: ':\n',
          OPTIND: '7',
          PPID: '1',
          LD_LIBRARY_PATH: '',
          LD_PRELOAD: '',
          LD_AUDIT: '',
          NODE_OPTIONS: '',
        },
      });
      const variables = (printed: string): Record<string, string> =>
        Object.fromEntries(
          printed
            .split('\0')
            .filter((line) => line !== '')
            .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
        );
      const { _: path, SHLVL: depth, ...seen } = variables(guarded);
      expect(seen).toEqual({
        ...variables(bare),
        PWD: snapshot,
        MIRRORLATCH_ROOT: root,
        MIRRORLATCH_SNAPSHOT: snapshot,
        MIRRORLATCH_ID: 'second',
        MIRRORLATCH_PIN: pin,
      });
    });

    test("umask, niceness, limits and identity are the caller's", async () => {
      const { root } = await mirrors();
      const { bare, guarded } = await bareAndGuarded(
        guard,
        root,
        inShell(`umask; nice; ulimit -n; ulimit -c; id -u; id -g; cut -d ' ' -f 5-7 /proc/$$/stat`),
        {
          caller,
          options,
          through: inShell('umask 027; ulimit -n 200; ulimit -c 0; exec nice -n 5 "$@"'),
        },
      );
      expect(guarded).toBe(bare);
      expect(bare).toMatch(/^0027\n5\n200\n0\n/);
    });

    test('ignored signals stay ignored, and others do not become so', async () => {
      const { root } = await mirrors();
      for (const signals of ['', 'HUP USR1 PIPE INT QUIT TERM TSTP CHLD']) {
        const { bare, guarded } = await bareAndGuarded(guard, root, ['cat', '/proc/self/status'], {
          caller,
          options,
          through: inShell(`for s in ${signals}; do trap '' $s; done; exec "$@"`),
        });
        const dispositions = (status: string) =>
          status.match(/^(Sig(Blk|Ign|Cgt)|NoNewPrivs).*$/gm);
        expect(dispositions(guarded)).toEqual(dispositions(bare));
      }
    });

    test("the caller's descriptors arrive, and only the lease's is added", async () => {
      const { root, home } = await mirrors();
      for (const name of ['one', 'two']) writeFileSync(join(home, name), '');
      const { bare, guarded } = await bareAndGuarded(
        guard,
        root,
        inShell(
          `cd /proc/$$/fd && for fd in *; do
             case $(readlink "$fd") in pipe:* | socket:*) ;; *) echo "$fd $(readlink "$fd")" ;; esac
           done`,
        ),
        {
          caller,
          options,
          through: [
            'bash',
            '-c',
            'exec 3<"$0/one" 4<"$0/two" 5>/dev/null 6</ 63<"$0" 255<"$0/source" && exec "$@"',
            home,
          ],
        },
      );
      const lines = guarded.split('\n');
      const lease = lines.findIndex((line) => line.endsWith(`${root}/.mirrorlatch/leases/second`));
      expect(lines.toSpliced(lease, 1).join('\n'), guarded).toBe(bare);
    });

    test('closed standard streams stay closed', async () => {
      const { root, home } = await mirrors();
      chmodSync(home, 0o777);
      for (const closed of ['0', '1', '0 1']) {
        const report = join(home, `${closed}`);
        const result = await runGuarded(
          guard,
          root,
          inShell(
            'all=; for fd in 0 1 2; do [ -e "/proc/$$/fd/$fd" ] || all="$all$fd "; done; echo "$all" >"$1"',
            report,
          ),
          {
            caller,
            options,
            through: inShell(`for fd in $0; do eval "exec $fd>&-"; done; exec "$@"`).toSpliced(
              3,
              1,
              closed,
            ),
          },
        );
        expect(result.exitCode, transcript(result)).toBe(0);
        expect(readFileSync(report, 'utf8')).toBe(`${closed} \n`);
      }
    });
  });
}

describe('I10: whatever the guard', () => {
  test('a command whose name begins with a dash is run by name and by path', async () => {
    const { root, home } = await mirrors();
    const bin = join(home, 'bin');
    mkdirSync(bin);
    for (const name of ['-prog', '--', '--pin']) {
      writeFileSync(join(bin, name), '#!/bin/sh\nprintf "%s|" ran "$@"\n');
      chmodSync(join(bin, name), 0o755);
    }
    for (const { guard, caller, pin } of pinnings) {
      for (const name of ['-prog', '--', join(bin, '--pin')]) {
        const result = await runGuarded(guard, root, [name, '-v', ''], {
          caller,
          options: ['--pin', pin],
          through: inShell('PATH=$PATH:$0 exec "$@"').toSpliced(3, 1, bin),
        });
        expect(result.stdout, transcript(result)).toBe('ran|-v||');
      }
    }
  });

  test('15,000 arguments arrive, with {snapshot} in some of them', async () => {
    const { root } = await mirrors();
    const words = Array.from({ length: 15_000 }, (_, at) => `argument-${at}`);
    const snapshot = join(root, 'snapshots', 'second');
    for (const guard of guards) {
      for (const marked of [words, words.toSpliced(7_000, 2, '{snapshot}', 'x/{snapshot}')]) {
        const result = await runGuarded(guard, root, inShell('printf "%s\\n" "$@"', ...marked));
        expect(result.stdout.split('\n'), result.stderr).toEqual([
          ...marked.map((word) => word.replace('{snapshot}', snapshot)),
          '',
        ]);
      }
    }
  });

  test('no program of the mirror is run, whatever PATH holds', async () => {
    const mirror = await mirrors();
    chmodSync(mirror.home, 0o777);
    const proof = join(mirror.home, 'proof');
    const names =
      'flock unshare nsenter setpriv mount umount sh env sed awk grep tr ls find ln cp mv rm rmdir readlink realpath sleep cat node';
    for (const directory of [
      mirror.root,
      mirror.state(),
      ...['snapshots', 'snapshots/second'].map((place) => join(mirror.root, place)),
    ]) {
      for (const name of names.split(' ')) {
        writeFileSync(join(directory, name), `#!/bin/sh\necho ${name} >>'${proof}'\n`);
        chmodSync(join(directory, name), 0o755);
      }
    }
    for (const { guard, caller, pin } of pinnings) {
      for (const path of [':$PATH', '.:$PATH', '$PATH:', 'usr/..:$PATH']) {
        const result = await runGuarded(guard, mirror.root, ['/bin/cat', 'file'], {
          caller,
          cwd: path.startsWith(':') ? join(mirror.root, 'current') : '/',
          options: ['--pin', pin, '--release-on-exit'],
          through: inShell(`PATH=${path} exec "$@"`),
        });
        expect(result.stdout, transcript(result)).toBe('second');
        expect(existsSync(proof), result.command).toBe(false);
      }
    }
    const cwd = join(mirror.root, 'current');
    const synced = inShell('PATH=:$PATH exec "$@"', launcher, 'sync', mirror.root, '--quiet');
    await startProcess(synced, { cwd }).result;
    expect(existsSync(proof), 'the writer').toBe(false);
  });

  test('no library of the mirror is loaded, and the command gets LD_LIBRARY_PATH back', async () => {
    const { root } = await mirrors();
    // Whatever looks for a library where it stands fails there.
    for (const place of [root, join(root, 'current')]) writeFileSync(join(place, 'libc.so.6'), '');
    for (const { guard, caller } of guardedCallers) {
      const result = await runGuarded(guard, root, ['printenv', 'LD_LIBRARY_PATH'], {
        caller,
        env: { LD_LIBRARY_PATH: ':' },
        options: ['--pin', 'namespace', '--chdir', 'no'],
      });
      expect(result.stdout, transcript(result)).toBe(':\n');
    }
  });

  test('functions that bash exports replace no word of the guard, and arrive', async () => {
    const { root } = await mirrors();
    const names = ['cd', 'printf', 'flock', '[', 'command', 'read'];
    names.push(':', 'eval', 'exec', 'shift', 'set', 'unset', 'return', 'break');
    const env = Object.fromEntries(
      names.map((name) => [`BASH_FUNC_${name}%%`, '() { echo replaced; }']),
    );
    const { bash } = Object.fromEntries(guards.map((guard) => [guard.shell?.[0], guard]));
    for (const pin of ['namespace', 'cwd']) {
      const result = await runGuarded(bash, root, ['env'], {
        env,
        options: ['--pin', pin],
        through: ['env'],
      });
      expect(result.exitCode, transcript(result)).toBe(0);
      for (const name of names) expect(result.stdout).toContain(`\nBASH_FUNC_${name}%%=() {`);
    }
  });

  test('a variable whose name is an option of env(1) arrives', async () => {
    const { root } = await mirrors();
    for (const { guard, caller } of guardedCallers) {
      const result = await runGuarded(guard, root, ['env'], { caller, env: { '-i': 'x' } });
      expect(result.stdout, transcript(result)).toMatch(/^-i=x$/m);
    }
  });

  test.skipIf(missingOf('python3').length > 0)(
    'an entry of the environment without = is no program to run',
    async () => {
      const { root } = await mirrors();
      const code = `import ctypes, os, sys
def words(*all): return (ctypes.c_char_p * (len(all) + 1))(*[os.fsencode(one) for one in all], None)
path = sys.argv[2] if '/' in sys.argv[2] else '/usr/bin/' + sys.argv[2]
ctypes.CDLL(None).execve(os.fsencode(path), words(*sys.argv[2:]), words('PATH=' + sys.argv[1], 'a.b=1', 'true'))`;
      for (const guard of guards) {
        const result = await runGuarded(guard, root, ['printenv', 'a.b'], {
          through: ['python3', '-c', code, pathOf(guard)],
        });
        expect(result.stdout, transcript(result)).toBe('1\n');
      }
    },
  );

  test('a program is found by a relative element of PATH where the caller stands', async () => {
    const { root, home } = await mirrors();
    mkdirSync(join(home, 'bin'));
    writeFileSync(join(home, 'bin', 'mine'), '#!/bin/sh\nprintf "%s " "$PATH"; cat file\n');
    chmodSync(join(home, 'bin', 'mine'), 0o755);
    writeFileSync(join(home, 'file'), 'here');
    chmodSync(home, 0o755);
    for (const { guard, caller, pin } of pinnings) {
      const result = await runGuarded(guard, root, ['mine'], {
        caller,
        cwd: home,
        options: ['--pin', pin],
        env: { PATH: `${pathOf(guard)}:bin` },
      });
      expect(result.stdout, transcript(result)).toBe(`${pathOf(guard)}:bin second`);
    }
    const PATH = `./x:${process.env['PATH']}:bin`;
    const caller = { cwd: home, env: { PATH } };
    for (const word of ['', '\xFF']) {
      const script = `exec "$@"${word && ` "$(printf '\\377')"`}`;
      const locked = inShell(script, launcher, 'lock', root, '--lock-only', '--', 'mine');
      const result = await startProcess(locked, caller).result;
      expect(result.stdout, transcript(result)).toBe(`${PATH} here`);
    }
    const pinned = ['watch', root, '--initial', '--pin', 'cwd', '--', 'mine'];
    const watching = startProcess([launcher, ...pinned], caller);
    await expect.poll(watching.saidSoFar).toContain(`${PATH} second`);
    watching.kill('SIGTERM');
    await watching.result;
  });

  test('a command that cannot be executed is named, with 126 or 127', async () => {
    const { root, home } = await mirrors();
    chmodSync(home, 0o755);
    writeFileSync(join(home, 'data'), '');
    for (const { guard, caller, pin } of pinnings) {
      const run = (...command: string[]) =>
        runGuarded(guard, root, command, {
          caller,
          options: ['--pin', pin],
          env: { PATH: `${pathOf(guard)}:${home}` },
        });
      for (const name of ['/etc/passwd', './file', 'data']) {
        const refused = await run(name);
        expectFailure(refused, 126, /cannot be executed: permission denied/);
        expect(refused.stderr).toBe(`mirrorlatch: ${name} cannot be executed: permission denied\n`);
      }
      expectFailure(await run('/etc'), 126, /\/etc cannot be executed: it is a directory/);
      expectFailure(await run('./none'), 127, /\.\/none: command not found/);
    }
  });

  test('a caller that uses all descriptors from 3 to 9 gets an error', async () => {
    const { root } = await mirrors();
    for (const guard of guards) {
      const result = await runGuarded(guard, root, ['true'], {
        through: inShell('exec 3<. 4<. 5<. 6<. 7<. 8<. 9<. && exec "$@"'),
      });
      expectFailure(result, 125, /no descriptor from 3 to 9 is free/, /3>&-/);
    }
  });
});
