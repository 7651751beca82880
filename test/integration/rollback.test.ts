import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';
import { expectFailure } from '../support/expect-failure.ts';
import { runForJson, runProgram, startProgram, transcript } from '../support/program.ts';
import { bin } from '../support/project.ts';
import { mirrorsWith, type SmallMirror, smallMirror } from '../support/small-mirror.ts';
import { describeTree, difference } from '../support/tree.ts';

const oneSnapshot = mirrorsWith('first');
const twoSnapshots = mirrorsWith('first', 'second');
const threeSnapshots = mirrorsWith('first', 'second', 'third');

test('rollback goes to the previous snapshot, and a second one comes back', async () => {
  const mirror = await threeSnapshots();
  const there = await runProgram(['rollback', mirror.root]);
  expect(there.exitCode, transcript(there)).toBe(0);
  expect(there.stdout).toMatch(
    /^current is now second; it was third\nthe next sync publishes .*\n$/,
  );
  expect(contentOfCurrent(mirror)).toBe('second');
  expect(mirror.linked('previous')).toBe('third');

  expect(await runForJson(['rollback', mirror.root])).toEqual({
    id: 'third',
    previous: 'second',
    hold: null,
  });
  expect(contentOfCurrent(mirror)).toBe('third');
  expect(mirror.linked('previous')).toBe('second');
});

test('rollback puts the reader into the mirror, as every publication does', async () => {
  const mirror = await twoSnapshots();
  rmSync(mirror.state('reader'));
  await runForJson(['rollback', mirror.root]);
  expect(existsSync(mirror.state('reader'))).toBe(true);
});

test('rollback goes to the given snapshot, and all others stay', async () => {
  const mirror = await threeSnapshots();
  const before = describeTree(join(mirror.root, 'snapshots'));
  await runForJson(['rollback', mirror.root, 'first']);
  expect(contentOfCurrent(mirror)).toBe('first');
  expect(mirror.linked('previous')).toBe('third');
  expect(difference(before, describeTree(join(mirror.root, 'snapshots')))).toEqual([]);
});

test('the snapshot of a rollback may be given as a shell completes its path', async () => {
  const { root, home } = await threeSnapshots();
  const snapshots = join(root, 'snapshots');
  const ways: [given: string, cwd: string][] = [
    ['first/', home],
    ['mirror/snapshots/second', home],
    ['snapshots/first/', home],
    [join(root, 'snapshots', 'second'), home],
    ['./first', snapshots],
  ];
  for (const [given, cwd] of ways) {
    const result = await runProgram(['rollback', root, given, '--json'], { cwd });
    expect(result.json()).toMatchObject({ id: /first/.test(given) ? 'first' : 'second' });
  }
});

test('a path of another mirror is no snapshot of this one, even if both have that id', async () => {
  const mirror = await threeSnapshots();
  const other = await threeSnapshots();
  const path = join(other.root, 'snapshots', 'first');
  expectFailure(await runProgram(['rollback', mirror.root, path]), 64, /no snapshot named "/);
  expect(contentOfCurrent(mirror)).toBe('third');
});

test('a rollback that names a snapshot in place of the mirror is told the command that goes there', async () => {
  const mirror = await threeSnapshots();
  const first = join(mirror.root, 'snapshots', 'first');
  const meant: [words: string[], command: string][] = [
    [[first], `${mirror.root} first`],
    [[join(first, 'below'), '--hold', 'why not'], `${mirror.root} first --hold 'why not'`],
    [[join(mirror.root, 'current')], mirror.root],
    [[join(mirror.root, 'current'), '--hold', 'now'], `${mirror.root} third --hold now`],
    [[join(mirror.root, 'previous')], `${mirror.root} second`],
    [[first, 'second'], `${mirror.root} second`],
    [[first, '--release'], `${mirror.root} --release`],
  ];
  for (const [words, command] of meant) {
    const result = await runProgram(['rollback', ...words]);
    expectFailure(result, 66, /there is no mirror in/);
    expect(result.stderr).toContain(`itself: mirrorlatch rollback ${command}\n`);
  }
});

test('rollback goes to the latest other snapshot that was current when the previous one is gone', async () => {
  const mirror = await threeSnapshots();
  rmSync(join(mirror.root, 'snapshots', 'second'), { recursive: true });
  const result = await runProgram(['rollback', mirror.root]);
  expect(result.exitCode, transcript(result)).toBe(0);
  expect(result.stdout).toMatch(/^current is now first; it was third\n/);
  expect(result.stderr).toContain('the previous snapshot is gone; first is the latest other one');
});

test('rollback to the current snapshot changes nothing, and reports that', async () => {
  const mirror = await twoSnapshots();
  const before = describeTree(mirror.root);
  const result = await runProgram(['rollback', mirror.root, 'second']);
  expect(result.exitCode, transcript(result)).toBe(0);
  expect(result.stdout).toMatch(/^current is already second\n/);
  expect(mirror.linked('previous')).toBe('first');
  expect(mirror.history()).toHaveLength(2);
  expect(difference(links(before), links(describeTree(mirror.root)))).toEqual([]);
});

test.for([
  [[], 'first'],
  [['current'], 'second'],
] as const)(
  'rollback %s goes to what that was before it waited, although another is published meanwhile',
  async ([name, expected]) => {
    const mirror = await twoSnapshots();
    const [holding, release] = [join(mirror.home, 'holding'), join(mirror.home, 'release')];
    const script =
      ': >"$1"; echo third >"$MIRRORLATCH_STAGING/file"; until [ -e "$2" ]; do sleep 0.1; done';
    const words = ['--id', 'third', '--', 'sh', '-c', script, 'sh', holding, release];
    const publishing = startProgram(['lock', mirror.root, ...words]);
    await expect.poll(() => existsSync(holding)).toBe(true);
    const held = ['--hold', 'the second is bad', '--wait', '1m'];
    const waiting = startProgram(['rollback', mirror.root, ...name, ...held]);
    await expect.poll(() => waiting.saidSoFar()).toMatch(/waiting: /);
    writeFileSync(release, '');
    expect((await publishing.result).exitCode).toBe(0);
    expect((await waiting.result).exitCode).toBe(0);
    expect(mirror.linked('previous')).toBe('third');
    expect(mirror.linked('current')).toBe(expected);
  },
);

test('rollback to an unknown snapshot is refused with 64 and changes nothing', async () => {
  const mirror = await twoSnapshots();
  for (const id of ['absent', '../snapshots/first', '.', '', '/', '-x']) {
    const result = await runProgram(['rollback', mirror.root, id]);
    expect(result.exitCode, transcript(result)).toBe(64);
    expect(result.stderr).not.toMatch(/^ +at /m);
  }
  expect(mirror.linked('current')).toBe('second');
  expect(mirror.linked('previous')).toBe('first');
  expect(existsSync(mirror.state('sync.lock'))).toBe(false);
});

test('rollback of a mirror with one snapshot reports that there is no earlier one', async () => {
  const mirror = await oneSnapshot();
  expectFailure(await runProgram(['rollback', mirror.root]), 64, /no earlier snapshot/, /list/);
  expect(mirror.linked('current')).toBe('first');
});

test('rollback exits with 66 if there is no mirror, and with 64 if it has no snapshot', async () => {
  const mirror = smallMirror();
  expectFailure(await runProgram(['rollback', mirror.root]), 66, /no mirror/);
  expect(existsSync(mirror.root)).toBe(false);
  await runForJson(['init', mirror.root]);
  expectFailure(await runProgram(['rollback', mirror.root]), 64, /no earlier snapshot/);
});

test('after a rollback the next sync publishes the source, and previous is the rolled-back snapshot', async () => {
  const mirror = await twoSnapshots();
  await runForJson(['rollback', mirror.root]);
  expect(await mirror.sync('--id', 'again')).toMatchObject({
    outcome: 'published',
    previous: 'first',
  });
  expect(contentOfCurrent(mirror)).toBe('second');
  expect(mirror.history()).toMatchObject([
    { event: 'published', id: 'first', previous: null },
    { event: 'published', id: 'second', previous: 'first' },
    { event: 'rolled-back', id: 'first', previous: 'second' },
    { event: 'published', id: 'again', previous: 'first' },
  ]);
});

test('list and status show the target of a rollback as current', async () => {
  const mirror = await twoSnapshots();
  await runForJson(['rollback', mirror.root]);
  const listed = (await runForJson(['list', mirror.root])) as unknown as { id: string }[];
  expect(listed).toMatchObject([
    { id: 'first', isCurrent: true, isPrevious: false },
    { id: 'second', isCurrent: false, isPrevious: true },
  ]);
  expect(await runForJson(['status', mirror.root])).toMatchObject({
    current: { id: 'first' },
    previous: 'second',
    isHealthy: true,
  });
});

test('I3: current leads to a whole snapshot at every look while rollbacks go back and forth', async () => {
  const mirror = await twoSnapshots();
  let looks = 0;
  const watcher = setInterval(() => {
    looks += 1;
    const content = contentOfCurrent(mirror);
    if (content !== 'first' && content !== 'second') throw new Error(`current holds ${content}`);
  }, 1);
  for (let turn = 0; turn < 4 || looks < 100; turn += 1) {
    await runForJson(['rollback', mirror.root]);
  }
  clearInterval(watcher);
});

function contentOfCurrent({ root }: SmallMirror): string {
  return readFileSync(join(root, 'current', 'file'), 'utf8');
}

/** Only the links, because taking the lock changes the times of its directory. */
function links(tree: ReturnType<typeof describeTree>): ReturnType<typeof describeTree> {
  return new Map([...tree].filter(([, entry]) => entry['type'] === 'symlink'));
}

test('a rollback that need not wait says nothing on standard error', async () => {
  const mirror = await threeSnapshots();
  const result = await runProgram(['rollback', mirror.root]);
  expect(result.exitCode, transcript(result)).toBe(0);
  expect(result.stderr).toBe('');
});

describe('a hold', () => {
  test('keeps the mirror at its snapshot until it is released, and every publisher says why', async () => {
    const mirror = await twoSnapshots();
    mirror.change({ file: 'third' });
    const held = await runProgram(['rollback', mirror.root, '--hold', 'libc6 is\nbroken']);
    expect(held.exitCode, transcript(held)).toBe(0);
    expect(contentOfCurrent(mirror)).toBe('first');
    const why = /is held by \S+ since \S+:\d\dZ: libc6 is\\x0abroken; nothing was published/;
    const wayOut = new RegExp(`mirrorlatch rollback ${mirror.root} --release`);
    expectFailure(await runProgram(['sync', mirror.root, '--quiet']), 75, why, wayOut);
    const command = ['lock', mirror.root, '--', 'sh', '-c', 'echo x >"$MIRRORLATCH_STAGING/x"'];
    expectFailure(await runProgram(command), 75, why, wayOut);
    expect((await runProgram(['sync', mirror.root, '--json'])).json()).toMatchObject({
      error: { code: 'HELD', exitCode: 75 },
    });
    expect(await runForJson(['sync', mirror.root, '--dry-run'])).toMatchObject({
      refusal: expect.stringMatching(why),
    });
    expect((await runProgram(['lock', mirror.root, '--lock-only', '--', 'true'])).exitCode).toBe(0);
    expect(contentOfCurrent(mirror)).toBe('first');
    const status = await runProgram(['status', mirror.root]);
    expect(status.exitCode, transcript(status)).toBe(0);
    expect(status.stdout).toMatch(/^hold +held by \S+ since \S+: libc6 is\\x0abroken$/m);

    expect(await runForJson(['rollback', mirror.root, '--release'])).toEqual({
      id: 'first',
      previous: 'first',
      hold: null,
    });
    const again = await runProgram(['rollback', mirror.root, '--release']);
    expect(again.stderr).toMatch(/there was no hold on /);
    expect(again.stdout).toMatch(/^\S+ is not held; current is first, and the next sync follows/);
    await mirror.sync('--id', 'third');
    expect(contentOfCurrent(mirror)).toBe('third');
  });

  test('names the hold that --release ends', async () => {
    const mirror = await twoSnapshots();
    await runForJson(['rollback', mirror.root, '--hold', 'libc6 is broken']);
    const released = await runProgram(['rollback', mirror.root, '--release']);
    expect(released.stderr, transcript(released)).toMatch(
      /this ends the hold: .* was held by \S+ since \S+: libc6 is broken$/m,
    );
  });

  test('without an ID holds what an earlier rollback went back to', async () => {
    const mirror = await twoSnapshots();
    await runForJson(['rollback', mirror.root]);
    const held = await runProgram(['rollback', mirror.root, '--hold', 'libc6 is broken']);
    expect(held.stdout, transcript(held)).toMatch(
      /^current is already first\nit is held: libc6 is broken; it stays until the hold is released with: /,
    );
    expect(contentOfCurrent(mirror)).toBe('first');
  });

  test('is not left by a rollback without an ID, whose previous snapshot is the broken one', async () => {
    const mirror = await threeSnapshots();
    await runForJson(['rollback', mirror.root, '--hold', 'libc6 is broken']);
    const refused = await runProgram(['rollback', mirror.root]);
    const what = /is held by \S+ since \S+: libc6 is broken; a rollback would leave/;
    const wayOut = new RegExp(
      `name it: mirrorlatch rollback ${mirror.root} ID, .*list .*--release$`,
      'm',
    );
    expectFailure(refused, 75, what, wayOut);
    expect(contentOfCurrent(mirror)).toBe('second');
    expect(await runForJson(['rollback', mirror.root, 'first'])).toEqual({
      id: 'first',
      previous: 'second',
      hold: 'libc6 is broken',
    });
  });

  test('that replaces another one without an ID stays at what that has held', async () => {
    const mirror = await twoSnapshots();
    await runForJson(['rollback', mirror.root, 'current', '--hold', 'release week']);
    await runForJson(['rollback', mirror.root, '--hold', 'release month']);
    expect(contentOfCurrent(mirror)).toBe('second');
  });

  test('is advised, and ended, by commands that can be pasted in any directory', async () => {
    const mirror = await twoSnapshots();
    for (const words of [[], ['--hold', 'libc6 is broken'], ['--release']]) {
      const result = await runProgram(['rollback', 'mirror', ...words], { cwd: mirror.home });
      expect(result.exitCode, transcript(result)).toBe(0);
      expect(result.stdout).toContain(mirror.root);
      expect(result.stdout).not.toMatch(/(^|rollback )mirror /m);
    }
  });

  test('can be put on what is current, and does not hinder another rollback', async () => {
    const mirror = await twoSnapshots();
    const here = await runForJson(['rollback', mirror.root, 'current', '--hold', 'release week']);
    expect(here).toEqual({ id: 'second', previous: 'second', hold: 'release week' });
    const back = await runForJson(['rollback', mirror.root, 'previous']);
    expect(back).toEqual({ id: 'first', previous: 'second', hold: 'release week' });
    expectFailure(await runProgram(['sync', mirror.root]), 75, /release week/);
    const later = await runProgram(['rollback', mirror.root, 'current', '--hold', 'libc6']);
    expect(later.stderr, transcript(later)).toMatch(
      / was held by \S+ since \S+: release week; the new reason replaces that one$/m,
    );
    expect(later.stdout).toMatch(/^it is held: libc6; it stays until/m);
  });

  test('needs a reason, and --release takes no snapshot', async () => {
    const mirror = await twoSnapshots();
    expectFailure(await runProgram(['rollback', mirror.root, '--hold', ' ']), 64, /reason.*empty/);
    for (const more of [['first'], ['--hold', 'x']]) {
      const result = await runProgram(['rollback', mirror.root, ...more, '--release']);
      expectFailure(result, 64, /--release cannot be combined with/);
    }
    expect(contentOfCurrent(mirror)).toBe('second');
  });

  test('that cannot be recorded leaves current as it is, because the next sync would undo the rollback', async () => {
    const mirror = await twoSnapshots();
    rmSync(mirror.state('settings.flock'), { force: true });
    mkdirSync(mirror.state('settings.flock'));
    const result = await runProgram(['rollback', mirror.root, '--hold', 'libc6 is broken']);
    expectFailure(result, 78, /settings\.flock is not a file/);
    expect(contentOfCurrent(mirror)).toBe('second');
  });
});

test('without a hold, rollback says that the next sync goes forward, and how to stay', async () => {
  const mirror = await twoSnapshots();
  const { stdout } = await runProgram(['rollback', mirror.root]);
  expect(stdout).toMatch(/the next sync publishes what the source holds then; to stay here: /);
  const [, command = ''] = /to stay here: mirrorlatch (.*)$/m.exec(stdout) ?? [];
  await execa('sh', ['-c', `"$0" "$1" ${command}`, process.execPath, bin]);
  expectFailure(await runProgram(['sync', mirror.root]), 75, /: the reason; nothing was published/);
});
