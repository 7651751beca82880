import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { expectFailure } from '../../support/expect-failure.ts';
import {
  guardedCallers,
  guards,
  inShell,
  oneOfEachKind,
  runGuarded,
} from '../../support/guards.ts';
import { mayMount, nobody, runsAsRoot } from '../../support/privilege.ts';
import { nobodyRunsTheProgram, transcript } from '../../support/program.ts';
import { mirrorsWith } from '../../support/small-mirror.ts';

const mirrors = mirrorsWith('first', 'second', 'third');
const pins = ['namespace', 'cwd'];
const whyNotRoot = runsAsRoot ? '' : ' (skipped: only root starts guards of several users)';
const whyNoMount = mayMount ? '' : ' (skipped: only root with CAP_SYS_ADMIN mounts)';
const look = inShell(
  'echo "$MIRRORLATCH_ID $MIRRORLATCH_PIN" && cat "$PWD/file" && ls "$MIRRORLATCH_ROOT/snapshots"',
);

describe('a guard inside a pin of the same mirror', () => {
  for (const { guard, caller, name } of guardedCallers) {
    for (const pin of pins) {
      test(`keeps the outer snapshot, in a ${pin} pin by ${name}`, async () => {
        const { root } = await mirrors();
        for (const inner of guard === oneOfEachKind[0] ? oneOfEachKind : [guard]) {
          const result = await runGuarded(guard, root, inner.around(root, [], look), {
            caller,
            options: ['--pin', pin, '--snapshot', 'first'],
          });
          expect(result.stdout, transcript(result)).toBe('first namespace\nfirstfirst\n');
          expect(result.stderr).toBe('');
        }
      });
    }
  }

  test('reports that another snapshot is ignored', async () => {
    const { root } = await mirrors();
    for (const guard of oneOfEachKind) {
      for (const pin of pins) {
        const inner = guard.around(root, ['--snapshot', 'second', '--pin', 'cwd'], ['cat', 'file']);
        const result = await runGuarded(guard, root, inner, {
          options: ['--pin', pin, '--snapshot', 'first'],
        });
        expect(result.stdout, transcript(result)).toBe('first');
        expect(result.stderr).toBe(
          `mirrorlatch: ${root} stays pinned to first by the pin around this command: second is ignored\n`,
        );
      }
    }
  });

  test('may be the third, in a script started by an alias', async () => {
    const { root } = await mirrors();
    for (const { guard, caller } of guardedCallers) {
      const script = guard.around(
        root,
        [],
        inShell('"$@"; cat file', ...guard.around(root, [], look)),
      );
      const result = await runGuarded(guard, root, inShell('cd / && "$@"', ...script), {
        caller,
        options: ['--snapshot', 'previous'],
      });
      expect(result.stdout, transcript(result)).toBe('second namespace\nsecondsecond\nsecond');
    }
  });
});

describe('a guard inside a pin of another mirror', () => {
  test('pins its own mirror, and the outer one stays pinned, also for a third guard inside', async () => {
    const [outer, inner, third] = [await mirrors(), await mirrors(), await mirrors()];
    for (const { guard, caller } of guardedCallers) {
      const show = inShell(
        'for root; do printf "%s " $(ls "$root/snapshots") $(cat "$root/current/file"); done; cat file',
        outer.root,
        inner.root,
        third.root,
      );
      const within = guard.around(
        inner.root,
        ['--snapshot', 'second'],
        guard.around(third.root, [], show),
      );
      const result = await runGuarded(guard, outer.root, within, {
        caller,
        options: ['--snapshot', 'first'],
      });
      expect(result.stdout, transcript(result)).toBe('first first second second third third third');
    }
  });

  test('keeps the outer snapshot of the second of several mirrors as well', async () => {
    const roots = [(await mirrors()).root, (await mirrors()).root];
    for (const guard of guards) {
      const inner = guard.around(roots[1] ?? '', ['--snapshot', 'first'], look);
      const result = await runGuarded(guard, roots, inner);
      expect(result.stdout, transcript(result)).toBe('third namespace\nthirdthird\n');
      expect(result.stderr).toMatch(/stays pinned to third/);
    }
  });
});

describe('a guard inside a cwd pin', () => {
  test('keeps the outer snapshot as long as a process around it holds the lease', async () => {
    const { root } = await mirrors();
    const close = 'exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-';
    for (const { guard, caller } of guardedCallers) {
      const inner = guard.around(root, [], look);
      const outer = (script: string, ...more: string[]) =>
        runGuarded(guard, root, inShell(script, ...inner), {
          caller,
          options: ['--pin', 'cwd', '--snapshot', 'first', ...more],
        });
      const held = await outer(`sh -c '${close}; exec "$@"' sh "$@"; :`);
      expect(held.stdout, transcript(held)).toBe('first namespace\nfirstfirst\n');
      // As sudo does.
      const cleaned = await outer(`sh -c '${close}; exec env -i "PATH=$PATH" "$@"' sh "$@"; :`);
      expect(cleaned.stdout, transcript(cleaned)).toBe('first namespace\nfirstfirst\n');
      const handedOn = await outer('"$@"; :', '--release-on-exit');
      expect(handedOn.stdout, transcript(handedOn)).toBe('first namespace\nfirstfirst\n');
      const dropped = await outer(`${close}; exec "$@"`);
      expect(dropped.stdout, transcript(dropped)).toBe('third namespace\nthirdthird\n');
    }
  });

  const anotherUser = [
    'setpriv',
    ...[`--reuid=${nobody.uid}`, `--regid=${nobody.gid}`],
    '--clear-groups',
  ];
  const guardsOfNobody = guards.filter(
    (guard) => guard !== oneOfEachKind[0] || nobodyRunsTheProgram,
  );

  test.skipIf(!runsAsRoot)(
    `of --release-on-exit keeps the outer snapshot for another user, who may not look at its holder${whyNotRoot}`,
    async () => {
      const { root } = await mirrors();
      const show = inShell('echo "$MIRRORLATCH_ID" && cat file');
      for (const guard of guardsOfNobody) {
        const inner = guard.around(root, ['--pin', 'cwd'], show);
        const inside = async (...words: string[]) => {
          const outer = [...anotherUser, ...words, ...inShell('cd / && "$@"', ...inner)];
          const options = ['--pin', 'cwd', '--snapshot', 'first', '--release-on-exit'];
          const result = await runGuarded(guard, root, outer, { options });
          return result.exitCode === 0 ? result.stdout : transcript(result);
        };
        expect(await inside()).toBe('first\nfirst');
        // What an at(1) job may find: the holder is gone, or its pid is that of another process.
        for (const other of [1, 2 ** 30]) {
          expect(await inside('env', `MIRRORLATCH_HOLDER=${other}`)).toBe('third\nthird');
        }
      }
    },
  );

  test.skipIf(!mayMount)(
    `of --release-on-exit ends with 125 where another user cannot even see its holder${whyNoMount}`,
    async () => {
      const { root } = await mirrors();
      for (const guard of guardsOfNobody) {
        const inner = guard.around(root, ['--pin', 'cwd'], ['cat', 'file']);
        const hidden = 'mount -t proc -o hidepid=2 proc /proc && exec "$@"';
        const result = await runGuarded(guard, root, [...anotherUser, ...inner], {
          options: ['--pin', 'cwd', '--snapshot', 'first', '--release-on-exit'],
          through: ['unshare', '--mount', ...inShell(hidden)],
        });
        expectFailure(result, 125, /may be pinned already: .*, which MIRRORLATCH_HOLDER names/);
        expect(result.stdout).toBe('');
      }
    },
  );
});

describe('nested guards of one mirror', () => {
  test('need no further descriptor, however deep', async () => {
    const { root } = await mirrors();
    for (const { guard, caller } of guardedCallers) {
      let command: readonly string[] = look;
      for (let depth = 0; depth < 9; depth += 1) command = guard.around(root, [], command);
      const result = await runGuarded(guard, root, command, {
        caller,
        options: ['--snapshot', 'first'],
      });
      expect(result.stdout, transcript(result)).toBe('first namespace\nfirstfirst\n');
    }
  });
});

describe('an environment that outlived its pin', () => {
  test('is ignored', async () => {
    const { root } = await mirrors();
    for (const { guard, caller } of guardedCallers) {
      for (const [id, pin] of [
        ['gone', 'cwd'],
        ['gone', 'namespace'],
        ['first', 'namespace'],
        ['first', 'cwd'],
      ] as const) {
        const result = await runGuarded(guard, root, look, {
          caller,
          env: {
            MIRRORLATCH_ROOT: root,
            MIRRORLATCH_ID: id,
            MIRRORLATCH_SNAPSHOT: join(root, 'snapshots', id),
            MIRRORLATCH_PIN: pin,
          },
        });
        expect(result.stdout, transcript(result)).toBe('third namespace\nthirdthird\n');
        expect(result.stderr).toBe('');
      }
      const further = Object.fromEntries(
        ['ROOT', 'ID', 'SNAPSHOT', 'PIN'].map((name) => [`MIRRORLATCH_${name}_2`, 'old']),
      );
      const seen = await runGuarded(guard, root, ['env'], { caller, env: further });
      expect(seen.stdout, transcript(seen)).not.toMatch(/_2=/);
    }
  });

  test('is ignored whatever the mode of ROOT, and in a pin that holds another snapshot', async () => {
    const { root } = await mirrors();
    const env = {
      MIRRORLATCH_ROOT: root,
      MIRRORLATCH_ID: 'first',
      MIRRORLATCH_SNAPSHOT: join(root, 'snapshots', 'first'),
      MIRRORLATCH_PIN: 'namespace',
    };
    for (const mode of [0o1777, 0o5777, 0o7777]) {
      chmodSync(root, mode);
      for (const { guard, caller } of guardedCallers) {
        const result = await runGuarded(guard, root, look, { caller, env });
        expect(result.stdout, transcript(result)).toBe('third namespace\nthirdthird\n');
      }
    }
    for (const { guard, caller } of guardedCallers) {
      const set = Object.entries(env).map(([name, value]) => `${name}=${value}`);
      const inner = ['env', ...set, ...guard.around(root, [], look)];
      const result = await runGuarded(guard, root, inner, {
        caller,
        options: ['--snapshot', 'second'],
      });
      expect(result.stdout, transcript(result)).toBe('second namespace\nsecondsecond\n');
    }
  });
});
