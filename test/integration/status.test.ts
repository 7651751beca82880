import { randomBytes } from 'node:crypto';
import {
  appendFileSync,
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, onTestFinished, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { expectFailure } from '../support/expect-failure.ts';
import { oneOfEachKind, runGuarded } from '../support/guards.ts';
import { makeLoopFilesystem, whyNoLoopFilesystem } from '../support/loop-filesystem.ts';
import { nobody } from '../support/privilege.ts';
import {
  nobodyRunsTheProgram,
  runForJson,
  runProgram,
  startProcess,
  transcript,
} from '../support/program.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { startSlowSync } from '../support/slow-sync.ts';
import { mirrorsWith, type SmallMirror, smallMirror } from '../support/small-mirror.ts';
import { describeTree, difference } from '../support/tree.ts';

const oneSnapshot = mirrorsWith('first');
test('status says what filled a mirror that remembers no source', async () => {
  const { root } = smallMirror();
  const source = async () =>
    /^source +(.*)$/m.exec((await runProgram(['status', root])).stdout)?.[1];
  await runForJson(['init', root]);
  expect(await source()).toBe('not set yet');
  await runProgram(['lock', root, '--', 'sh', '-c', 'echo >"$MIRRORLATCH_STAGING/file"']);
  expect(await source()).toBe('filled by lock, command sh');
});

test('what others have chosen writes no line and no colour of its own into what status and init print', async () => {
  const { root, source } = smallMirror();
  const hidden = ['--exclude=\u001b[8mhidden', '--exclude=a\nlock     free'];
  const words = ['init', root, '--source', `${source}\nlock     free \u001b[32m`, '--', ...hidden];
  const made = await runProgram(words);
  const status = await runProgram(['status', root]);
  for (const { stdout, stderr } of [made, status]) {
    expect(stdout + stderr).not.toContain('\u001b');
    expect(stdout).not.toMatch(/^lock {5}free .*32m/m);
  }
  expect(status.stdout.match(/^lock .*$/gm)).toEqual(['lock     free']);
  expect(status.stdout).toMatch(/^source +\S+\\x0alock {5}free \\x1b\[32m\/$/m);
});

const twoSnapshots = mirrorsWith('first', 'second');

const whyNotAsNobody = nobodyRunsTheProgram
  ? ''
  : ' (skipped: only root can become nobody, who has to reach Node and the program)';

interface Snapshot {
  readonly id: string;
  readonly publishedAt: string;
  readonly readers: readonly unknown[];
}

test('status of a healthy mirror exits with 0 and shows source, current, previous and each snapshot', async () => {
  const mirror = smallMirror();
  const startedAt = Date.now();
  await mirror.publish('first', {});
  await mirror.publish('second', { more: 'x'.repeat(10_000) });
  const path = join(mirror.root, 'snapshots', 'first');
  const status = await runForJson(['status', mirror.root]);
  expect(status).toMatchObject({
    root: mirror.root,
    source: `${mirror.source}/`,
    current: { id: 'second', isCurrent: true },
    previous: 'first',
    lock: { state: { kind: 'free' } },
    findings: [],
    lastSync: { event: 'published', id: 'second' },
    isHealthy: true,
    snapshots: [
      { id: 'first', isPrevious: true, files: 2, bytes: 20, path },
      { id: 'second', isCurrent: true, files: 3, bytes: 10_020, newBytes: 10_000 },
    ],
  });
  for (const { publishedAt } of status['snapshots'] as Snapshot[]) {
    expect(Date.parse(publishedAt)).toBeGreaterThanOrEqual(startedAt);
    expect(Date.parse(publishedAt)).toBeLessThanOrEqual(Date.now());
  }

  const forPeople = await runProgram(['status', mirror.root]);
  expect(forPeople.exitCode, transcript(forPeople)).toBe(0);
  expect(forPeople.stderr).toBe('');
  const [about, table] = forPeople.stdout.split('\n\n');
  expect(about).toMatch(/^mirror +.*\/mirror healthy$/m);
  expect(about).toMatch(/^source +.*\/source\/$/m);
  expect(about).toMatch(/^lock +free$/m);
  expect(about).toMatch(/^last +published second, \d+m?s ago$/m);
  expect(table).toMatch(/^SNAPSHOT +AGE +FILES +SIZE +NEW +READERS$/m);
  expect(table).toMatch(/^first +previous +\d+m?s +2 +20 B +20 B +-$/m);
  expect(table).toMatch(/^second +current +\d+m?s +3 +10 kB +10 kB +-$/m);
});

test('what is new in a snapshot is what came for it, not the size of the files that changed', async () => {
  const mirror = smallMirror();
  const large = randomBytes(3_000_000);
  await mirror.publish('first', { large });
  mirror.change({ large: Buffer.concat([large, Buffer.from('the end')]) });
  await mirror.sync('--id', 'second', '--', '--no-whole-file');
  const { current } = await runForJson(['status', mirror.root]);
  const { newBytes, bytes } = current as { newBytes: number; bytes: number };
  expect(bytes).toBeGreaterThan(3_000_000);
  expect(newBytes).toBeGreaterThan(0);
  expect(newBytes).toBeLessThan(100_000);
});

test('status and list change nothing in ROOT', async () => {
  const mirror = await oneSnapshot();
  const before = describeTree(mirror.root);
  await runForJson(['status', mirror.root]);
  await runForJson(['list', mirror.root]);
  expect(difference(before, describeTree(mirror.root))).toEqual([]);
});

test.skipIf(!nobodyRunsTheProgram)(
  `I11: a user with read permission gets status and list${whyNotAsNobody}`,
  async () => {
    const mirror = await oneSnapshot();
    for (const command of ['status', 'list']) {
      const result = await runProgram([command, mirror.root], { user: nobody });
      expect(result.exitCode, transcript(result)).toBe(0);
      expect(result.stdout).toMatch(/first +current/);
    }
  },
);

test.skipIf(!nobodyRunsTheProgram)(
  `a user who cannot see every reader, nor what a crash left, is told so${whyNotAsNobody}`,
  async () => {
    const mirror = await oneSnapshot();
    for (const command of ['status', 'list']) {
      const { stdout } = await runProgram([command, mirror.root], { user: nobody });
      expect(stdout).toMatch(/^first +current.* \?$/m);
      expect(stdout).toMatch(/^only root sees the readers of other users$/m);
    }
    const { stdout } = await runProgram(['status', mirror.root], { user: nobody });
    expect(stdout).toMatch(/^left +\? \(only its owner sees what is in \S+\/staging/m);
    const asRoot = await runProgram(['status', mirror.root]);
    expect(asRoot.stdout).not.toMatch(/only|^left/m);
  },
);

test('while a sync runs, status shows its user, start, phase and progress, and exits with 0', async () => {
  const mirror = await oneSnapshot();
  const holder = await startSlowSync(mirror);
  const lockLine = async () => {
    const { stdout, exitCode } = await runProgram(['status', mirror.root]);
    expect(exitCode).toBe(0);
    return /^lock +(.*)$/m.exec(stdout)?.[1] ?? '';
  };
  await expect.poll(lockLine).toMatch(/now: transferring [1-9]\d* %$/);
  expect(await lockLine()).toMatch(
    new RegExp(`^sync by \\S+ \\(pid ${holder.pid} on \\S+\\) since \\d{4}-\\d\\d-\\d\\dT`),
  );
  expect(await runForJson(['status', mirror.root])).toMatchObject({
    lock: {
      state: { kind: 'held', progress: { phase: 'transferring', done: expect.any(Number) } },
    },
    findings: [],
    isHealthy: true,
  });
  holder.kill('SIGTERM');
  await holder.result;
  expect((await runProgram(['status', mirror.root, '--json'])).json()).toMatchObject({
    findings: [{ kind: 'unfinished-tree' }],
    problems: ['the last sync or lock failed'],
  });
});

test('after a failed sync status exits with 69 and the reason; after a successful one, with 0', async () => {
  const mirror = await oneSnapshot();
  mirror.change({ file: null, 'below/file': null, other: 'x' });
  expect((await runProgram(['sync', mirror.root])).exitCode).toBe(65);
  const result = await runProgram(['status', mirror.root]);
  expect(result.exitCode, transcript(result)).toBe(69);
  expect(result.stdout).toMatch(/needs attention$/m);
  expect(result.stdout).toMatch(/^last +failed, \d+m?s ago: the source has shrunk/m);
  expect(result.stdout).toMatch(
    /^why +the last sync or lock failed: the source has shrunk: \S+ % of the files and \S+ % of the bytes would vanish, more than the 30 % allowed$/m,
  );

  await mirror.sync('--allow-shrink');
  expect((await runProgram(['status', mirror.root])).exitCode).toBe(0);
});

test('a mirror without a snapshot is unhealthy', async () => {
  const mirror = smallMirror();
  await runForJson(['init', mirror.root, '--source', mirror.source]);
  const result = await runProgram(['status', mirror.root]);
  expect(result.exitCode, transcript(result)).toBe(69);
  expect(result.stdout).toMatch(/^last +no sync yet$/m);
  expect(result.stdout).toMatch(/there is no snapshot yet/);
  const listed = await runProgram(['list', mirror.root]);
  expect(listed.exitCode, transcript(listed)).toBe(0);
  expect((await runForJson(['list', mirror.root])) as unknown).toEqual([]);
});

test('list shows the snapshots oldest first, and a reader by name, pid and user', async () => {
  const mirror = smallMirror();
  // Names that do not sort in the order of their publication.
  await mirror.publish('z', {});
  await mirror.publish('a', { file: 'a' });
  const reader = openSync(join(mirror.root, 'snapshots', 'z', 'file'), 'r');
  const listed = (await runForJson(['list', mirror.root])) as unknown as Snapshot[];
  const table = (await runProgram(['list', mirror.root])).stdout;
  closeSync(reader);
  const name = readFileSync('/proc/self/comm', 'utf8').trimEnd();
  expect(listed.map(({ id }) => id)).toEqual(['z', 'a']);
  expect(listed[0]?.readers).toMatchObject([{ pid: process.pid, name, by: 'fd' }]);
  expect(listed[1]?.readers).toEqual([]);
  expect(table).toMatch(
    new RegExp(`^z +previous .*${name} \\(pid ${process.pid}, \\S+, fd\\)$`, 'm'),
  );
});

test('status and list without a mirror exit with 66 and make none', async () => {
  const mirror = smallMirror();
  for (const command of ['status', 'list', 'prune', 'unlock']) {
    expectFailure(await runProgram([command, mirror.root]), 66, /there is no mirror in/);
  }
  for (const command of ['status', 'serve']) {
    const full = await runProgram([command, mirror.source]);
    expectFailure(
      full,
      66,
      /there is no mirror in/,
      /neither \.mirrorlatch .*: mirrorlatch sync .* ROOT$/m,
    );
  }
  expect(existsSync(mirror.root)).toBe(false);
});

test('a directory of mirrors, and a URL, are answered with what to name instead', async () => {
  const home = scratchDirectory();
  for (const name of ['debian', 'a b']) await runProgram(['init', join(home, name)]);
  const named = new RegExp(`It contains mirrors. Name one: '${home}/a b' ${home}/debian$`, 'm');
  expectFailure(await runProgram(['status', home]), 66, /there is no mirror in/, named);
  for (const guard of oneOfEachKind) {
    expectFailure(await runGuarded(guard, home, ['true']), 125, /there is no mirror in/, named);
  }

  const url = 'http://mirror.example.org/debian/';
  const command = /mirrorlatch run --http http:\/\/mirror\.example\.org\/debian\/ -- COMMAND$/m;
  expectFailure(await runProgram(['status', url]), 66, command);
  const shims = await runProgram(['shims', join(home, 'shims'), '--mirror', url, 'apt-get']);
  expectFailure(shims, 64, /is a URL, not the path/, /--http http:/);
});

test('a process that chose its name to deceive is shown by that name, escaped, on one line', async () => {
  const mirror = await oneSnapshot();
  const name = 'x\n\u001b[2Ja \u202eb';
  const program = join(mirror.home, name);
  copyFileSync('/bin/sleep', program);
  const reader = startProcess([program, '1000'], { cwd: join(mirror.root, 'current') });
  try {
    await eventually(async () => {
      const { stdout } = await runProgram(['list', mirror.root]);
      expect(stdout).toContain(`x\\x0a\\x1b[2Ja \\u202eb (pid ${reader.pid}, `);
      expect(stdout.trimEnd().split('\n')).toHaveLength(2);
    });
    const { stdout } = await runProgram(['list', mirror.root, '--json']);
    expect(JSON.parse(stdout)).toMatchObject([{ readers: [{ pid: reader.pid, name }] }]);
  } finally {
    reader.kill('SIGKILL');
    await reader.result;
  }
});

test('a holder of the lock that left no record is named by its program and verb', async () => {
  const mirror = await oneSnapshot();
  const syncing = await startSlowSync(mirror);
  rmSync(mirror.state('sync.lock'), { recursive: true });
  const { stdout } = await runProgram(['status', mirror.root]);
  expect(stdout).toMatch(new RegExp(`^lock .*mirrorlatch sync \\(pid ${syncing.pid}\\)`, 'm'));
  syncing.kill('SIGTERM');
  await syncing.result;
});

test('--max-age makes a mirror stale whose last successful sync is older, unchanged or not', async () => {
  const mirror = await oneSnapshot();
  backdate(mirror, '2020-01-01T00:00:00.000Z');
  expect((await runProgram(['status', mirror.root])).exitCode).toBe(0);
  const stale = await runProgram(['status', mirror.root, '--max-age', '26h']);
  expect(stale.exitCode, transcript(stale)).toBe(69);
  expect(stale.stdout).toMatch(/^why +it is stale$/m);
  expect(stale.stdout).toMatch(/^age +synced \d+d ago$/m);
  expect(await mirror.sync()).toMatchObject({ outcome: 'unchanged' });
  expect((await runProgram(['status', mirror.root, '--max-age', '26h'])).exitCode).toBe(0);
});

test('--max-age takes a time that a clock far ahead has recorded for no fresh one, but one a minute ahead', async () => {
  const mirror = await oneSnapshot();
  backdate(mirror, '2199-01-01T00:00:00.000Z');
  const stale = await runProgram(['status', mirror.root, '--max-age', '26h']);
  expect(stale.exitCode, transcript(stale)).toBe(69);
  expect(stale.stdout).toMatch(
    /^why +its last sync lies in the future, so that it may be stale\n(.*\n)*age +synced at 2199-01-01T00:00:00Z, which lies in the future: a clock was wrong, or is\n/m,
  );
  expect(stale.stdout).not.toMatch(/0s/);
  await mirror.sync();
  expect((await runProgram(['status', mirror.root, '--max-age', '26h'])).exitCode).toBe(0);
  backdate(mirror, new Date(Date.now() + 60_000).toISOString());
  expect((await runProgram(['status', mirror.root, '--max-age', '26h'])).exitCode).toBe(0);
});

test('a snapshot that could not be removed needs attention only as long as no rule keeps it', async () => {
  const mirror = await twoSnapshots();
  await mirror.publish('third', { file: 'third' });
  const at = new Date().toISOString();
  const failed = { event: 'prune-failed', at, id: 'first', message: 'something is mounted in it' };
  appendFileSync(mirror.state('history.jsonl'), `${JSON.stringify(failed)}\n`);
  expect((await runProgram(['status', mirror.root])).exitCode, 'it is one of three').toBe(0);
  await runForJson(['init', mirror.root, '--keep-last', '1', '--grace', '0']);
  const result = await runProgram(['status', mirror.root]);
  expect(result.exitCode, transcript(result)).toBe(69);
  expect(result.stdout).toMatch(/snapshot first was to be pruned; something is mounted in it/);
});

test('a failed sync makes a mirror no fresher', async () => {
  const mirror = await oneSnapshot();
  backdate(mirror, '2020-01-01T00:00:00.000Z');
  mirror.change({ file: null, 'below/file': null });
  expect((await runProgram(['sync', mirror.root])).exitCode).toBe(65);
  const result = await runProgram(['status', mirror.root, '--max-age', '26h']);
  expect(result.stdout).toMatch(
    /^why +the last sync or lock failed: the source has no file left, .*; it is stale/m,
  );
});

test('a sync that fails before it begins is on record, and a wrong command line is not', async () => {
  const mirror = await oneSnapshot();
  const patterns = join(mirror.home, 'my patterns');
  writeFileSync(patterns, '/secret\n');
  await runForJson(['init', mirror.root, '--', '-z', `--exclude-from=${patterns}`]);
  for (const words of [['--', '--bwlimit'], ['--', '--inplace'], ['--id', '-x'], ['--bogus']])
    expect((await runProgram(['sync', mirror.root, ...words])).exitCode).toBe(64);
  expect((await runProgram(['status', mirror.root])).exitCode).toBe(0);

  rmSync(patterns);
  const withoutFile = await runProgram(['sync', mirror.root]);
  const command = /forget that option, .*: mirrorlatch init '?[^ ']*'? -- -z$/m;
  expectFailure(withoutFile, 78, /remembers that option/, command);
  const noted = await runForJson(['status', mirror.root]).catch(String);
  expect(noted).toMatch(/"isHealthy": ?false/);
  expect(mirror.history().at(-1)).toMatchObject({ event: 'failed', code: 'CONFIGURATION' });
  await runForJson(['init', mirror.root, '--', '-z']);

  renameSync(mirror.source, `${mirror.source}.gone`);
  expect((await runProgram(['sync', mirror.root])).exitCode).toBe(66);
  const gone = await runProgram(['status', mirror.root]);
  expect(gone.exitCode, transcript(gone)).toBe(69);
  expect(gone.stdout).toMatch(/^last +failed, .* does not exist/m);
  expect((await runProgram(['sync', mirror.root, '--dry-run'])).exitCode).toBe(66);
  expect(mirror.history().filter(({ event }) => event === 'failed')).toHaveLength(2);

  renameSync(`${mirror.source}.gone`, mirror.source);
  await mirror.sync();
  expect((await runProgram(['status', mirror.root])).exitCode).toBe(0);
});

test('status foretells what refuses every writer, although no sync can put that on record', async () => {
  const mirror = await oneSnapshot();
  const [snapshots, big] = [join(mirror.root, 'snapshots'), join(mirror.home, 'big')];
  const isIll = async (why: RegExp) => {
    const result = await runProgram(['status', mirror.root]);
    expect(result.exitCode, transcript(result)).toBe(69);
    expect(result.stdout).toMatch(why);
  };
  renameSync(snapshots, big);
  symlinkSync(big, snapshots);
  expect((await runProgram(['sync', mirror.root])).exitCode).toBe(78);
  await isIll(
    /^why .*snapshots is a symlink to .*, but all of a mirror has to lie in one directory/m,
  );
  rmSync(snapshots);
  renameSync(big, snapshots);

  chmodSync(mirror.state('staging'), 0o755);
  await isIll(/^why .*staging must be a directory of mode 0700$/m);
  chmodSync(mirror.state('staging'), 0o700);

  chmodSync(mirror.root, 0o777);
  await isIll(/^why .* is writable by every user, who could exchange what is in it$/m);
  chmodSync(mirror.root, 0o755);
  expect((await runProgram(['status', mirror.root])).exitCode).toBe(0);
});

test.skipIf(whyNoLoopFilesystem !== '')(
  `status foretells that a sync cannot change what is immutable or on a filesystem that has become read-only${whyNoLoopFilesystem}`,
  async () => {
    const disk = await makeLoopFilesystem('ext4', { size: 16 * 1024 * 1024 });
    onTestFinished(() => disk.remove());
    const mirror = smallMirror({ root: join(disk.path, 'mirror') });
    await mirror.publish('first', {});
    const status = () => runProgram(['status', mirror.root]);
    await execa('chattr', ['+i', mirror.state('history.jsonl')]);
    const immutable = await status();
    await execa('chattr', ['-i', mirror.state('history.jsonl')]);
    expect(immutable.exitCode, transcript(immutable)).toBe(69);
    expect(immutable.stdout).toMatch(/^why .*history.jsonl is immutable$/m);
    expect((await status()).exitCode).toBe(0);

    await execa('mount', ['-o', 'remount,ro', disk.path]);
    const readOnly = await status();
    expect(readOnly.exitCode, transcript(readOnly)).toBe(69);
    expect(readOnly.stdout).toMatch(/^why .*the filesystem of \S+ is read-only$/m);
  },
);

test('the command in a hint about a remembered option ends with a full stop before the next sentence', async () => {
  const mirror = smallMirror();
  const password = join(mirror.home, 'password');
  writeFileSync(password, 'secret', { mode: 0o600 });
  const words = ['--source', 'rsync://127.0.0.1:9/module', '--', `--password-file=${password}`];
  await runForJson(['init', mirror.root, ...words]);
  chmodSync(password, 0o644);
  const hint =
    /Close it with: chmod 600 \S+\/password\. To forget that option, .*: mirrorlatch init /;
  expectFailure(await runProgram(['sync', mirror.root]), 78, /every user may read/, hint);
});

test('status says why a mirror needs attention when current is gone', async () => {
  const mirror = await oneSnapshot();
  const atOnce = { options: ['--wait', '0'] };
  rmSync(join(mirror.root, 'current'));
  const result = await runProgram(['status', mirror.root]);
  expect(result.exitCode, transcript(result)).toBe(69);
  expect(result.stdout).toMatch(/^why +.*the symlink current is missing, and the next sync makes/m);
  const run = await runGuarded(oneOfEachKind[0], mirror.root, ['true'], atOnce);
  const waited = await runProgram(['wait', mirror.root, '--timeout', '0']);
  for (const one of [run, waited])
    expectFailure(
      one,
      75,
      /has snapshots, but its symlink current is missing: the next sync makes it/,
    );
  await mirror.sync();
  expect((await runProgram(['status', mirror.root])).exitCode).toBe(0);
  rmSync(join(mirror.root, 'current'));
  rmSync(mirror.state('mirror.json'));
  const unmade = await runGuarded(oneOfEachKind[0], mirror.root, ['true'], atOnce);
  expectFailure(unmade, 75, /is no mirror yet: what was to make it has not finished/);
});

test('a rollback does not change the age of the snapshot that it returns to', async () => {
  const mirror = await twoSnapshots();
  const before = (await runForJson(['list', mirror.root])) as unknown as Snapshot[];
  await runForJson(['rollback', mirror.root]);
  const after = (await runForJson(['list', mirror.root])) as unknown as Snapshot[];
  expect(after.map(({ publishedAt }) => publishedAt)).toEqual(
    before.map(({ publishedAt }) => publishedAt),
  );
});

/** Gives all lines of the history this time. */
function backdate(mirror: SmallMirror, at: string): void {
  const lines = mirror.history().map((line) => `${JSON.stringify({ ...line, at })}\n`);
  writeFileSync(mirror.state('history.jsonl'), lines.join(''));
}
