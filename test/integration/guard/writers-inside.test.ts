import { expect, test } from 'vitest';
import { expectFailure } from '../../support/expect-failure.ts';
import { oneOfEachKind, runGuarded } from '../../support/guards.ts';
import { mirrorsInPlace } from '../../support/in-place-mirror.ts';
import { mayMount } from '../../support/privilege.ts';
import { transcript } from '../../support/program.ts';
import { launcher } from '../../support/project.ts';
import { mirrorsWith } from '../../support/small-mirror.ts';

const mirrors = mirrorsWith('first', 'second', 'third');
const [run] = oneOfEachKind;
const why = mayMount ? '' : ' (skipped: only root with CAP_SYS_ADMIN mounts)';

test.skipIf(!mayMount)(
  `inside a guard, status finds no remains of a crash, and says from where it looks${why}`,
  async () => {
    const mirror = await mirrors();
    const status = await runGuarded(run, mirror.root, [launcher, 'status', mirror.root]);
    expect(status.exitCode, transcript(status)).toBe(0);
    expect(status.stdout).toMatch(/^guard +this is seen from inside a guard/m);
    expect(status.stdout).not.toMatch(/^left/m);
  },
);

test.skipIf(!mayMount)(
  `inside a guard, whatever would write is refused, and the guard is named${why}`,
  async () => {
    const mirror = await mirrors();
    for (const words of [
      ['sync', mirror.root],
      ['prune', mirror.root],
      ['unlock', mirror.root],
      ['rollback', mirror.root],
    ]) {
      const refused = await runGuarded(run, mirror.root, [launcher, ...words]);
      expect(refused.exitCode, transcript(refused)).toBe(77);
      expect(refused.stderr).toMatch(
        /is seen here through a guard, which shows one snapshot of it/,
      );
    }
    const locked = [launcher, 'lock', mirror.root, '--', 'true'];
    expect((await runGuarded(run, mirror.root, locked)).exitCode).toBe(125);
  },
);

const inPlace = mirrorsInPlace();

test.each(oneOfEachKind)(
  'inside a cwd pin, what would wait for that pin ends at once, and leaves the gate open: $name',
  async (guard) => {
    const one = await inPlace();
    one.change({ file: 'changed' });
    const write = ['timeout', '20', launcher, 'sync', one.root];
    for (const [command, options] of [
      [write.slice(2), []],
      [write, []],
      [['timeout', '20', launcher, 'lock', one.root, '--', 'true'], []],
      [write, ['--release-on-exit']],
    ] as const) {
      const refused = await runGuarded(guard, one.root, command, {
        options: ['--pin', 'cwd', ...options],
      });
      expectFailure(
        refused,
        75,
        /cannot be written: this runs inside a guard of that mirror, and would wait for itself/,
        /outside of mirrorlatch run/,
      );
      expect(one.record().state).toBe('open');
    }
    await one.sync();
    expect((await one.read()).stdout).toBe('changed');
  },
);
