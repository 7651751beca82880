import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  guardedCallers,
  guards,
  inShell,
  oneOfEachKind,
  runGuarded,
} from '../../support/guards.ts';
import { transcript } from '../../support/program.ts';
import { mirrorsWith } from '../../support/small-mirror.ts';

const mirrors = mirrorsWith('first', 'second', 'third');
const pins = ['namespace', 'cwd'];
const look = inShell(
  'echo "$MIRRORLATCH_ID $MIRRORLATCH_PIN" && cat "$PWD/file" && ls "$MIRRORLATCH_ROOT/snapshots"',
);

describe('a guard within a pin of the same mirror', () => {
  for (const { guard, caller, name } of guardedCallers) {
    for (const pin of pins) {
      test(`stays in the outer one, a ${pin} pin by ${name}`, async () => {
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

  test('says so when it asks for another snapshot', async () => {
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

  test('may be the third, in a script that an alias started', async () => {
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

describe('a guard within a pin of another mirror', () => {
  test('pins its own, and the outer one stays pinned, also for a third within', async () => {
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

  test('stays in the second of several mirrors as well', async () => {
    const roots = [(await mirrors()).root, (await mirrors()).root];
    for (const guard of guards) {
      const inner = guard.around(roots[1] ?? '', ['--snapshot', 'first'], look);
      const result = await runGuarded(guard, roots, inner);
      expect(result.stdout, transcript(result)).toBe('third namespace\nthirdthird\n');
      expect(result.stderr).toMatch(/stays pinned to third/);
    }
  });
});

describe('what an old environment says of a pin', () => {
  test('is not believed where there is none', async () => {
    const { root } = await mirrors();
    for (const { guard, caller } of guardedCallers) {
      for (const [id, pin] of [
        ['gone', 'cwd'],
        ['gone', 'namespace'],
        ['first', 'namespace'],
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
    }
  });
});
