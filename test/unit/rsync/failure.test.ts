import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { judgeEnding } from '../../../src/rsync/failure.ts';
import { freePort } from '../../support/daemon.ts';
import { fileWork } from '../../support/file-work.ts';
import { type RsyncDaemon, startRsyncDaemon } from '../../support/rsyncd.ts';
import { makeScratch, type Scratch } from '../../support/scratch.ts';

let scratch: Scratch;
let daemon: RsyncDaemon;

beforeAll(async () => {
  scratch = makeScratch();
  mkdirSync(join(scratch.path, 'tree'));
  fileWork(scratch.path).write('tree/file', 'x');
  const path = join(scratch.path, 'tree');
  daemon = await startRsyncDaemon([
    { name: 'tree', path },
    { name: 'one', path, maxConnections: 1 },
    { name: 'closed', path, auth: { user: 'somebody', password: 'secret' } },
    { name: 'gone', path: join(scratch.path, 'not there') },
  ]);
});

afterAll(async () => {
  await daemon.stop();
  await scratch.remove();
});

/** How a real rsync ends, as it is judged. */
function endingOf(...args: string[]) {
  const { status, stderr } = spawnSync('rsync', ['-a', ...args], {
    encoding: 'utf8',
    env: { ...process.env, LC_ALL: 'C', RSYNC_PASSWORD: 'wrong' },
  });
  return judgeEnding(status ?? -1, stderr);
}

const target = (): string => join(scratch.path, 'target/');
const failed = (code: string) => ({ kind: 'failed', error: { code } });

describe('how a real rsync ended', () => {
  test('well', () => {
    expect(endingOf(`${scratch.path}/tree/`, target())).toEqual({ kind: 'clean' });
  });

  test('no such module will not come by waiting', () => {
    expect(endingOf(daemon.url('unknown'), target())).toMatchObject(failed('NO_SOURCE'));
  });

  test('too many connections may go away: the same exit code 5, another ending', async () => {
    const { release } = await daemon.occupy('one');
    try {
      expect(endingOf(daemon.url('one'), target())).toMatchObject({
        kind: 'retry',
        why: /connections/,
      });
    } finally {
      release();
    }
  });

  test('a wrong password is a matter of permission', () => {
    const url = daemon.url('closed').replace('//', '//somebody@');
    expect(endingOf(url, target())).toMatchObject(failed('PERMISSION'));
  });

  test('a module whose directory is gone does not end well', () => {
    expect(endingOf(daemon.url('gone'), target()).kind).not.toBe('clean');
  });

  test('a source that is not there is no source', () => {
    expect(endingOf(`${scratch.path}/nothing/`, target())).toMatchObject(failed('NO_SOURCE'));
  });

  test('nobody listens: the network, to be tried again', async () => {
    const ending = endingOf(`rsync://127.0.0.1:${await freePort()}/m`, target());
    expect(ending).toMatchObject({ kind: 'retry', error: { code: 'UNAVAILABLE' } });
  });

  test('no remote shell, none that starts, and one that fails', () => {
    expect(endingOf('-e', '/no/such/shell', 'host:x', target())).toMatchObject(
      failed('UNAVAILABLE'),
    );
    expect(endingOf('-e', '/bin/false', 'host:x', target())).toMatchObject({ kind: 'retry' });
  });

  test('options that rsync does not take', () => {
    expect(endingOf('--no-such-option', `${scratch.path}/tree/`, target())).toMatchObject(
      failed('USAGE'),
    );
  });

  test('a file that a list names and the source has no more: the plan is old, try again', () => {
    fileWork(scratch.path).write('list', './vanished\0');
    const ending = endingOf(
      '--from0',
      `--files-from=${scratch.path}/list`,
      `${scratch.path}/tree/`,
      target(),
    );
    expect(ending).toMatchObject({ kind: 'retry', why: /could not be transferred/ });
  });
});

describe('by its exit code', () => {
  test.each([
    [1, 'failed', 'USAGE'],
    [4, 'failed', 'USAGE'],
    [11, 'failed', 'IO'],
    [14, 'failed', 'UNAVAILABLE'],
    [10, 'retry', 'UNAVAILABLE'],
    [12, 'retry', 'UNAVAILABLE'],
    [23, 'retry', 'UNAVAILABLE'],
    [24, 'retry', 'UNAVAILABLE'],
    [30, 'retry', 'UNAVAILABLE'],
    [35, 'retry', 'UNAVAILABLE'],
    [255, 'retry', 'UNAVAILABLE'],
    [20, 'failed', 'IO'],
    [137, 'failed', 'IO'],
    [143, 'failed', 'IO'],
    [25, 'failed', 'IO'],
    [99, 'failed', 'IO'],
  ])('%i', (exitCode, kind, code) => {
    expect(judgeEnding(exitCode, '')).toMatchObject({ kind, error: { code } });
  });

  test('nothing but 0 is clean, whatever was said', () => {
    for (let code = 1; code < 256; code += 1) expect(judgeEnding(code, '').kind).not.toBe('clean');
    expect(judgeEnding(0, 'rsync: warning')).toEqual({ kind: 'clean' });
  });

  test('a full disk is told from a bad target: both are 11', () => {
    const full = 'rsync: [receiver] write failed on "/x": No space left on device (28)\n';
    expect(judgeEnding(11, full)).toMatchObject(failed('NO_SPACE'));
    expect(judgeEnding(11, 'rsync: mkdir "/x" failed: Not a directory (20)')).toMatchObject(
      failed('IO'),
    );
  });

  test('the message holds what rsync said', () => {
    const said = 'rsync: [sender] send_files failed to open "/x": Permission denied (13)';
    const ending = judgeEnding(23, `${said}\nrsync error: some files (code 23) at main.c(1)\n`);
    expect(ending).toMatchObject({ error: { message: expect.stringContaining(said) } });
  });

  test('a file whose name is another complaint does not change the judgement', () => {
    const name = 'No space left on device';
    const said = `rsync: [sender] send_files failed to open "/src/${name}": Permission denied (13)`;
    expect(judgeEnding(23, said)).toMatchObject({ kind: 'retry' });
  });
});
