import { spawnSync } from 'node:child_process';
import { linkSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { judgeEnding } from '../../../src/rsync/failure.ts';
import { freePort } from '../../support/daemon.ts';
import { fileWork } from '../../support/file-work.ts';
import {
  makeLoopFilesystem,
  mountTmpfs,
  whyNoLoopFilesystem,
} from '../../support/loop-filesystem.ts';
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
    { name: 'listless', path, more: ['refuse options = files-from checksum'] },
    { name: 'gone', path: join(scratch.path, 'not there') },
  ]);
});

afterAll(async () => {
  await daemon.stop();
  await scratch.remove();
});

/** Runs a real rsync and judges its ending. */
function endingOf(...args: string[]) {
  const { status, stderr } = spawnSync('rsync', ['-a', ...args], {
    encoding: 'utf8',
    env: { ...process.env, LC_ALL: 'C', RSYNC_PASSWORD: 'wrong' },
  });
  return judgeEnding(status ?? -1, stderr);
}

const target = (): string => join(scratch.path, 'target/');
const failed = (code: string) => ({ kind: 'failed', error: { code } });

describe('the ending of a real rsync is judged:', () => {
  test('success is clean', () => {
    expect(endingOf(`${scratch.path}/tree/`, target())).toEqual({ kind: 'clean' });
  });

  test('an unknown module is not retried', () => {
    expect(endingOf(daemon.url('unknown'), target())).toMatchObject(failed('NO_SOURCE'));
  });

  test('too many connections are retried, with the same exit code 5', async () => {
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

  test('a wrong password is a permission error', () => {
    const url = daemon.url('closed').replace('//', '//somebody@');
    expect(endingOf(url, target())).toMatchObject(failed('PERMISSION'));
  });

  test('a module whose directory is gone is a failure', () => {
    expect(endingOf(daemon.url('gone'), target()).kind).not.toBe('clean');
  });

  test.skipIf(whyNoLoopFilesystem !== '')(
    `a file with more names than ext4 allows is a failure${whyNoLoopFilesystem}`,
    async () => {
      const names = join(await mountTmpfs('size=200m,nr_inodes=0'), 'names');
      mkdirSync(names);
      writeFileSync(join(names, '0'), 'x');
      for (let name = 1; name <= 65_000; name += 1)
        linkSync(join(names, '0'), join(names, String(name)));
      const ext4 = await makeLoopFilesystem('ext4');
      onTestFinished(() => ext4.remove());
      const ending = endingOf('-H', `${names}/`, `${ext4.path}/tree/`);
      expect(ending).toMatchObject(failed('IO'));
      expect(ending.kind !== 'clean' && ending.error.hint).toMatch(/Leave out -H/);
    },
  );

  test('a missing source is not retried', () => {
    expect(endingOf(`${scratch.path}/nothing/`, target())).toMatchObject(failed('NO_SOURCE'));
  });

  test('a refused connection is retried', async () => {
    const ending = endingOf(`rsync://127.0.0.1:${await freePort()}/m`, target());
    expect(ending).toMatchObject({ kind: 'retry', error: { code: 'UNAVAILABLE' } });
  });

  test('a remote shell may be missing, fail to start, or fail later', () => {
    expect(endingOf('-e', '/no/such/shell', 'host:x', target())).toMatchObject(
      failed('UNAVAILABLE'),
    );
    expect(endingOf('-e', '/bin/false', 'host:x', target())).toMatchObject({ kind: 'retry' });
  });

  test('options that rsync rejects are a usage error', () => {
    expect(endingOf('--no-such-option', `${scratch.path}/tree/`, target())).toMatchObject(
      failed('USAGE'),
    );
  });

  test('an option that the other end refuses or does not know is no matter of the network', () => {
    const list = `--files-from=${scratch.path}/list-of-one`;
    fileWork(scratch.path).write('list-of-one', './file\0');
    const strange = '-M--no-such-option';
    const shell = ['-e', `sh -c 'shift; exec "$@"' sh`, strange, `host:${scratch.path}/tree/`];
    for (const [words, said] of [
      [['--from0', list, daemon.url('listless')], /Sync with --strategy link-dest/],
      [['--checksum', daemon.url('listless')], /refuses an option of rsync .*--checksum/],
      [[strange, daemon.url('tree')], /other end does not know an option .*--no-such-option/],
      [shell, /other end does not know an option .*--no-such-option/],
    ] as const) {
      const ending = endingOf(...words, target());
      expect(ending, words.join(' ')).toMatchObject(failed('UNAVAILABLE'));
      if (ending.kind !== 'clean')
        expect(`${ending.error.message} ${ending.error.hint}`).toMatch(said);
    }
  });

  test('a listed file that the source no longer has is retried, because the plan is out of date', () => {
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
