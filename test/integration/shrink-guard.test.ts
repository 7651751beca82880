import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { describe, expect, onTestFinished, test } from 'vitest';
import { expectFailure } from '../support/expect-failure.ts';
import { inPlaceMirror } from '../support/in-place-mirror.ts';
import { makeLoopFilesystem, whyNoLoopFilesystem } from '../support/loop-filesystem.ts';
import { runForJson, runProgram, transcript } from '../support/program.ts';
import { copiesOf, type Files, type SmallMirror, smallMirror } from '../support/small-mirror.ts';
import { afterTransfer, atTransfer, standInFor } from '../support/stand-in.ts';

const tenNames = Array.from({ length: 10 }, (_, index) => `file-${index}`);
const tenBytes = '0123456789';
const tenFiles: Files = {
  file: null,
  below: null,
  ...Object.fromEntries(tenNames.map((name) => [name, tenBytes])),
};

/** Mirrors of ten files with ten bytes each. */
const withTenFiles = copiesOf((mirror) => mirror.publish('first', tenFiles));

test.for([['--keep-last', '3'], ['--in-place']])(
  'a first sync of an empty source publishes nothing, unless that is allowed (%s)',
  async (mode) => {
    const { home, root, source } = smallMirror();
    rmSync(source, { recursive: true, force: true });
    mkdirSync(source);
    await runForJson(['init', root, ...mode, '--source', source]);
    const refused = await runProgram(['sync', source, root]);
    expectFailure(refused, 65, /the source is empty; nothing was published/, /--allow-shrink/);
    expect(existsSync(join(root, 'current')), home).toBe(false);
    const allowed = await runProgram(['sync', source, root, '--allow-shrink']);
    expect(allowed.exitCode, transcript(allowed)).toBe(0);
  },
);

test('I8: a source that has lost more than 30 % of its files is refused with 65, and nothing is published', async () => {
  const mirror = await withTenFiles();
  mirror.change(gone(['file-0', 'file-1', 'file-2', 'file-3']));
  const result = await runProgram(['sync', mirror.root]);
  expectFailure(
    result,
    65,
    /the source has shrunk: 40\.0 % of the files and 40\.0 % of the bytes would vanish/,
    /more than the 30 % allowed/,
    /--allow-shrink/,
  );
  unchanged(mirror);
});

test('by default exactly 30 % may be lost', async () => {
  const mirror = await withTenFiles();
  mirror.change(gone(['file-0', 'file-1', 'file-2']));
  expect(await mirror.sync()).toMatchObject({ outcome: 'published', plan: { deletedFiles: 3 } });
});

test('--max-shrink sets the share for one sync, init for all of them', async () => {
  const mirror = await withTenFiles();
  mirror.change(gone(['file-0', 'file-1']));
  expectFailure(await runProgram(['sync', mirror.root, '--max-shrink', '10']), 65, /10 % allowed/);
  await runForJson(['init', mirror.root, '--max-shrink', '15%']);
  expectFailure(await runProgram(['sync', mirror.root]), 65, /15 % allowed/);
  await mirror.sync('--max-shrink', '20');
  expect(existsSync(join(mirror.root, 'current', 'file-0'))).toBe(false);
});

test('bytes count as well as files: one big file of ten is refused', async () => {
  const mirror = smallMirror();
  await mirror.publish('first', { ...tenFiles, 'file-9': 'x'.repeat(10_000) });
  mirror.change(gone(['file-9']));
  expectFailure(
    await runProgram(['sync', mirror.root]),
    65,
    /10\.0 % of the files and 99\.1 % of the bytes/,
  );
  unchanged(mirror);
});

test('truncated files count by their bytes, although none is gone', async () => {
  const mirror = await withTenFiles();
  mirror.change(Object.fromEntries(tenNames.slice(0, 5).map((name) => [name, ''])));
  expectFailure(await runProgram(['sync', mirror.root]), 65, /0\.0 % of the files and 50\.0 % of/);
  unchanged(mirror);
});

test('renamed files count as lost files, but not as lost bytes', async () => {
  const mirror = await withTenFiles();
  const moved = tenNames.slice(0, 5);
  mirror.change({
    ...gone(moved),
    ...Object.fromEntries(moved.map((name) => [`renamed-${name}`, tenBytes])),
  });
  // Five of ten names go, and a guard cannot know that they are the same files.
  expectFailure(await runProgram(['sync', mirror.root]), 65, /50\.0 % of the files/);
  await mirror.sync('--max-shrink', '50');
});

test('a renamed directory is no loss, also if it holds everything', async () => {
  const mirror = smallMirror();
  const files = (top: string) =>
    Object.fromEntries(tenNames.map((name) => [`${top}/pool/${name}`, tenBytes]));
  await mirror.publish('first', { file: null, below: null, ...files('2025') });
  mirror.change({ 2025: null, ...files('2026') });
  expect(await mirror.sync()).toMatchObject({ outcome: 'published', plan: { deletedFiles: 10 } });
});

describe('for a directory', () => {
  /** 100 files in `pool`, ten in `dísts`, of ten bytes each; `up/pool` is another path of `pool`. */
  const withTwoParts = copiesOf((mirror) => {
    symlinkSync('.', join(mirror.source, 'up'));
    return mirror.publish('first', {
      file: null,
      below: null,
      ...Object.fromEntries(tenNames.map((name) => [`dísts/${name}`, tenBytes])),
      ...Object.fromEntries(
        Array.from({ length: 100 }, (_, at) => [`pool/${at}`, tenBytes] as const),
      ),
    });
  });
  const emptyDists = { dísts: null, 'dísts/file-0': tenBytes };
  const refusal =
    /"dísts" in the source has shrunk: 90\.0 % of its 10 files and 90\.0 % of its 100 B would vanish, more than the 50 % allowed there/;

  test('--max-shrink DIR=PERCENT refuses what is little for the whole, once or remembered', async () => {
    const mirror = await withTwoParts();
    mirror.change(emptyDists);
    const once = ['sync', mirror.root, '--max-shrink', 'dísts/=50', '--max-shrink', 'pool=10%'];
    expectFailure(await runProgram(once), 65, refusal);
    await runForJson(['init', mirror.root, '--max-shrink', '20', '--max-shrink', 'dísts=50']);
    expect(mirror.settings()).toMatchObject({
      maxShrinkPercent: 20,
      maxShrinkPercentIn: { dísts: 50 },
    });
    const result = await runProgram(['sync', mirror.root, '--json']);
    expect(result.exitCode, transcript(result)).toBe(65);
    expect(result.json()).toMatchObject({
      error: { shrinkage: { files: 0.9, bytes: 0.9, directory: 'dísts' } },
    });
    const dry = await runForJson(['sync', mirror.root, '--dry-run']);
    expect(dry['refusal']).toMatch(refusal);
    expect(mirror.snapshots()).toEqual(['first']);

    await mirror.sync('--max-shrink', 'dísts=90');
    mirror.change({ 'pool/1': null });
    expect(await mirror.sync(), 'what loses nothing is not asked').toMatchObject({
      outcome: 'published',
    });
  });

  test('files that shrink count, and so does what moves out of it', async () => {
    const mirror = await withTwoParts();
    const limit = ['--max-shrink', 'dísts=50'];
    mirror.change(Object.fromEntries(tenNames.slice(0, 6).map((name) => [`dísts/${name}`, ''])));
    const truncated = await runProgram(['sync', mirror.root, ...limit]);
    expectFailure(truncated, 65, /0\.0 % of its 10 files and 60\.0 % of its 100 B/);
    mirror.change({
      dísts: null,
      ...Object.fromEntries(tenNames.map((name) => [`elsewhere/${name}`, tenBytes])),
    });
    const moved = await runProgram(['sync', mirror.root, ...limit]);
    expectFailure(moved, 65, /100\.0 % of its 10 files/);
    await mirror.sync();
  });

  test('the guard also works in place and for the tree of a command', async () => {
    const mirror = await withTwoParts();
    const words = ['lock', mirror.root, '--max-shrink', 'dísts=50'];
    const command = ['sh', '-c', 'cd "$MIRRORLATCH_STAGING/dísts" && rm file-[0-8]'];
    expectFailure(
      await runProgram([...words, '--', ...command]),
      125,
      /"dísts" in the tree has shrunk: 90\.0 %/,
    );
    const root = join(mirror.home, 'in-place');
    await runForJson(['init', root, '--in-place', '--source', mirror.source]);
    await runForJson(['sync', root]);
    mirror.change(emptyDists);
    expectFailure(await runProgram(['sync', root, '--max-shrink', 'dísts=50']), 65, refusal);
    expect(existsSync(join(root, 'current', 'dísts', 'file-8'))).toBe(true);

    await runForJson(['init', root, '--max-shrink', 'dísts=50', '--max-shrink', 'pool=1']);
    const lost = /"dísts" in the tree has shrunk: 90\.0 % of its 10 files/;
    expectFailure(await runProgram(['lock', root, '--', ...command]), 125, lost);
    const again = await runProgram(['lock', root, '--', 'true']);
    expectFailure(again, 125, lost, /lock \S+ --allow-shrink -- true/);
    const told = await runProgram(['lock', root, '--allow-shrink', '--', 'true']);
    expect(told.exitCode, transcript(told)).toBe(0);
  });

  test('limits are added to those that are remembered, shown, and dropped by 100', async () => {
    const mirror = await withTwoParts();
    const init = (...limits: string[]) =>
      runProgram(['init', mirror.root, ...limits.flatMap((limit) => ['--max-shrink', limit])]);
    await init('pool=5', 'dísts=7');
    const added = await init('dísts=9', 'constructor=3', 'up/pool=3', '20');
    expect(added.stdout).toMatch(
      'at most 20 % of the files or bytes may vanish; in pool, 5 %; in dísts, 9 %; in constructor, 3 %; in up/pool, 3 %',
    );
    expect(added.stderr).toMatch(/--max-shrink 'constructor=3' guards nothing: there is no such/);
    expect(added.stderr).toMatch(/--max-shrink 'up\/pool=3' guards nothing/);
    expect(added.stderr).not.toMatch(/dísts=9/);
    expect((await runProgram(['status', mirror.root])).stdout).toMatch('in dísts, 9 %');
    const synced = await runProgram(['sync', mirror.root]);
    expect(synced.exitCode, transcript(synced)).toBe(0);
    expect(synced.stderr).toMatch(/--max-shrink 'constructor=3' guards nothing/);
    mirror.change({ 'pool/new': 'new' });
    await mirror.sync();
    await init('constructor=100', 'pool=100', 'up/pool=100');
    expect(mirror.settings()).toMatchObject({ maxShrinkPercentIn: { dísts: 9 } });
  });

  test('a directory that no path in the mirror can have is refused', async () => {
    const mirror = await withTwoParts();
    for (const value of [
      '=5',
      '/=5',
      'a/../b=5',
      'dísts=',
      'dísts=101',
      './dísts=5',
      '__proto__=5',
    ]) {
      const result = await runProgram(['sync', mirror.root, '--max-shrink', value]);
      expect(result.exitCode, transcript(result)).toBe(64);
    }
  });
});

test('an empty source, as of an unmounted disk, is refused even with --max-shrink 100', async () => {
  const mirror = await withTenFiles();
  mirror.change(gone(tenNames));
  for (const options of [[], ['--max-shrink', '100']]) {
    expectFailure(
      await runProgram(['sync', mirror.root, ...options]),
      65,
      /the source has no file left, the mirror has 10/,
    );
  }
  unchanged(mirror);
});

test('--allow-shrink publishes any loss, even of everything', async () => {
  const mirror = await withTenFiles();
  mirror.change(gone(tenNames));
  expect(await mirror.sync('--allow-shrink')).toMatchObject({
    outcome: 'published',
    plan: { deletedFiles: 10, source: { files: 0 } },
  });
  expect(existsSync(join(mirror.root, 'current', 'file-0'))).toBe(false);
  mirror.change({ 'file-0': 'back' });
  expect(await mirror.sync(), 'from nothing there is nothing to lose').toMatchObject({
    outcome: 'published',
  });
});

test.for(['link-dest', 'copy'])('the guard also works with --strategy %s', async (strategy) => {
  const mirror = await withTenFiles();
  mirror.change(gone(tenNames.slice(0, 9)));
  expectFailure(await runProgram(['sync', mirror.root, '--strategy', strategy]), 65, /90\.0 %/);
  unchanged(mirror);
});

test.for(['plan', 'link-dest', 'link-dest --without settle'])(
  'I8: a source that shrinks after it has been planned is refused, too, with --strategy %s',
  async (strategy) => {
    const mirror = await withTenFiles();
    mirror.change({ 'file-0': 'changed' });
    const shrinks = atTransfer(`rm -f '${mirror.source}'/file-[0-5]`);
    const PATH = standInFor('rsync', join(mirror.home, 'programs'), shrinks);
    const words = ['sync', mirror.root, '--strategy', ...strategy.split(' '), '--retry-delay', '0'];
    expectFailure(await runProgram(words, { env: { PATH } }), 65, /60\.0 % of the files/);
    unchanged(mirror);
  },
);

test('what only an earlier sync took, by --without, counts as lost, and the option is named as a cause', async () => {
  const mirror = smallMirror();
  for (const name of ['1', '2', '3']) symlinkSync('/etc/a/long/name', join(mirror.source, name));
  await mirror.sync('--without', 'safe-links');
  const plain = await runProgram(['sync', mirror.root]);
  expectFailure(
    plain,
    65,
    /shrunk, or other options of rsync leave more of it out: .* of the bytes/,
  );
  const same = await runProgram(['sync', mirror.root, '--without', 'safe-links']);
  expect(same.exitCode, transcript(same)).toBe(0);
});

test('options that leave nothing out are no cause of a loss', async () => {
  const mirror = await withTenFiles();
  for (const name of [0, 1, 2, 3, 4]) mirror.change({ [`file-${name}`]: null });
  const options = ['--bwlimit=100', '-z', '--no-perms', '--timeout', '60'];
  expectFailure(
    await runProgram(['sync', mirror.root, '--', ...options]),
    65,
    /the source has shrunk: 50\.0 % of the files/,
    /See what would be deleted with --dry-run/,
  );
});

test('files that a new option excludes count as lost', async () => {
  const mirror = await withTenFiles();
  const result = await runProgram(['sync', mirror.root, '--', '--exclude=file-[0-4]']);
  expectFailure(
    result,
    65,
    /the source has shrunk, or other options of rsync leave more of it out: 50\.0 % of the files/,
    /The options differ from those of the last publication/,
  );
  unchanged(mirror);
});

test('with --without delete nothing is lost, because removed files stay', async () => {
  const mirror = await withTenFiles();
  mirror.change(gone(tenNames));
  await mirror.sync('--without', 'delete');
  expect(readFileSync(join(mirror.root, 'current', 'file-0'), 'utf8')).toBe(tenBytes);
});

test('with --json the error has the shares as numbers', async () => {
  const mirror = await withTenFiles();
  mirror.change(gone(tenNames.slice(0, 4)));
  const result = await runProgram(['sync', mirror.root, '--json']);
  expect(result.exitCode, transcript(result)).toBe(65);
  expect(result.json()).toMatchObject({
    error: { code: 'SHRUNKEN_SOURCE', exitCode: 65, shrinkage: { files: 0.4, bytes: 0.4 } },
  });
});

test('a refused sync is reported by status, and the next good one succeeds', async () => {
  const mirror = await withTenFiles();
  mirror.change(gone(tenNames.slice(0, 4)));
  expect((await runProgram(['sync', mirror.root])).exitCode).toBe(65);
  expect((await runProgram(['status', mirror.root])).stdout).toMatch(/^last +failed, .* shrunk/m);
  mirror.change(Object.fromEntries(tenNames.map((name) => [name, tenBytes])));
  expect((await runProgram(['sync', mirror.root])).exitCode).toBe(0);
  expect((await runProgram(['status', mirror.root])).exitCode).toBe(0);
});

function gone(names: readonly string[]): Files {
  return Object.fromEntries(names.map((name) => [name, null]));
}

function unchanged(mirror: SmallMirror): void {
  expect(mirror.snapshots()).toEqual(['first']);
  expect(mirror.linked('current')).toBe('first');
  expect(readFileSync(join(mirror.root, 'current', 'file-0'), 'utf8')).toBe(tenBytes);
}

test('a tree that no sync has counted is counted: it was adopted, or its line of history is lost', async () => {
  const mirror = smallMirror();
  const large = { large: Buffer.alloc(100_000, 'x') };
  mirror.change({ ...large, ...Object.fromEntries(tenNames.map((name) => [name, name])) });
  const tree = join(mirror.home, 'tree');
  await execa('cp', ['-a', mirror.source, tree]);
  await runForJson(['init', '--adopt', tree, '--source', mirror.source]);
  await mirror.publish('first', {});
  rmSync(mirror.state('history.jsonl'));
  mirror.change({ large: null });
  for (const root of [`${tree}.mirror`, mirror.root]) {
    const refused = await runProgram(['sync', root]);
    expectFailure(refused, 65, /99\.\d % of the bytes would vanish/);
  }
});

test('what was seen through a link, in whose place there is a directory now, is not lost', async () => {
  const { source, root, change, sync } = smallMirror();
  change(Object.fromEntries(tenNames.map((name) => [`first/${name}`, name])));
  symlinkSync('first', join(source, 'latest'));
  await sync();
  rmSync(join(source, 'latest'));
  mkdirSync(join(source, 'latest'));
  for (const name of tenNames) symlinkSync(`../first/${name}`, join(source, 'latest', name));
  const plan = await runForJson(['sync', root, '--dry-run']);
  expect(plan).toMatchObject({ plan: { deletedFiles: 0 }, refusal: null });
  expect(await sync()).toMatchObject({ outcome: 'published' });
});

test('a file that something else replaces in place is lost, also to a directory that was adopted', async () => {
  const { home, source, change } = smallMirror();
  change(tenFiles);
  const directory = join(home, 'known');
  cpSync(source, directory, { recursive: true, preserveTimestamps: true });
  await runForJson(['init', '--adopt', directory, '--in-place', '--source', source]);
  for (const name of tenNames.slice(0, 4)) {
    rmSync(join(source, name));
    symlinkSync('file-9', join(source, name));
  }
  const refused = await runProgram(['sync', `${directory}.mirror`]);
  expectFailure(refused, 65, /the source has shrunk: 40\.0 % of the files/);
});

/** A mirror in place of ten files below `below`, and of what its rules keep. */
async function inPlace(...words: string[]) {
  const { home, source, change, root } = smallMirror();
  const below = (names: readonly string[], content: string | null): void =>
    change(Object.fromEntries(names.map((name) => [`below/${name}`, content])));
  change({ file: null, below: null });
  below(tenNames, tenBytes);
  await runForJson(['init', root, '--in-place', '--source', source, ...words]);
  await runForJson(['sync', root]);
  const failing = { env: { PATH: standInFor('rsync', join(home, 'failing'), FAILS) } };
  return { root, below, change, tree: join(root, 'gate/live'), failing };
}

/** Each transfer does its work, and then fails. */
const FAILS = afterTransfer('exit 30');

test.for([
  ['the whole', [], /the source has shrunk: 40\.0 % of the files/],
  ['a directory', ['100', 'below=30'], /"below" in the source has shrunk: 40\.0 % of its 10 files/],
] as const)(
  'I8: syncs in place that fail one after the other take no more from %s than one may, after a lock and with rules, too',
  async ([, limits, message]) => {
    const limit = limits.flatMap((limit) => ['--max-shrink', limit]);
    const rules = ['--', '--exclude=/local/', '--filter=P /local/***'];
    const { root, below, tree, failing } = await inPlace(...limit, ...rules);
    const made = await runProgram(['lock', root, '--', 'touch', `${tree}/below/file-9`]);
    expect(made.exitCode, transcript(made)).toBe(0);
    below(tenNames.slice(0, 2), null);
    const failed = await runProgram(['sync', root, '--retries', '0'], failing);
    expectFailure(failed, 69, /rsync exit 30/);
    expect(readdirSync(join(tree, 'below'))).toHaveLength(8);
    below(tenNames.slice(2, 4), null);
    expect(await runForJson(['sync', root, '--dry-run'])).toMatchObject({
      refusal: expect.stringMatching(message),
    });
    expectFailure(await runProgram(['sync', root]), 65, message);
    below(tenNames.slice(2, 3), tenBytes);
    expect(await runForJson(['sync', root])).toMatchObject({ outcome: 'published' });
    below(tenNames.slice(2, 4), null);
    expect(await runForJson(['sync', root])).toMatchObject({ outcome: 'published' });
  },
);

test('I8: a lock in place is measured by what the tree had before it, not by what a sync counted', async () => {
  const { root, tree } = await inPlace('--', '--filter=P /kept/');
  mkdirSync(join(tree, 'kept'));
  for (const name of tenNames) writeFileSync(join(tree, 'kept', name), tenBytes);
  const lock = (script: string) =>
    runProgram(['lock', root, '--', 'sh', '-c', `cd "\${MIRRORLATCH_STAGING:?}" && ${script}`]);
  expectFailure(await lock('rm below/*'), 125, /50\.0 % of the files/);
  await runForJson(['sync', root]);
  rmSync(join(tree, 'kept'), { recursive: true });
  expect((await lock('touch below/file-1')).exitCode).toBe(0);
});

test('I8: what rules keep in place may grow and shrink after a sync that failed', async () => {
  const { root, below, tree, failing, change } = await inPlace('--', '--filter=P /kept/');
  mkdirSync(join(tree, 'kept'));
  const keep = (names: readonly string[]): void => {
    for (const name of names) writeFileSync(join(tree, 'kept', name), tenBytes);
  };
  keep(tenNames);
  below(['new'], tenBytes);
  const once = ['sync', root, '--retries', '0'];
  expectFailure(await runProgram(once, failing), 69);
  rmSync(join(tree, 'kept'), { recursive: true });
  change({ 'below/newer': tenBytes });
  expectFailure(await runProgram(once, failing), 69);
  mkdirSync(join(tree, 'kept'));
  keep([...tenNames, ...tenNames.map((name) => `more ${name}`)]);
  below([...tenNames, 'new', 'newer'], null);
  expectFailure(await runProgram(['sync', root]), 65);
});

test('what other options keep in place after a sync that failed is not lost', async () => {
  const { root, below, failing } = await inPlace();
  below(['new'], tenBytes);
  expectFailure(await runProgram(['sync', root, '--retries', '0'], failing), 69);
  const kept = ['--', '--filter=P file-[0-6]', '--exclude=file-[0-6]'];
  expect(await runForJson(['sync', root, ...kept])).toMatchObject({ plan: { deletedFiles: 0 } });
});

test('what a killed rsync has left in a directory of a tree in place is no part of its size', async () => {
  const { root, below, tree, failing } = await inPlace();
  mkdirSync(join(tree, 'below/.~tmp~'));
  for (const name of tenNames) writeFileSync(join(tree, 'below/.~tmp~', name), tenBytes);
  const limit = ['--max-shrink', 'below=20'];
  below(['new'], tenBytes);
  const failed = await runProgram(['sync', root, ...limit, '--retries', '0'], failing);
  expectFailure(failed, 69);
  expect(readdirSync(join(tree, 'below'))).not.toContain('.~tmp~');
  expect(await runForJson(['sync', root, ...limit])).toMatchObject({ outcome: 'published' });
});

test('what an option newly leaves out counts as lost in place, although rsync does not tell its size', async () => {
  const { root, change } = await inPlace();
  change({ big: 'x'.repeat(100), other: 'y'.repeat(100) });
  await runForJson(['sync', root]);
  const refused = await runProgram(['sync', root, '--', '--max-size=50']);
  expectFailure(refused, 65, /66\.7 % of the bytes/);
});

test('what rules keep in place is not lost after a lock that failed, although history counts it where rsync tells no size', async () => {
  const { root, tree } = await inPlace('--', '--filter=P /kept/', '--no-links');
  mkdirSync(join(tree, 'kept'));
  for (const name of tenNames) writeFileSync(join(tree, 'kept', name), tenBytes);
  const { source } = await runForJson(['status', root]);
  symlinkSync('file', join(String(source), 'link'));
  await runForJson(['sync', root]);
  expectFailure(await runProgram(['lock', root, '--', 'false']), 1);
  expect(await runForJson(['sync', root])).toMatchObject({ outcome: 'published' });
});

test('I8: the first sync of an adopted tree in place does not count what its options leave out for what there was', async () => {
  const { home, source, change } = smallMirror();
  change({ ...tenFiles, big: 'x'.repeat(1_000) });
  const directory = join(home, 'known');
  cpSync(source, directory, { recursive: true, preserveTimestamps: true });
  change({ big: null, 'never mirrored': 'x'.repeat(100_000) });
  const options = ['--source', source, '--', '--max-size=5k'];
  await runForJson(['init', '--adopt', directory, '--in-place', ...options]);
  const refused = await runProgram(['sync', `${directory}.mirror`]);
  expectFailure(refused, 65, /90\.9 % of the bytes/);
});

test('I8: a loss is no smaller because the options change after a sync in place that failed', async () => {
  const { root, below, failing } = await inPlace();
  below(tenNames.slice(0, 2), null);
  expectFailure(await runProgram(['sync', root, '--retries', '0'], failing), 69);
  below(tenNames.slice(2, 4), null);
  const refused = await runProgram(['sync', root, '--', '--exclude=*.tmp']);
  expectFailure(refused, 65, /40\.0 % of the files/);
});

test.skipIf(whyNoLoopFilesystem !== '')(
  `I8: what lies in a Btrfs subvolume of a tree in place counts${whyNoLoopFilesystem}`,
  async () => {
    const { path, remove } = await makeLoopFilesystem('btrfs');
    onTestFinished(remove);
    const directory = join(path, 'known');
    const root = `${directory}.mirror`;
    const mirror = smallMirror({ root });
    const { source, change } = mirror;
    change({ ...tenFiles, file: 'outside' });
    const pool = (names: readonly string[], content: string | null): void =>
      change(Object.fromEntries(names.map((name) => [`pool/${name}`, content])));
    pool(tenNames, tenBytes);
    mkdirSync(directory);
    await execa('btrfs', ['--quiet', 'subvolume', 'create', join(directory, 'pool')]);
    cpSync(source, directory, { recursive: true, preserveTimestamps: true });
    await runForJson(['init', '--adopt', directory, '--in-place', '--source', source]);
    await runForJson(['sync', root]);
    pool(tenNames.slice(0, 2), null);
    expect(await runForJson(['sync', root])).toMatchObject({ plan: { deletedFiles: 2 } });
    pool(tenNames, null);
    const limit = ['--max-shrink', '100', '--max-shrink', 'pool=50'];
    expectFailure(
      await runProgram(['sync', root, ...limit]),
      65,
      /"pool" in the source has shrunk/,
    );
    expectFailure(await runProgram(['sync', root]), 65, /42\.1 % of the files/);
    // What a killed sync has left there is found, too.
    mkdirSync(join(directory, 'pool/.~tmp~'));
    inPlaceMirror(mirror).rewrite({ state: 'dirty', by: 'sync' });
    await runForJson(['gate', 'open', '--clean', root]);
    expect(existsSync(join(directory, 'pool/.~tmp~'))).toBe(false);
  },
);
