import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { execaSync } from 'execa';
import { afterAll, describe, expect, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { expectFailure } from '../support/expect-failure.ts';
import { nobody } from '../support/privilege.ts';
import { nobodyRunsTheProgram, runProgram, startProgram, transcript } from '../support/program.ts';
import { makeScratch } from '../support/scratch.ts';
import { startSlowSync } from '../support/slow-sync.ts';
import { mirrorsWith, type SmallMirror } from '../support/small-mirror.ts';
import { describeTree, difference } from '../support/tree.ts';

const oneSnapshot = mirrorsWith('first');
const scratch = makeScratch();
afterAll(() => scratch.remove());

const whyNotAsNobody = nobodyRunsTheProgram
  ? ''
  : ' (skipped: only root can become nobody, who has to reach Node and the program)';

test('I7: many failed tries of a whole pass are no reason to fetch again what is published', async () => {
  const mirror = await oneSnapshot();
  for (let tries = 0; tries < 20; tries += 1) {
    mkdirSync(mirror.state('staging', `failed${tries}`));
  }
  mirror.change({ new: 'new' });
  await mirror.sync('--strategy', 'link-dest');
  const inodes = ['previous', 'current'].map(
    (name) => statSync(join(mirror.root, name, 'file')).ino,
  );
  expect(inodes[0]).toBe(inodes[1]);
});

describe.skipIf(!nobodyRunsTheProgram)(`unreadable files (rsync 23)${whyNotAsNobody}`, () => {
  test('I8: end the sync as soon as the same ones fail again, with their names and the reason, and nothing is published', async () => {
    const mirror = await ofNobody('same');
    mirror.change({ new: 'readable', secret: 'for root only' });
    chmodSync(join(mirror.source, 'secret'), 0o600);
    const result = await runProgram(['sync', mirror.root, '--id', 'next', '--retry-delay', '0'], {
      user: nobody,
    });
    expectFailure(
      result,
      69,
      /some files could not be transferred \(rsync exit 23\)/,
      /secret.*Permission denied/,
      /exclude them: -- --exclude=PATTERN \(only init and the first sync remember it\)$/m,
    );
    expect(result.stderr.match(/try \d of 4 follows/g)).toEqual(['try 1 of 4 follows']);
    expect(result.stderr).toMatch(/warning: the same files have failed again/);
    expect(mirror.snapshots()).toEqual(['first']);
    expect(existsSync(mirror.state('staging', 'next', 'new')), 'what came is kept').toBe(true);
    expect(existsSync(mirror.state('staging', 'next', 'secret'))).toBe(false);

    chmodSync(join(mirror.source, 'secret'), 0o644);
    const again = await runProgram(['sync', mirror.root], { user: nobody });
    expect(again.exitCode, transcript(again)).toBe(0);
    expect(readFileSync(join(mirror.root, 'current', 'secret'), 'utf8')).toBe('for root only');
  });

  test('in an unreadable directory count as unknown, not as deleted', async () => {
    const mirror = await ofNobody('directory');
    chmodSync(join(mirror.source, 'below'), 0o700);
    const result = await runProgram(['sync', mirror.root, '--retry-delay', '0'], {
      user: nobody,
    });
    expectFailure(result, 69, /below.*Permission denied/);
    expect(mirror.snapshots()).toEqual(['first']);
    expect(existsSync(join(mirror.root, 'current', 'below', 'file'))).toBe(true);
  });

  test('are retried, and published if they can be read by then', async () => {
    const mirror = await ofNobody('mended');
    mirror.change({ secret: 'for root only' });
    chmodSync(join(mirror.source, 'secret'), 0o600);
    const sync = startProgram(['sync', mirror.root, '--retry-delay', '2s'], { user: nobody });
    await eventually(() => expect(sync.saidSoFar()).toMatch(/try 1 of 4 follows in 2 s/));
    chmodSync(join(mirror.source, 'secret'), 0o644);
    const result = await sync.result;
    expect(result.exitCode, transcript(result)).toBe(0);
    expect(readFileSync(join(mirror.root, 'current', 'secret'), 'utf8')).toBe('for root only');
  });

  test('with --retries 0 end the sync at once', async () => {
    const mirror = await ofNobody('none');
    mirror.change({ secret: 'for root only' });
    chmodSync(join(mirror.source, 'secret'), 0o600);
    const result = await runProgram(['sync', mirror.root, '--retries', '0'], { user: nobody });
    expectFailure(result, 69, /rsync exit 23/);
    expect(result.stderr).not.toMatch(/follows in/);
  });
});

describe.concurrent('a source that changes while it is read', () => {
  test('I8: is not published if files vanish (rsync 24): with --retries 0 the sync exits with 69', async () => {
    const mirror = await inScratch('vanished');
    const sync = await startSlowSync(mirror, {
      seconds: 5,
      files: { 'z-vanishes': 'x' },
      words: ['--retries', '0'],
    });
    rmSync(join(mirror.source, 'z-vanishes'));
    const result = await sync.result;
    expectFailure(result, 69, /vanished .*\(rsync exit 24\)/, /z-vanishes/);
    expect(mirror.linked('current')).toBe('first');
  });

  test('is read again, and published as it is then', async () => {
    const mirror = await inScratch('read again');
    const sync = await startSlowSync(mirror, {
      seconds: 5,
      files: { 'z-vanishes': 'x', 'z-stays': 'old' },
      words: ['--retry-delay', '100ms'],
    });
    mirror.change({ 'z-vanishes': null, 'z-stays': 'new and longer', 'z-comes': 'y' });
    const result = await sync.result;
    expect(result.exitCode, transcript(result)).toBe(0);
    expect(result.stderr).toMatch(/warning: .*(vanished|changed).*; try 1 of 4 follows/);
    expect(
      difference(describeTree(mirror.source), describeTree(join(mirror.root, 'current'))),
    ).toEqual([]);
  });

  test('without a vanishing file is read again too, although rsync reports nothing', async () => {
    const mirror = await inScratch('rewritten');
    const sync = await startSlowSync(mirror, { seconds: 5, files: { 'z-index': 'of the old' } });
    mirror.change({ slow: 'rewritten', 'z-index': 'of the new' });
    const result = await sync.result;
    expect(result.exitCode, transcript(result)).toBe(0);
    expect(result.stderr, 'at once').not.toMatch(/follows in/);
    expect(
      difference(describeTree(mirror.source), describeTree(join(mirror.root, 'current'))),
    ).toEqual([]);
  });
});

describe.concurrent('a server that does not answer', () => {
  test('is tried again with doubling pauses, up to --retries times', async () => {
    const mirror = await inScratch('server');
    const result = await runProgram([
      'sync',
      'rsync://127.0.0.1:1/module',
      mirror.root,
      '--other-source',
      ...['--retries', '2', '--retry-delay', '1s'],
    ]);
    expectFailure(result, 69, /the connection to the source failed/, /Connection refused/);
    expect(result.stderr.match(/try .* s$/gm)).toEqual([
      'try 1 of 2 follows in 1 s',
      'try 2 of 2 follows in 2 s',
    ]);
    expect(mirror.linked('current')).toBe('first');
  });

  test('is tried again after five minutes at the latest', async () => {
    const mirror = await inScratch('patience');
    const words = [
      'rsync://127.0.0.1:1/module',
      mirror.root,
      '--other-source',
      '--retry-delay',
      '1h',
    ];
    const sync = startProgram(['sync', ...words]);
    await eventually(() => expect(sync.saidSoFar()).toMatch(/try 1 of 4 follows in 300 s/));
    sync.kill('SIGTERM');
    expect((await sync.result).exitCode).toBe(143);
  });
});

/** A mirror in the scratch directory of the file, for concurrent tests. */
function inScratch(name: string): Promise<SmallMirror> {
  const home = join(scratch.path, name);
  mkdirSync(home);
  return oneSnapshot(home);
}

/** A mirror of the user nobody, with a source of root. */
async function ofNobody(name: string): Promise<SmallMirror> {
  const mirror = await inScratch(name);
  execaSync('chown', ['-R', `${nobody.uid}:${nobody.gid}`, mirror.root]);
  return mirror;
}
