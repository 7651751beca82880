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
