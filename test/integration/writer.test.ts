import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { layoutOf } from '../../src/mirror/layout.ts';
import { acquireSyncLock } from '../../src/mirror/locks/acquire-lock.ts';
import { DEFAULT_LOCK } from '../../src/mirror/settings/policy.ts';
import { sync } from '../../src/operations/sync/sync.ts';
import { processesHoldingFlock, processesWithOpenFile } from '../../src/system/proc.ts';
import type { OnEvent } from '../../src/writer/events.ts';
import { expectFailure } from '../support/expect-failure.ts';
import { mayMount } from '../support/privilege.ts';
import {
  endWithTest,
  type RunningProgram,
  runForJson,
  runProgram,
  startProcess,
  startProgram,
  transcript,
} from '../support/program.ts';
import { launcher } from '../support/project.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { mirrorsWith, type SmallMirror, smallMirror } from '../support/small-mirror.ts';
import { atPublication, standInFor, takeOver } from '../support/stand-in.ts';

const twoSnapshots = mirrorsWith('first', 'second');

/** The verbs that write to a mirror with snapshots, as command lines. */
const WRITERS = [
  { verb: 'sync', words: (root: string) => ['sync', root] },
  { verb: 'lock', words: (root: string) => ['lock', root, '--', 'true'] },
  { verb: 'rollback', words: (root: string) => ['rollback', root] },
  { verb: 'prune', words: (root: string) => ['prune', root] },
  { verb: 'promote', words: (root: string) => ['promote', root, '--to', 'production'] },
] as const;

describe.each(WRITERS)('$verb, as every writer,', ({ verb, words }) => {
  test('reports what it waits for', async () => {
    const mirror = await twoSnapshots();
    const holder = await holdLock(mirror);
    const [command = '', root = '', ...rest] = words(mirror.root);
    const waiting = startProgram([command, root, '--wait', '1m', ...rest]);
    await expect.poll(() => waiting.saidSoFar()).toMatch(/waiting: .* is locked: lock by /);
    holder.release();
    expect((await waiting.result).exitCode).toBe(0);
  });

  test('does not wait for the lock around it', async () => {
    const mirror = await twoSnapshots();
    const [command = '', root = '', ...rest] = words(mirror.root);
    for (const wait of [['--wait', '10m'], []]) {
      const inside = ['timeout', '20', launcher, command, root, ...wait, ...rest];
      expectFailure(
        await runProgram(['lock', mirror.root, '--', ...inside]),
        75,
        /is locked: this runs inside `lock` of that mirror, and would wait for itself/,
        /Run it once `lock` has ended/,
      );
    }
  });

  test.skipIf(!mayMount)('waits for a lock in a container, whose pid is 1 there', async () => {
    const mirror = await twoSnapshots();
    const container = ['unshare', '--pid', '--fork', '--mount-proc'];
    const holder = await holdLock(mirror, 'nothing', container);
    const [command = '', root = '', ...rest] = words(mirror.root);
    const waiting = await startWaiting([command, root, '--wait', '1m', ...rest]);
    holder.release();
    const result = await waiting.result;
    expect(result.exitCode, transcript(result)).toBe(0);
  });

  test('refuses a half-adopted mirror, and changes nothing', async () => {
    const { directory, root } = await halfAdopted();
    expectFailure(
      await runProgram(words(root)),
      verb === 'lock' ? 125 : 78,
      /the adoption of .* was interrupted/,
      /mirrorlatch init .* --adopt/,
    );
    expect(existsSync(join(root, 'current'))).toBe(false);
    expect(readFileSync(join(directory, 'file'), 'utf8')).toBe('the only copy');
  });

  test('puts the reader in place', async () => {
    const mirror = await twoSnapshots();
    rmSync(mirror.state('reader'));
    const result = await runProgram(words(mirror.root));
    expect(result.exitCode, transcript(result)).toBe(0);
    expect(existsSync(mirror.state('reader'))).toBe(true);
  });

  test('completes what a crash interrupted', async () => {
    const mirror = await twoSnapshots();
    rmSync(mirror.state('leases', 'first'));
    writeFileSync(mirror.state('leases', 'gone'), '');
    mkdirSync(mirror.state('trash', 'tree'), { recursive: true });
    const result = await runProgram(words(mirror.root));
    expect(result.exitCode, transcript(result)).toBe(0);
    expect(existsSync(mirror.state('leases', 'first'))).toBe(true);
    expect(existsSync(mirror.state('leases', 'gone'))).toBe(false);
    expect(existsSync(mirror.state('trash', 'tree'))).toBe(false);
  });
});

describe('the settings', () => {
  test('are kept if they change while a sync waits for its time', async () => {
    const mirror = smallMirror();
    // A clock that stands still until it is set.
    vi.useFakeTimers({ toFake: ['Date'] });
    onTestFinished(() => void vi.useRealTimers());
    const { source, root } = mirror;
    const at = new Date(Date.now() + 1_000);
    const onEvent = vi.fn<OnEvent>();
    const waiting = sync({ source, root, at, onEvent });
    await expect
      .poll(() => onEvent.mock.lastCall)
      .toMatchObject([{ message: expect.stringMatching(/waiting until/) }]);
    await runForJson(['init', mirror.root, '--keep-last', '7']);
    vi.setSystemTime(at);
    expect(await waiting).toMatchObject({ outcome: 'published' });
    expect(mirror.settings()).toMatchObject({ keepLast: 7, source: `${mirror.source}/` });
  });

  test('are used if they change while a sync waits for the lock', async () => {
    const mirror = await twoSnapshots();
    const holder = await holdLock(mirror);
    mirror.change({ 'left-out': 'left out', file: 'third' });
    const waiting = await startWaiting(['sync', mirror.root, '--wait', '1m', '--id', 'third']);
    await runForJson(['init', mirror.root, '--keep-last', '5', '--', '--exclude=/left-out']);
    holder.release();
    const result = await waiting.result;
    expect(result.exitCode, transcript(result)).toBe(0);
    expect(readFileSync(join(mirror.root, 'current/file'), 'utf8')).toBe('third');
    expect(existsSync(join(mirror.root, 'current/left-out'))).toBe(false);
    expect(mirror.settings()).toMatchObject({ keepLast: 5 });
  });

  test('rule out options of rsync, if they change while a sync waits for the lock', async () => {
    const mirror = await twoSnapshots();
    await runForJson(['init', mirror.root, '--source', 'rsync://127.0.0.1:1/module']);
    const holder = await holdLock(mirror);
    mirror.change({ file: 'third' });
    const words = ['sync', mirror.root, '--wait', '1m', '--', '-M--fake-super'];
    const waiting = await startWaiting(words);
    await runForJson(['init', mirror.root, '--source', mirror.source]);
    holder.release();
    expectFailure(await waiting.result, 64, /-M--fake-super cannot be used/);
    expect(mirror.snapshots()).toEqual(['first', 'second']);
  });

  test('say what is pruned, if they change while a sync waits for the lock', async () => {
    const mirror = await twoSnapshots();
    const holder = await holdLock(mirror);
    mirror.change({ file: 'third' });
    const waiting = await startWaiting(['sync', mirror.root, '--wait', '1m', '--id', 'third']);
    await runForJson(['init', mirror.root, '--keep-last', '1', '--grace', '0']);
    holder.release();
    const result = await waiting.result;
    expect(result.exitCode, transcript(result)).toBe(0);
    expect(mirror.snapshots()).toEqual(['second', 'third']);
  });

  test('keep their source if the first publication comes while a sync waits for the lock', async () => {
    const mirror = smallMirror();
    await runForJson(['init', mirror.root]);
    const holder = await holdLock(mirror, 'fill');
    const words = ['sync', mirror.source, mirror.root, '--wait', '1m', '--allow-shrink'];
    const waiting = await startWaiting(words);
    await runForJson(['init', mirror.root, '--source', '/srv/elsewhere']);
    holder.release();
    expectFailure(await waiting.result, 64, /is a mirror of \/srv\/elsewhere\/, not of /);
    expect(mirror.settings()).toMatchObject({ source: '/srv/elsewhere/' });
  });

  test('are all kept if several commands change them at once', async () => {
    const mirror = await twoSnapshots();
    const changes = [
      ['--keep-last', '8'],
      ['--keep-within', '9d'],
      ['--grace', '10h'],
      ['--max-shrink', '11'],
      ['--source', '/srv/elsewhere'],
    ];
    await Promise.all(changes.map((change) => runForJson(['init', mirror.root, ...change])));
    expect(mirror.settings()).toMatchObject({
      keepLast: 8,
      keepWithinMs: 9 * 24 * 3_600_000,
      graceMs: 10 * 3_600_000,
      maxShrinkPercent: 11,
      source: '/srv/elsewhere/',
    });
  });
});

test('a lock of the settings that is a symlink is refused, and what it leads to stays', async () => {
  const mirror = await twoSnapshots();
  const elsewhere = join(mirror.home, 'elsewhere');
  writeFileSync(elsewhere, 'stays', { mode: 0o600 });
  rmSync(mirror.state('settings.flock'), { force: true });
  symlinkSync(elsewhere, mirror.state('settings.flock'));
  expectFailure(
    await runProgram(['init', mirror.root, '--keep-last', '4']),
    78,
    /settings\.flock is not a file/,
  );
  expect(readFileSync(elsewhere, 'utf8')).toBe('stays');
});

test('first inits at once make one mirror, with the settings of all', async () => {
  const root = join(scratchDirectory(), 'mirror');
  const changes = [
    ['--keep-last', '8'],
    ['--grace', '10h'],
    ['--max-shrink', '11'],
  ];
  const made = await Promise.all(changes.map((change) => runProgram(['init', root, ...change])));
  for (const result of made) expect(result.exitCode, transcript(result)).toBe(0);
  expect(JSON.parse(readFileSync(join(root, '.mirrorlatch/mirror.json'), 'utf8'))).toMatchObject({
    keepLast: 8,
    graceMs: 10 * 3_600_000,
    maxShrinkPercent: 11,
  });
});

test('init --in-place refuses a mirror with snapshots', async () => {
  const mirror = await twoSnapshots();
  const result = await runProgram(['init', mirror.root, '--in-place']);
  expectFailure(result, 64, /is already a mirror with snapshots/);
  expect(existsSync(join(mirror.root, 'gate'))).toBe(false);
});

test('init --in-place refuses a mirror with snapshots that another process makes meanwhile', async () => {
  const made = await twoSnapshots();
  const root = join(scratchDirectory(), 'mirror');
  const state = join(root, '.mirrorlatch');
  mkdirSync(state, { recursive: true });
  const lock = join(state, 'settings.flock');
  const holder = startProcess([
    'flock',
    '--no-fork',
    lock,
    'sh',
    '-c',
    'echo held; exec sleep infinity',
  ]);
  endWithTest(holder);
  await expect.poll(() => holder.printedSoFar()).toBe('held\n');
  const init = startProgram(['init', root, '--in-place']);
  await expect.poll(() => processesWithOpenFile(lock)).toContain(init.pid);
  copyFileSync(made.state('mirror.json'), join(state, 'mirror.json'));
  for (const pid of processesHoldingFlock(lock)) process.kill(pid);
  expectFailure(await init.result, 64, /is already a mirror with snapshots/);
  expect(existsSync(join(root, 'gate'))).toBe(false);
});

test('a reader that cannot be put in place is a warning, and prune goes on', async () => {
  const mirror = await twoSnapshots();
  rmSync(mirror.state('reader'));
  mkdirSync(mirror.state('reader.new'));
  const result = await runProgram(['prune', mirror.root, '--keep-last', '1', '--grace', '0']);
  expect(result.exitCode, transcript(result)).toBe(0);
  expect(result.stderr).toMatch(/warning: the reader of this version could not be put in place/);
});

test('an outdated tree in staging goes although the served directory cannot be brought up to date', async () => {
  const mirror = smallMirror();
  await runForJson(['init', mirror.root, '--serve-at', join(mirror.home, 'served')]);
  await mirror.publish('first', {});
  mkdirSync(mirror.state('staging', 'left+over'));
  mkdirSync(mirror.state('staging', 'newer'));
  mirror.change({ file: 'changed' });
  const script = 'case "$*" in *+served*) exit 1 ;; esac';
  const PATH = standInFor('cp', join(mirror.home, 'programs'), script);
  const words = ['sync', mirror.source, mirror.root, '--id', 'second'];
  const result = await runProgram(words, { env: { PATH } });
  expect(result.exitCode, transcript(result)).toBe(74);
  expect(mirror.linked('current')).toBe('second');
  const trees = readdirSync(mirror.state('staging')).filter((name) => !name.endsWith('.clone'));
  expect(trees).toEqual([]);
});

test('what fails because the lock was lost is reported as that, and the new holder has no word of it in its history', async () => {
  const mirror = await twoSnapshots();
  mirror.change({ file: 'third' });
  // Another host that takes the lock over moves trees away: cp, which makes the clone, then fails.
  const theirs = mirror.state('trash', 'theirs');
  const script = `mkdir -p '${theirs}'; ${takeOver(mirror)}; exit 1`;
  const PATH = standInFor('cp', join(mirror.home, 'programs'), script);
  const result = await runProgram(['sync', mirror.root], { env: { PATH } });
  expectFailure(result, 75, /the lock of .* was lost to another host/);
  expect(existsSync(theirs), 'the trash of the new holder').toBe(true);
  expect(mirror.history().at(-1)).toMatchObject({ event: 'published', id: 'second' });
});

test('a symlink that cannot be made is no sign of a lost lock', async () => {
  const mirror = await twoSnapshots();
  const layout = layoutOf(mirror.root);
  const lock = await acquireSyncLock(layout, { command: 'sync', ...DEFAULT_LOCK });
  try {
    for (const [place, code] of [
      [join(import.meta.filename, 'link'), 'ENOTDIR'],
      [join(mirror.home, 'missing', 'link'), 'ENOENT'],
    ] as const)
      expect(() => lock.replaceLink(place, 'x')).toThrow(expect.objectContaining({ code }));
  } finally {
    await lock.release();
  }
});

test('I8: a sync that loses the lock right before its publication leaves the snapshots alone', async () => {
  const mirror = await twoSnapshots();
  mirror.change({ file: 'third' });
  const script = atPublication(mirror, takeOver(mirror));
  const PATH = standInFor('sync', join(mirror.home, 'programs'), script);
  const result = await runProgram(['sync', mirror.root, '--id', 'third'], { env: { PATH } });
  expectFailure(result, 75, /the lock of .* was lost to another host/);
  expect(mirror.snapshots()).toEqual(['first', 'second']);
  expect(mirror.linked('current')).toBe('second');
});

test.each(['mv -T "$root" "$root.moved"', 'rm -rf "$root"'])(
  'a mirror that is gone during a sync is reported as that: %s',
  async (removes) => {
    const mirror = await twoSnapshots();
    mirror.change({ file: 'third' });
    const script = atPublication(mirror, `root='${mirror.root}'; ${removes}; exit 1`);
    const PATH = standInFor('sync', join(mirror.home, 'programs'), script);
    const result = await runProgram(['sync', mirror.root], { env: { PATH } });
    expectFailure(result, 75, /mirror was removed or moved while it was locked: .* is gone/);
    expect(result.stderr).not.toMatch(/another host/);
    expect(existsSync(mirror.root)).toBe(false);
  },
);

test('what a failed command has thrown away is removed', async () => {
  const mirror = await twoSnapshots();
  for (const options of [['--resume'], []]) {
    const words = ['lock', mirror.root, ...options, '--', 'false'];
    expect((await runProgram(words)).exitCode).toBe(1);
  }
  expect(readdirSync(mirror.state('trash'))).toEqual([]);
});

test.skipIf(!mayMount)('a sync warns of a tree that it cannot remove, and publishes', async () => {
  const mirror = await twoSnapshots();
  const inside = mirror.state('trash', 'tree', 'mounted');
  mkdirSync(inside, { recursive: true });
  await execa('mount', ['-t', 'tmpfs', 'tmpfs', inside]);
  mirror.change({ file: 'third' });
  const result = await runProgram(['sync', mirror.root, '--id', 'third']);
  expect(result.exitCode, transcript(result)).toBe(0);
  expect(result.stderr).toMatch(/warning: .*\/trash\/tree cannot be removed/);
  expect(mirror.linked('current')).toBe('third');
});

test('a sync that cannot prune warns, and publishes', async () => {
  const mirror = await twoSnapshots();
  // A lease that cannot be removed as a file.
  rmSync(mirror.state('leases', 'first'));
  mkdirSync(mirror.state('leases', 'first'));
  mirror.change({ file: 'third' });
  const words = ['sync', mirror.root, '--id', 'third', '--keep-last', '1', '--grace', '0'];
  const result = await runProgram(words);
  expect(result.exitCode, transcript(result)).toBe(0);
  expect(result.stderr).toMatch(/warning: .*\/snapshots\/first cannot be removed/);
  expect(mirror.linked('current')).toBe('third');
});

test('a wrong unadopt changes nothing', async () => {
  const mirror = await twoSnapshots();
  rmSync(mirror.state('reader'));
  const directory = join(mirror.home, 'other');
  mkdirSync(directory);
  const words = ['init', mirror.root, '--unadopt', directory];
  expectFailure(await runProgram(words), 64, /was not made of/);
  expect(existsSync(mirror.state('reader'))).toBe(false);
});

test.skipIf(!mayMount)('a snapshot that prune cannot remove is reported once', async () => {
  const mirror = await twoSnapshots();
  await mirror.publish('third', { file: 'third' });
  const inside = join(mirror.root, 'snapshots/first/below');
  await execa('mount', ['-t', 'tmpfs', 'tmpfs', inside]);
  try {
    const words = ['prune', mirror.root, '--keep-last', '1', '--grace', '0'];
    const result = await runProgram(words);
    expectFailure(result, 74, /cannot be removed/);
    expect(result.stderr.match(/cannot be removed/g)).toHaveLength(1);
  } finally {
    const { stdout } = await execa('findmnt', ['-rno', 'TARGET', '-t', 'tmpfs']);
    for (const target of stdout.split('\n').filter((line) => line.startsWith(mirror.home)))
      await execa('umount', [target]);
  }
});

/**
 * Starts a command that holds the writer's lock until it is released.
 *
 * @param work `fill`: then it publishes a snapshot.
 */
async function holdLock(
  mirror: SmallMirror,
  work: 'nothing' | 'fill' = 'nothing',
  through: readonly string[] = [],
): Promise<{ release(): void }> {
  const release = join(mirror.home, 'release');
  const holding = join(mirror.home, 'holding');
  const fill = work === 'fill' ? ': >"$MIRRORLATCH_STAGING/filled"; ' : '';
  const script = `${fill}: >"$1"; until [ -e "$2" ]; do sleep 0.1; done`;
  const command = ['sh', '-c', script, 'sh', holding, release];
  const options = work === 'fill' ? [] : ['--lock-only'];
  const holder = startProgram(['lock', mirror.root, ...options, '--', ...command], { through });
  const end = (): void => writeFileSync(release, '');
  onTestFinished(async () => {
    end();
    await holder.result;
  });
  await expect.poll(() => existsSync(holding)).toBe(true);
  return { release: end };
}

/** Starts a command, and resolves when it waits for the lock. */
async function startWaiting(words: readonly string[]): Promise<RunningProgram> {
  const waiting = startProgram(words);
  await expect.poll(() => waiting.saidSoFar()).toMatch(/waiting: /);
  return waiting;
}

test.each([
  ['snapshots', []],
  ['in-place', ['--in-place']],
] as const)(
  'a half-adopted mirror of mode %s is described by status and init with the commands that sync gives, which work',
  async (_, flags) => {
    const { directory, root } = await halfAdopted(flags);
    const hint = `Adopt it again with: mirrorlatch init ${root} --adopt ${directory}${flags.map((flag) => ` ${flag}`)}, or give the adoption up with: mirrorlatch init ${root} --unadopt ${directory}\n`;
    for (const time of ['before a sync', 'after one']) {
      const status = await runProgram(['status', root]);
      const row = `the adoption of ${directory} was interrupted; ${hint}`;
      expect(status.stdout, time).toContain(row);
      const init = await runProgram(['init', root, '--max-shrink', '40%']);
      expect(init.exitCode, transcript(init)).toBe(0);
      expect(init.stderr, time).toBe(
        `mirrorlatch: warning: the adoption of ${directory} was interrupted. ${hint}`,
      );
      expect(init.stdout, time).not.toContain('is a symlink');
      const sync = await runProgram(['sync', root]);
      expect(sync.exitCode, transcript(sync)).toBe(78);
      expect(sync.stderr, time).toContain(hint);
    }
    const command = /Adopt it again with: mirrorlatch (.*), or /.exec(hint)?.[1] ?? '';
    const adopted = await runProgram(command.split(' '));
    expect(adopted.exitCode, transcript(adopted)).toBe(0);
    expect(adopted.stdout).toContain(`${directory} is a symlink to its current tree`);
  },
);

/** Makes the state after a crash right before the exchange of an adoption. */
async function halfAdopted(
  flags: readonly string[] = [],
): Promise<{ directory: string; root: string }> {
  const place = scratchDirectory();
  const directory = join(place, 'known');
  mkdirSync(directory);
  writeFileSync(join(directory, 'file'), 'the only copy');
  const source = join(place, 'upstream');
  mkdirSync(source);
  const init = await runForJson(['init', '--adopt', directory, '--source', source, ...flags]);
  const root = String(init['root']);
  const tree = join(root, readlinkSync(join(root, 'current')));
  rmSync(directory);
  renameSync(tree, directory);
  symlinkSync('known.mirror/current', tree);
  return { directory, root };
}
