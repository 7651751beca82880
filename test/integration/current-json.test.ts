import { execFileSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parseCurrentJson } from '../../src/mirror/current-json.ts';
import { layoutOf } from '../../src/mirror/layout.ts';
import { acquireSyncLock } from '../../src/mirror/locks/acquire-lock.ts';
import { DEFAULT_LOCK } from '../../src/mirror/settings/policy.ts';
import { currentJson, wrongCurrentJson } from '../support/current-json.ts';
import { expectFailure } from '../support/expect-failure.ts';
import { runForJson, runProgram, startProcess, transcript } from '../support/program.ts';
import { launcher } from '../support/project.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { mirrorsWith, type SmallMirror, smallMirror } from '../support/small-mirror.ts';
import { describeTree, difference, type Tree } from '../support/tree.ts';

const twoSnapshots = mirrorsWith('first', 'second');

describe('ROOT/current.json', () => {
  test('names what each publication and each rollback makes current', async () => {
    const mirror = smallMirror();
    await mirror.publish('first', { file: 'first' });
    expect(currentJson(mirror.root)).toEqual({
      format: 1,
      id: 'first',
      path: 'snapshots/first/',
      previous: null,
      publishedAt: publicationOf(mirror, 'first'),
    });
    await mirror.publish('second', { file: 'second' });
    expect(currentJson(mirror.root)).toMatchObject({ id: 'second', previous: 'first' });
    await runForJson(['rollback', mirror.root]);
    expect(currentJson(mirror.root)).toEqual({
      format: 1,
      id: 'first',
      path: 'snapshots/first/',
      previous: 'second',
      publishedAt: publicationOf(mirror, 'first'),
    });
    expect(wrongCurrentJson(mirror.root)).toEqual([]);
  });

  test('is readable by everybody, whatever the umask', async () => {
    const mirror = smallMirror();
    const words = [launcher, 'sync', mirror.source, mirror.root];
    const script = 'umask 077; exec "$@"';
    const result = await startProcess(['sh', '-c', script, 'sh', ...words]).result;
    expect(result.exitCode, transcript(result)).toBe(0);
    expect(wrongCurrentJson(mirror.root)).toEqual([]);
  });

  test.each(['sync', 'prune'])(
    'is made by the next %s of a mirror that an earlier version kept, to which status has no objection',
    async (command) => {
      const mirror = await twoSnapshots();
      const before = currentJson(mirror.root);
      rmSync(join(mirror.root, 'current.json'));
      await runForJson(['status', mirror.root]);
      const { recovered } = await runForJson([command, mirror.root]);
      expect(recovered ?? []).toEqual([]);
      expect(currentJson(mirror.root)).toEqual(before);
    },
  );

  test('is not written again by a sync with nothing to publish', async () => {
    const mirror = await twoSnapshots();
    const { ino } = lstatSync(join(mirror.root, 'current.json'));
    expect(await mirror.sync()).toMatchObject({ outcome: 'unchanged' });
    expect(lstatSync(join(mirror.root, 'current.json')).ino).toBe(ino);
  });

  test('follows a person who points current elsewhere, from the next command on', async () => {
    const mirror = await twoSnapshots();
    rmSync(join(mirror.root, 'current'));
    symlinkSync('snapshots/first', join(mirror.root, 'current'));
    await runForJson(['prune', mirror.root]);
    expect(currentJson(mirror.root)).toEqual({
      format: 1,
      id: 'first',
      path: 'snapshots/first/',
      previous: null,
      publishedAt: publicationOf(mirror, 'first'),
    });
  });

  test('is not in an in-place mirror', async () => {
    const mirror = smallMirror();
    await runForJson(['init', '--in-place', mirror.root]);
    await mirror.sync();
    await runForJson(['sync', mirror.root]);
    expect(existsSync(join(mirror.root, 'current.json'))).toBe(false);
  });

  test('comes with an adoption and goes with it', async () => {
    const home = scratchDirectory();
    const directory = join(home, 'known');
    mkdirSync(directory);
    writeFileSync(join(directory, 'file'), 'content');
    await runForJson(['init', '--adopt', directory]);
    const root = `${directory}.mirror`;
    expect(currentJson(root)).toMatchObject({ previous: null });
    expect(wrongCurrentJson(root)).toEqual([]);
    await runForJson(['init', '--unadopt', directory]);
    expect(currentJson(root)).toBeUndefined();
  });
});

/** What a person may have put in the place of `current.json`. */
const FOREIGN: readonly { what: string; make: (path: string) => void }[] = [
  { what: 'a file', make: (path) => writeFileSync(path, '{"version":"1.2.3"}\n') },
  { what: 'an empty file', make: (path) => writeFileSync(path, '') },
  { what: 'a large file', make: (path) => writeFileSync(path, Buffer.alloc(10_000, 32)) },
  { what: 'a directory', make: (path) => mkdirSync(path) },
  { what: 'a symlink', make: (path) => symlinkSync('elsewhere', path) },
  { what: 'a fifo', make: (path) => void execFileSync('mkfifo', [path]) },
];

describe('I12: what a person has put at ROOT/current.json', () => {
  test.each(FOREIGN)('is left alone, with a warning, if it is $what', async ({ make }) => {
    const mirror = await twoSnapshots();
    const path = join(mirror.root, 'current.json');
    renameSync(path, join(mirror.root, 'elsewhere'));
    make(path);
    const before = placed(mirror);
    mirror.change({ file: 'third' });
    const result = await runProgram(['sync', mirror.root, '--id', 'third']);
    expect(result.exitCode, transcript(result)).toBe(0);
    expect(result.stderr).toMatch(
      /warning: \S+\/current\.json was not made by mirrorlatch and is left alone,.*mv -T \S+\/current\.json \S+\/current\.json\.old/,
    );
    expect(mirror.linked('current')).toBe('third');
    expect(difference(before, placed(mirror))).toEqual([]);
  });

  test('is named by --unadopt among what would be lost with the mirror', async () => {
    const home = scratchDirectory();
    const directory = join(home, 'known');
    mkdirSync(directory);
    await runForJson(['init', '--adopt', directory]);
    const path = join(`${directory}.mirror`, 'current.json');
    writeFileSync(path, 'a note\n');
    const { others } = await runForJson(['init', '--unadopt', directory]);
    expect(others).toEqual([path]);
    expect(readFileSync(path, 'utf8')).toBe('a note\n');
  });

  test('keeps init from making a mirror there', async () => {
    const root = scratchDirectory();
    writeFileSync(join(root, 'current.json'), 'a note\n');
    const result = await runProgram(['init', root]);
    expectFailure(result, 78, /is not empty: it holds "current\.json"/, /Move these away/);
    expect(existsSync(join(root, '.mirrorlatch'))).toBe(false);
  });
});

test('I4: a process that has lost the lock neither writes nor removes current.json', async () => {
  const mirror = await twoSnapshots();
  const layout = layoutOf(mirror.root);
  const before = readFileSync(layout.currentJson, 'utf8');
  const lock = await acquireSyncLock(layout, { command: 'sync', ...DEFAULT_LOCK });
  try {
    const [token = ''] = execFileSync('ls', [layout.lockDirectory], { encoding: 'utf8' }).split(
      '\n',
    );
    renameSync(join(layout.lockDirectory, token), join(mirror.home, 'taken'));
    const lost = expect.objectContaining({ code: 'LOCK_LOST' });
    expect(() => lock.placeFile(layout.currentJson, 'late')).toThrow(lost);
    expect(() => lock.removeFile(layout.currentJson)).toThrow(lost);
  } finally {
    await lock.release();
  }
  expect(readFileSync(layout.currentJson, 'utf8')).toBe(before);
});

test('a current.json of another format is none of ours', () => {
  const ours = { format: 1, id: 'a', path: 'snapshots/a/', previous: null, publishedAt: 'now' };
  expect(parseCurrentJson(JSON.stringify(ours))).toEqual(ours);
  for (const other of [{ ...ours, format: 2 }, { ...ours, previous: undefined }, [ours], 'a', null])
    expect(parseCurrentJson(JSON.stringify(other))).toBeUndefined();
  expect(parseCurrentJson('{"format":1')).toBeUndefined();
});

/** When a snapshot was published, by the history. */
function publicationOf(mirror: SmallMirror, id: string): unknown {
  const found = mirror.history().find((line) => line['event'] === 'published' && line['id'] === id);
  return found?.['at'];
}

/** What a test has put into ROOT. */
function placed({ root }: SmallMirror): Tree {
  const leaveOut = (path: string) => !['.', 'current.json', 'elsewhere'].includes(path);
  const found = describeTree(root, { leaveOut });
  return new Map([...found].filter(([path]) => path !== '.'));
}
