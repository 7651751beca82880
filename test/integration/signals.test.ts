import { existsSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, describe, expect, test } from 'vitest';
import { startCountingSource } from '../stress/transfers.ts';
import { eventually } from '../support/eventually.ts';
import { type RunningProgram, runProgram, startProgram, transcript } from '../support/program.ts';
import { bin } from '../support/project.ts';
import { startRsyncDaemon } from '../support/rsyncd.ts';
import { makeScratch, scratchDirectory } from '../support/scratch.ts';
import { rsyncProcesses, startSlowSync } from '../support/slow-sync.ts';
import { mirrorsWith, type SmallMirror, smallMirror } from '../support/small-mirror.ts';
import { describeTree, difference } from '../support/tree.ts';

const oneSnapshot = mirrorsWith('first');
const scratch = makeScratch();
afterAll(() => scratch.remove());

const signals = [
  { name: 'SIGINT', exitCode: 130 },
  { name: 'SIGTERM', exitCode: 143 },
  { name: 'SIGHUP', exitCode: 129 },
] as const;

describe.concurrent('during a transfer', () => {
  test.for(signals)(
    '$name ends rsync, frees the lock and ends the sync with $exitCode; nothing is published',
    async ({ name, exitCode }) => {
      const mirror = await oneSnapshot(home(name));
      const sync = await startSlowSync(mirror, { files: { a: 'whole already' } });
      sync.kill(name);
      const result = await sync.result;
      // Immediately, not some time later.
      expect(rsyncProcesses(mirror.root)).toEqual([]);
      expect(existsSync(mirror.state('sync.lock'))).toBe(false);
      expect(result.exitCode, transcript(result)).toBe(exitCode);
      expect(result.stderr).toContain(`mirrorlatch: interrupted by ${name}; nothing was published`);
      expect(mirror.linked('current')).toBe('first');
      expect(mirror.snapshots()).toEqual(['first']);
      const tree = mirror.state('staging', 'slow');
      expect(readFileSync(join(tree, 'a'), 'utf8')).toBe('whole already');
      expect(statSync(mirror.state('staging')).mode & 0o777).toBe(0o700);

      const status = await runProgram(['status', mirror.root, '--json']);
      expect(status.exitCode, transcript(status)).toBe(69);
      expect(status.json()).toMatchObject({
        lock: { state: { kind: 'free' } },
        lastSync: { event: 'failed', code: name },
        findings: [{ kind: 'unfinished-tree', path: tree }],
      });
    },
  );

  test('Ctrl-C on a terminal, which rsync gets as well, has the same effect', async () => {
    const mirror = await oneSnapshot(home('group'));
    const sync = await startSlowSync(mirror, { program: { ownGroup: true } });
    process.kill(-sync.pid, 'SIGINT');
    const result = await sync.result;
    expect(result.exitCode, transcript(result)).toBe(130);
    expect(result.stderr).toContain('interrupted by SIGINT');
    expect(mirror.linked('current')).toBe('first');
    expect(existsSync(mirror.state('staging', 'slow'))).toBe(true);
    expect(existsSync(mirror.state('sync.lock'))).toBe(false);
  });

  test('a second one ends it at once, and the next command finds what is still running', async () => {
    const mirror = await oneSnapshot(home('twice'));
    const sync = await startSlowSync(mirror);
    const rsyncs = rsyncProcesses(mirror.root);
    // A hanging rsync keeps the sync from ending.
    for (const pid of rsyncs) process.kill(pid, 'SIGSTOP');
    sync.kill('SIGINT');
    await eventually(() => expect(pendingSignals(sync.pid)).toBe(0n));
    expect(existsSync(mirror.state('sync.lock'))).toBe(true);
    sync.kill('SIGINT');
    expect(await sync.result).toMatchObject({ exitCode: undefined, signal: 'SIGINT' });
    const next = await runProgram(['sync', mirror.root]);
    for (const pid of rsyncs) process.kill(pid, 'SIGKILL');
    expect(next.exitCode, transcript(next)).toBe(75);
    expect(next.stderr).toContain(`rsync (pid ${rsyncs[0]})`);
  });

  test('with --json the one object reports it', async () => {
    const mirror = await oneSnapshot(home('json'));
    const sync = await startSlowSync(mirror, { words: ['--json'] });
    sync.kill('SIGTERM');
    const result = await sync.result;
    expect(result.exitCode).toBe(143);
    expect(result.json()).toMatchObject({ error: { code: 'SIGTERM', exitCode: 143 } });
    expect(result.stderr).toBe('');
  });

  test('I7: the next sync continues, and fetches no complete file again', async () => {
    const mirror = await oneSnapshot(home('again'));
    const source = await startCountingSource(mirror.source);
    const sync = await startSlowSync(mirror, {
      source: source.url,
      files: { a: 'whole already', b: 'and this' },
    });
    sync.kill('SIGTERM');
    expect((await sync.result).exitCode).toBe(143);
    expect(existsSync(mirror.state('staging', 'slow', 'b'))).toBe(true);
    source.reset();

    mirror.change({ z: 'came meanwhile' });
    const next = await runProgram([
      'sync',
      source.url,
      mirror.root,
      '--other-source',
      '--id',
      'next',
      '--json',
    ]);
    expect(next.exitCode, transcript(next)).toBe(0);
    await eventually(() => expect(source.sent().sort()).toEqual(['slow', 'z']));
    await source.stop();
    expect(
      difference(describeTree(mirror.source), describeTree(join(mirror.root, 'current'))),
    ).toEqual([]);
    expect(readdirSync(mirror.state('staging'))).toEqual([]);
  });

  test('I7: of an interrupted file only the rest is fetched from a remote source', async () => {
    const mirror = await oneSnapshot(home('rest'));
    const daemon = await startRsyncDaemon([
      {
        name: 'tree',
        path: mirror.source,
        more: ['transfer logging = yes', 'log format = sent %f: %b'],
      },
    ]);
    const source = `${daemon.url('tree')}/`;
    const sync = await startSlowSync(mirror, { source });
    await eventually(() => expect(sizeOfPart(mirror)).toBeGreaterThan(250_000));
    sync.kill('SIGINT');
    await sync.result;
    const start = statSync(daemon.log).size;
    const next = await runProgram(['sync', source, mirror.root, '--other-source', '--id', 'next']);
    expect(next.exitCode, transcript(next)).toBe(0);
    const sent = () => /sent slow: (\d+)/.exec(readFileSync(daemon.log, 'utf8').slice(start))?.[1];
    await eventually(() => expect(sent()).toBeDefined());
    const whole = statSync(join(mirror.source, 'slow')).size;
    expect(Number(sent())).toBeLessThan(whole - 200_000);
    await daemon.stop();
  });
});

describe.concurrent('while a sync only waits', () => {
  test('for the lock, a signal ends a sync and leaves the holder alone', async () => {
    const mirror = await oneSnapshot(home('waits'));
    const holder = await startSlowSync(mirror);
    const waiting = startProgram(['sync', mirror.root, '--wait', '5m']);
    await said(waiting, /waiting: /);
    waiting.kill('SIGINT');
    const result = await waiting.result;
    expect(result.exitCode, transcript(result)).toBe(130);
    expect(rsyncProcesses(mirror.root)).not.toEqual([]);
    expect(existsSync(mirror.state('sync.lock'))).toBe(true);
    holder.kill('SIGTERM');
    await holder.result;
  });

  test('for --at, a signal ends it, and nothing is published', async () => {
    const mirror = smallMirror({ home: home('at') });
    const sync = startProgram(['sync', mirror.source, mirror.root, '--at', '2099-01-01T00:00Z']);
    await said(sync, /waiting until 2099/);
    sync.kill('SIGTERM');
    const result = await sync.result;
    expect(result.exitCode, transcript(result)).toBe(143);
    expect(mirror.linked('current')).toBe(undefined);
    expect(existsSync(mirror.state('sync.lock'))).toBe(false);
  });

  test('for the next try, a signal ends it', async () => {
    const mirror = smallMirror({ home: home('retry') });
    const nobodyListens = 'rsync://127.0.0.1:1/module';
    const sync = startProgram(['sync', nobodyListens, mirror.root, '--retry-delay', '5m']);
    await said(sync, /try 1 of 4 follows in 300 s/);
    sync.kill('SIGTERM');
    const result = await sync.result;
    expect(result.exitCode, transcript(result)).toBe(143);
    expect(existsSync(mirror.state('sync.lock'))).toBe(false);
  });
});

test('a closed pipe, as by head(1), is not a failure', async () => {
  const mirror = await oneSnapshot(scratchDirectory());
  mirror.change(Object.fromEntries(Array.from({ length: 3_000 }, (_, at) => [`many/${at}`, ''])));
  const { all, exitCode } = await execa(
    'bash',
    ['-c', 'set -o pipefail; "$@" | head -n 1', 'bash', ...commandOf(mirror.root)],
    { all: true, reject: false },
  );
  expect(all).not.toMatch(/EPIPE|Error/);
  expect(exitCode).toBe(0);
});

function commandOf(root: string): string[] {
  return [process.execPath, bin, 'sync', root, '-n'];
}

/** The bytes of the slow file that rsync has written. */
function sizeOfPart(mirror: SmallMirror): number {
  const tree = mirror.state('staging', 'slow');
  const part = readdirSync(tree).find((name) => name.startsWith('.slow.'));
  return part === undefined ? 0 : statSync(join(tree, part)).size;
}

function home(name: string): string {
  const path = join(scratch.path, name);
  mkdirSync(path);
  return path;
}

/** The pending signals of a process (proc(5), SigPnd and ShdPnd). */
function pendingSignals(pid: number): bigint {
  const masks = readFileSync(`/proc/${pid}/status`, 'utf8').matchAll(/^S\w\wPnd:\s*(\w+)$/gm);
  return [...masks].reduce((all, [, mask]) => all | BigInt(`0x${mask}`), 0n);
}

/** Waits until the program has printed this on standard error. */
async function said(program: RunningProgram, words: RegExp): Promise<void> {
  await eventually(() => expect(program.saidSoFar()).toMatch(words));
}
