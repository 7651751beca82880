import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { expectFailure } from '../../support/expect-failure.ts';
import {
  type Guard,
  type GuardOptions,
  guards,
  inShell,
  pathOf,
  pinnings,
  runGuarded,
} from '../../support/guards.ts';
import { transcript } from '../../support/program.ts';
import { mirrorsWith } from '../../support/small-mirror.ts';

const mirrors = mirrorsWith('first', 'second');

/** What the same command prints bare and guarded. */
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
  describe(`I10: what is run by ${name}:`, () => {
    const options = ['--pin', pin];

    test('arguments arrive as they are but for {snapshot}', async () => {
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

    test('bytes that are no UTF-8 arrive in arguments and environment', async () => {
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

    test('the environment differs as documented and not else', async () => {
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
          // Shells count themselves, and bash tells each command its path.
          SHLVL: undefined,
          _: undefined,
          AWKWARD: ' a\nb=c\\ "\'',
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

    test('signals that are ignored stay so, and others are not', async () => {
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

    test("descriptors of the caller arrive, and the lease's is the only one more", async () => {
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

    test('standard input and output that are closed stay so', async () => {
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
  test('a command whose name begins with a dash is run, by name and by path', async () => {
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

  test('a caller who uses all descriptors from 3 to 9 is told so', async () => {
    const { root } = await mirrors();
    for (const guard of guards) {
      const result = await runGuarded(guard, root, ['true'], {
        through: inShell('exec 3<. 4<. 5<. 6<. 7<. 8<. 9<. && exec "$@"'),
      });
      expectFailure(result, 125, /no descriptor from 3 to 9 is free/, /3>&-/);
    }
  });
});
