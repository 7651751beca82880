import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { hostname, userInfo } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, describe, expect, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { expectFailure } from '../support/expect-failure.ts';
import { mayMount, nobody, runsAsRoot } from '../support/privilege.ts';
import {
  nobodyRunsTheProgram,
  type ProgramResult,
  type RunningProgram,
  runForJson,
  runProgram,
  startProcess,
  startProgram,
  transcript,
} from '../support/program.ts';
import { launcher } from '../support/project.ts';
import { makeScratch } from '../support/scratch.ts';
import { holdRsync, rsyncProcesses, startSlowSync } from '../support/slow-sync.ts';
import { mirrorsWith, type SmallMirror } from '../support/small-mirror.ts';
import { standInFor } from '../support/stand-in.ts';

const oneSnapshot = mirrorsWith('first');
const threeSnapshots = mirrorsWith('first', 'second', 'third');
const scratch = makeScratch();
const whyNotAsAnother = runsAsRoot ? '' : ' (skipped: only root can become another user)';
afterAll(() => scratch.remove());

test('I4: a second sync exits at once with 75 and names host, pid, user, time and phase of the first', async () => {
  const mirror = await oneSnapshot();
  const startedAt = Date.now();
  const holder = await startSlowSync(mirror);
  expect(await whatIsDone(mirror), 'a new phase is told at once').toMatch(/now: transferring/);
  await expect.poll(() => whatIsDone(mirror)).toMatch(/now: transferring [1-9]\d* %$/);

  const goOn = holdRsync(mirror.root);
  const second = await runProgram(['sync', mirror.root]);
  expectFailure(second, 75, /is locked: sync by /, /now: transferring/);
  expect(second.stderr, 'it did not wait').not.toMatch(/waiting/);
  for (const fact of [hostname(), `pid ${holder.pid}`, `by ${userInfo().username} `]) {
    expect(second.stderr).toContain(fact);
  }
  expect(second.stderr).toMatch(/--wait/);
  const since = Date.parse(/since (\S+?),/.exec(second.stderr)?.[1] ?? '');
  expect(since).toBeGreaterThanOrEqual(startedAt - (startedAt % 1000));
  expect(since).toBeLessThanOrEqual(Date.now());

  const told = (await runProgram(['sync', mirror.root, '--json'])).json();
  expect(told).toMatchObject({
    error: {
      code: 'BUSY',
      exitCode: 75,
      lock: {
        kind: 'held',
        owner: {
          pid: holder.pid,
          user: userInfo().username,
          command: 'sync',
          host: { hostname: hostname() },
        },
        progress: { phase: 'transferring' },
      },
    },
  });

  goOn();
  await end(holder);
  expect(mirror.linked('current')).toBe('first');
});

test('I4: a sync whose lock file has been deleted is still the writer, and so is what it leaves behind', async () => {
  const mirror = await oneSnapshot();
  const holder = await startSlowSync(mirror);
  const goOn = holdRsync(mirror.root);
  rmSync(mirror.state('sync.flock'));
  for (const command of ['sync', 'prune', 'unlock']) {
    const refused = await runProgram([command, mirror.root]);
    expectFailure(refused, 75, /sync by /, new RegExp(`pid ${holder.pid}`));
  }
  holder.kill('SIGKILL');
  await holder.result;
  expectFailure(await runProgram(['prune', mirror.root]), 75, /was killed and left running: rsync/);
  goOn();
  await end(holder);
  expect(mirror.linked('current')).toBe('first');
});

test('prune, rollback and unlock are refused while a sync runs, and change nothing', async () => {
  const mirror = await threeSnapshots();
  const holder = await startSlowSync(mirror);
  const before = readdirSync(mirror.state()).sort();
  for (const command of [
    ['prune', mirror.root, '--keep-last', '1', '--grace', '0'],
    ['rollback', mirror.root],
    ['unlock', mirror.root],
    ['unlock', mirror.root, '--stale-after', '0'],
  ]) {
    expectFailure(await runProgram(command), 75, /sync by /, new RegExp(`pid ${holder.pid}`));
  }
  expect(mirror.snapshots()).toEqual(['first', 'second', 'third']);
  expect(mirror.linked('current')).toBe('third');
  expect(readdirSync(mirror.state()).sort()).toEqual(before);
  await end(holder);
});

test('status, list and both dry runs need no lock', async () => {
  const mirror = await oneSnapshot();
  const holder = await startSlowSync(mirror);
  for (const command of [
    ['status', mirror.root],
    ['list', mirror.root],
    ['sync', mirror.root, '--dry-run'],
    ['prune', mirror.root, '--dry-run'],
  ]) {
    const result = await runProgram(command);
    expect(result.exitCode, transcript(result)).toBe(0);
  }
  await end(holder);
});

test('I4: of six simultaneous syncs, those that do not get the lock exit with 75', async () => {
  const mirror = await oneSnapshot();
  mirror.change({ file: 'changed' });
  const results = await Promise.all(
    Array.from({ length: 6 }, (_, index) =>
      runProgram(['sync', mirror.root, '--id', `turn-${index}`, '--json']),
    ),
  );
  const outcomes = results.map(outcomeOf);
  expect(outcomes.filter((outcome) => outcome === 'published')).toHaveLength(1);
  for (const outcome of outcomes) expect(['published', 'unchanged', 'BUSY']).toContain(outcome);
  expect(mirror.snapshots()).toHaveLength(2);
});

// Concurrent, because most of the time is waiting.
describe.concurrent('with --wait', () => {
  test('a sync reports that it waits, and continues when the first has ended', async () => {
    const mirror = await oneSnapshot(home('goes-on'));
    const words = ['--without', 'settle'];
    const holder = await startSlowSync(mirror, { id: 'second', seconds: 5, words });
    const goOn = holdRsync(mirror.root);
    mirror.change({ later: 'for the one that waits' });
    const waiting = startProgram(['sync', mirror.root, '--wait', '1h', '--id', 'third']);
    await eventually(() => expect(waiting.saidSoFar()).toMatch(/waiting: .* is locked: sync by /));
    goOn();
    const [first, second] = await Promise.all([holder.result, waiting.result]);
    expect(first.exitCode, transcript(first)).toBe(0);
    expect(second.exitCode, transcript(second)).toBe(0);
    expect(mirror.linked('current')).toBe('third');
    expect(mirror.linked('previous')).toBe('second');
  });

  test('a sync gives up with 75 when the time is over', async () => {
    const mirror = await oneSnapshot(home('gives-up'));
    const holder = await startSlowSync(mirror);
    const goOn = holdRsync(mirror.root);
    const impatient = await runProgram(['sync', mirror.root, '--wait', '100ms']);
    expectFailure(impatient, 75, /waiting: .* is locked: sync by /);
    goOn();
    await end(holder);
  });

  test('prune and rollback wait as well', async () => {
    const mirror = await oneSnapshot(home('others'));
    const holder = await startSlowSync(mirror, { id: 'third', seconds: 5 });
    const goOn = holdRsync(mirror.root);
    const rollback = startProgram(['rollback', mirror.root, 'first', '--wait', '1h']);
    const prune = startProgram(['prune', mirror.root, '--wait', '1h']);
    for (const { saidSoFar } of [rollback, prune]) {
      await expect.poll(saidSoFar).toMatch(/waiting: .* is locked: sync by /);
    }
    goOn();
    for (const result of [await rollback.result, await prune.result]) {
      expect(result.exitCode, transcript(result)).toBe(0);
    }
    expect((await holder.result).exitCode).toBe(0);
    expect(mirror.linked('current')).toBe('first');
    expect(mirror.linked('previous')).toBe('third');
  });

  test('six waiting syncs run one after the other', async () => {
    const mirror = await oneSnapshot(home('six'));
    mirror.change({ file: 'changed' });
    const results = await Promise.all(
      Array.from({ length: 6 }, (_, index) =>
        runProgram(['sync', mirror.root, '--id', `turn-${index}`, '--json', '--wait', '1h']),
      ),
    );
    expect(results.map(outcomeOf).sort()).toEqual([
      'published',
      ...Array.from({ length: 5 }, () => 'unchanged'),
    ]);
  });
});

test('I9: after SIGKILL of the holder the next sync continues its transfer at once', async () => {
  const mirror = await oneSnapshot();
  const holder = await startSlowSync(mirror, { id: 'killed', files: { a: 'whole already' } });
  holder.kill('SIGKILL');
  expect((await holder.result).signal).toBe('SIGKILL');
  await expect.poll(() => rsyncProcesses(mirror.root)).toEqual([]);

  const whole = join(mirror.state('staging', 'killed'), 'a');
  expect(readFileSync(whole, 'utf8')).toBe('whole already');
  const next = await mirror.sync('--id', 'next');
  expect(next).toMatchObject({
    outcome: 'published',
    id: 'next',
    previous: 'first',
    recovered: [{ kind: 'unfinished-tree', path: mirror.state('staging', 'killed') }],
  });
  expect(existsSync(mirror.state('sync.lock'))).toBe(false);
});

test('unlock removes the lock of a holder that was killed, and says whose it was', async () => {
  const mirror = await oneSnapshot();
  const holder = await startSlowSync(mirror);
  holder.kill('SIGKILL');
  await holder.result;
  await expect.poll(() => rsyncProcesses(mirror.root)).toEqual([]);
  expect(existsSync(mirror.state('sync.lock'))).toBe(true);

  const unlock = await runProgram(['unlock', mirror.root]);
  expect(unlock.exitCode, transcript(unlock)).toBe(0);
  expect(unlock.stdout).toMatch(/removed the lock: sync by .* ended without releasing it/);
  expect(unlock.stdout).toContain(`pid ${holder.pid}`);
  expect(existsSync(mirror.state('sync.lock'))).toBe(false);
  expect((await runProgram(['unlock', mirror.root])).stdout).toMatch(/nobody held the lock/);
  const quiet = await runProgram(['unlock', mirror.root, '--quiet']);
  expect([quiet.exitCode, quiet.stdout, quiet.stderr]).toEqual([0, '', '']);
  expect(await runForJson(['unlock', mirror.root])).toEqual({
    removed: { kind: 'free' },
    message: 'nobody holds the lock',
  });
});

test('unlock does not claim to have removed a lock that its holder released meanwhile', async () => {
  const mirror = await oneSnapshot();
  const holding = startProgram(['lock', mirror.root, '--lock-only', '--', 'sleep', '60']);
  await expect.poll(() => whatIsDone(mirror)).toMatch(/now: running sleep/);
  const script = `kill ${holding.pid}; while kill -0 ${holding.pid}; do sleep 0.1; done`;
  const PATH = standInFor('flock', join(mirror.home, 'programs'), script);
  const unlock = await runProgram(['unlock', mirror.root], { env: { PATH } });
  expect(unlock.stdout, transcript(unlock)).toBe('nobody held the lock\n');
  await holding.result;
});

test('a finished sync leaves no lock behind', async () => {
  const mirror = await oneSnapshot();
  await mirror.sync();
  expect(readdirSync(mirror.state()).filter((name) => name.startsWith('sync.lock'))).toEqual([]);
  const status = (await runProgram(['status', mirror.root, '--json'])).json();
  expect(status['lock']).toMatchObject({ state: { kind: 'free' } });
});

describe.skipIf(!runsAsRoot)(`another user${whyNotAsAnother}`, () => {
  test('I4: cannot open the lock and hold it, not even that of a mirror which an older version made', async () => {
    const mirror = await oneSnapshot();
    const lock = mirror.state('sync.flock');
    expect(await holdsAsNobody(lock)).toBe(false);
    chmodSync(lock, 0o644);
    expect(await holdsAsNobody(lock)).toBe(true);
    await mirror.sync();
    expect(await holdsAsNobody(lock)).toBe(false);
    expect(statSync(lock).mode & 0o777).toBe(0o600);
  });

  test('cannot make root close a file elsewhere by a hard link in place of the lock', async () => {
    const mirror = await oneSnapshot();
    const elsewhere = join(mirror.home, 'elsewhere');
    writeFileSync(elsewhere, 'stays', { mode: 0o644 });
    rmSync(mirror.state('sync.flock'));
    linkSync(elsewhere, mirror.state('sync.flock'));
    await mirror.sync();
    expect(statSync(elsewhere).mode & 0o777).toBe(0o644);
    expect(readFileSync(elsewhere, 'utf8')).toBe('stays');
  });

  test.skipIf(!nobodyRunsTheProgram)('sees by status which process holds the lock', async () => {
    const mirror = await oneSnapshot();
    const holder = await startSlowSync(mirror);
    holdRsync(mirror.root);
    const status = await runProgram(['status', mirror.root, '--json'], { user: nobody });
    expect(status.exitCode, transcript(status)).toBe(0);
    expect(status.json()).toMatchObject({
      isHealthy: true,
      lock: { state: { kind: 'held', owner: { pid: holder.pid, command: 'sync' } } },
    });
    await end(holder);
  });
});

async function holdsAsNobody(lock: string): Promise<boolean> {
  const { exitCode } = await execa('flock', ['--shared', '--nonblock', lock, 'true'], {
    ...nobody,
    cwd: '/',
    reject: false,
  });
  return exitCode === 0;
}

/** A directory in the scratch of the file, because concurrent tests share their clean-up hooks. */
function home(name: string): string {
  const path = join(scratch.path, name);
  mkdirSync(path);
  return path;
}

/** The lock in the output of status. */
async function whatIsDone(mirror: SmallMirror): Promise<string> {
  const { lock } = (await runProgram(['status', mirror.root, '--json'])).json();
  return (lock as { message: string }).message;
}

function outcomeOf(result: ProgramResult): unknown {
  const { outcome, error } = result.json();
  return outcome ?? (error as { code: string }).code;
}

async function end(program: RunningProgram): Promise<void> {
  program.kill('SIGTERM');
  await program.result;
}

test.skipIf(!mayMount)('without /proc a writer ends at once, and says so', async () => {
  const mirror = await oneSnapshot();
  const hide = ['unshare', '--mount', 'sh', '-c', 'mount -t tmpfs none /proc && exec "$@"', 'sh'];
  for (const command of ['sync', 'prune', 'unlock']) {
    const refused = await startProgram([command, mirror.root], {
      through: [...hide, 'timeout', '--kill-after', '1', '30'],
    }).result;
    expectFailure(refused, 69, /: \/proc is not mounted$/m, /mount -t proc proc \/proc$/m);
  }
  const started = [launcher, 'lock', mirror.root, '--lock-only', '--', 'echo', 'ran'];
  const refused = await startProcess([...hide, ...started]).result;
  expectFailure(refused, 125, /: \/proc is not mounted$/m, /mount -t proc proc \/proc$/m);
  expect(refused.stderr.match(/\/proc is not mounted/g)).toHaveLength(1);
  const elsewhere = await startProcess(['unshare', '--pid', '--fork', ...started]).result;
  expect(elsewhere, transcript(elsewhere)).toMatchObject({ stdout: 'ran\n', exitCode: 0 });
});
