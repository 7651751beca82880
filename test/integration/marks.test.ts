import { existsSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execaSync } from 'execa';
import { describe, expect, test } from 'vitest';
import { expectFailure } from '../support/expect-failure.ts';
import { mirrorsInPlace } from '../support/in-place-mirror.ts';
import { runForJson, runProgram, startProgram, transcript } from '../support/program.ts';
import { launcher } from '../support/project.ts';
import { mirrorsWith, type SmallMirror } from '../support/small-mirror.ts';
import { standInFor } from '../support/stand-in.ts';

/** `d` is current and `c` is previous. */
const fourSnapshots = mirrorsWith('a', 'b', 'c', 'd');

const inPlace = mirrorsInPlace();

const LEAST = ['--keep-last', '1', '--grace', '0'];

const prune = (mirror: SmallMirror, ...more: readonly string[]) =>
  runForJson(['prune', mirror.root, ...LEAST, ...more]);

const marks = (mirror: SmallMirror): unknown =>
  JSON.parse(readFileSync(mirror.state('marks.json'), 'utf8')).snapshots;

async function ok(...words: string[]): Promise<string> {
  const result = await runProgram(words);
  expect(result.exitCode, transcript(result)).toBe(0);
  return result.stdout;
}

describe('a pin', () => {
  test('keeps its snapshot until it is taken away, and is shown with its reason', async () => {
    const mirror = await fourSnapshots();
    expect(await ok('pin', mirror.root, 'a', '--reason', 'of the release')).toMatch(
      /^a is pinned, and stays until it is unpinned\n$/,
    );
    const user = execaSync('id', ['-un']).stdout;
    expect(await prune(mirror, '--dry-run')).toMatchObject({
      removed: ['b'],
      snapshots: [
        {
          id: 'a',
          fate: 'keep',
          reasons: [`is pinned by ${user}: of the release`],
          pin: { by: user, reason: 'of the release' },
        },
        { id: 'b', fate: 'remove', reasons: [] },
        { id: 'c' },
        { id: 'd' },
      ],
    });
    expect(await prune(mirror)).toMatchObject({ removed: ['b'] });
    await mirror.publish('e', { file: 'e' }, ...LEAST);
    expect(mirror.snapshots()).toEqual(['a', 'd', 'e']);
    expect(await ok('list', mirror.root)).toMatch(/MARKS.*^a [^\n]* pinned /ms);
    const { snapshots } = await runForJson(['status', mirror.root]);
    expect(snapshots).toMatchObject([{ id: 'a', tags: [], pin: { by: user } }, {}, {}]);

    expect(await ok('unpin', mirror.root, 'a')).toMatch(/^a is not pinned/);
    expect(await prune(mirror)).toMatchObject({ removed: ['a'] });
    expect(marks(mirror)).toEqual({});
  });

  test('is of current by default, and of what a path leads to', async () => {
    const mirror = await fourSnapshots();
    expect(await runForJson(['pin', mirror.root])).toMatchObject({ id: 'd', tags: [] });
    const path = join(mirror.root, 'snapshots', 'b/');
    expect(await runForJson(['pin', mirror.root, path])).toMatchObject({ id: 'b' });
    await ok('pin', mirror.root, 'previous');
    expect(Object.keys(marks(mirror) as object).sort()).toEqual(['b', 'c', 'd']);
  });

  test('of what is not there is refused with 66, and names what is near', async () => {
    const mirror = await fourSnapshots();
    for (const id of ['20260101T030000Z', '20260202T030000Z'])
      await mirror.publish(id, { file: id });
    expectFailure(
      await runProgram(['pin', mirror.root, '20260101T030001Z']),
      66,
      /has no snapshot named "20260101T030001Z"/,
      /Near it are 20260101T030000Z, 20260202T030000Z, /,
      /mirrorlatch list /,
    );
    expectFailure(await runProgram(['unpin', mirror.root, '../mirror']), 66, /has no snapshot/);
    expectFailure(await runProgram(['pin', mirror.root, 'a', '--reason', ' ']), 64, /is empty/);
    expect(existsSync(mirror.state('marks.json'))).toBe(false);
  });

  test('does not wait for a writer', async () => {
    const mirror = await fourSnapshots();
    const inside = [launcher, 'pin', mirror.root, 'a'];
    await ok('lock', mirror.root, '--lock-only', '--', ...inside);
    expect(marks(mirror)).toHaveProperty('a');
  });

  test('is not had by an in-place mirror', async () => {
    const one = await inPlace();
    for (const words of [
      ['pin', one.root],
      ['tag', one.root, 'current', 'release'],
      ['sync', one.root, '--tag', 'release'],
      ['lock', one.root, '--tag', 'release', '--', 'true'],
    ]) {
      const result = await runProgram(words);
      expect([64, 125], transcript(result)).toContain(result.exitCode);
      expect(result.stderr).toMatch(/it has no snapshots|--tag cannot be used with an in-place/);
    }
    expect(existsSync(one.state('marks.json'))).toBe(false);
  });
});

describe('I5: no snapshot goes that was pinned in the same moment:', () => {
  /** A shell script for the moment in which prune takes the lease of `a`, as descriptor 3 of flock(1). */
  const atLease = (mirror: SmallMirror, script: string) => {
    const lease = mirror.state('leases', 'a');
    return `case "$*" in *--exclusive*) if [ /proc/self/fd/3 -ef '${lease}' ]; then
      PATH='${process.env['PATH']}'
      ${script}
    fi ;; esac`;
  };

  test('one that is pinned after prune has chosen it stays', async () => {
    const mirror = await fourSnapshots();
    const pin = `'${launcher}' pin '${mirror.root}' a --reason 'just in time' >/dev/null 3>&-`;
    const PATH = standInFor('flock', join(mirror.home, 'programs'), atLease(mirror, pin));
    const user = execaSync('id', ['-un']).stdout;
    const result = await runForJson(['prune', mirror.root, ...LEAST], { env: { PATH } });
    expect(result).toMatchObject({
      removed: ['b'],
      kept: expect.arrayContaining([
        { id: 'a', reasons: [`is pinned by ${user}: just in time`], readers: [] },
      ]),
    });
    expect(mirror.snapshots()).toContain('a');
    // The lease is as before, and can be taken.
    await ok('unpin', mirror.root, 'a');
  });

  test('one that is being removed cannot be pinned any more', async () => {
    const mirror = await fourSnapshots();
    const said = join(mirror.home, 'said');
    const pin = `"$program" "$@"; code=$?
      '${launcher}' pin '${mirror.root}' a >'${said}' 2>&1 3>&-; echo "exit $?" >>'${said}'
      exit $code`;
    const PATH = standInFor('flock', join(mirror.home, 'programs'), atLease(mirror, pin));
    await runForJson(['prune', mirror.root, ...LEAST], { env: { PATH } });
    expect(readFileSync(said, 'utf8')).toMatch(/has no snapshot named "a".*exit 66\n$/s);
    expect(mirror.snapshots()).toEqual(['c', 'd']);
    expect(existsSync(mirror.state('marks.json'))).toBe(false);
  });

  test('one that is about to be pinned is not removed meanwhile', async () => {
    const mirror = await fourSnapshots();
    const [held, told] = [join(mirror.home, 'held'), join(mirror.home, 'told')];
    // flock(1) takes the lock of the settings, as descriptor 3, when the lease is held already.
    const waits = `if [ /proc/self/fd/3 -ef '${mirror.state('settings.flock')}' ]; then
      : >'${held}'
      until [ -e '${told}' ]; do sleep 0.1; done
    fi`;
    writeFileSync(mirror.state('settings.flock'), '', { mode: 0o600 });
    const PATH = standInFor('flock', join(mirror.home, 'programs'), waits);
    const pinning = startProgram(['pin', mirror.root, 'a'], { env: { PATH } });
    await expect.poll(() => existsSync(held)).toBe(true);
    const pruned = await prune(mirror);
    writeFileSync(told, '');
    expect((await pinning.result).exitCode).toBe(0);
    expect(pruned).toMatchObject({ removed: ['b'] });
    expect(mirror.snapshots()).toEqual(['a', 'c', 'd']);
    expect(await prune(mirror)).toMatchObject({ removed: [] });
  });
});

describe('tags', () => {
  test('are given and taken, and --keep-tag keeps what has one', async () => {
    const mirror = await fourSnapshots();
    expect(await ok('tag', mirror.root, 'a', 'release', 'tested', 'release')).toBe(
      'a is tagged release, tested\n',
    );
    await ok('tag', mirror.root, 'b', 'tested');
    const kept = await prune(mirror, '--dry-run', '--keep-tag', 'release');
    expect(kept).toMatchObject({ removed: ['b'] });
    expect(kept['snapshots']).toMatchObject([
      { id: 'a', reasons: ['has the tag release'], tags: ['release', 'tested'] },
      { id: 'b', reasons: [], tags: ['tested'] },
      {},
      {},
    ]);
    expect(await ok('tag', mirror.root, 'a', '--remove', 'release')).toBe('a is tagged tested\n');
    expect(await prune(mirror, '--keep-tag', 'release')).toMatchObject({ removed: ['a', 'b'] });
    expectFailure(await runProgram(['tag', mirror.root, 'c']), 64, /no tag was given/);
    expectFailure(await runProgram(['tag', mirror.root, 'c', 'a b']), 64, /1 to 64 letters/);
    expect(marks(mirror)).toEqual({});
  });

  test('init remembers which are kept, and --no-keep-tag forgets them for once', async () => {
    const mirror = await fourSnapshots();
    const made = await ok('init', mirror.root, '--keep-tag', 'release', '--keep-tag', 'tested');
    expect(made).toMatch(
      /^it keeps the last 3 snapshots, those tagged release or tested and those that /m,
    );
    await ok('tag', mirror.root, 'a', 'tested');
    expect(await prune(mirror, '--dry-run')).toMatchObject({ removed: ['b'] });
    expect(await prune(mirror, '--no-keep-tag')).toMatchObject({ removed: ['a', 'b'] });
    expect(mirror.settings()).toMatchObject({ keepTags: ['release', 'tested'] });
  });

  test('of a sync go to the snapshot that it makes, or else to the current one', async () => {
    const mirror = await fourSnapshots();
    mirror.change({ file: 'e' });
    await mirror.sync('--id', 'e', '--tag', 'release', '--tag', 'tested');
    expect(marks(mirror)).toEqual({ e: { tags: ['release', 'tested'] } });
    expect(await mirror.sync('--id', 'f', '--tag', 'quiet')).toMatchObject({ id: 'e' });
    expect(marks(mirror)).toEqual({ e: { tags: ['release', 'tested', 'quiet'] } });
    await ok('lock', mirror.root, '--id', 'g', '--tag', 'by-hand', '--', 'sh', '-c', MAKES);
    expect(marks(mirror)).toMatchObject({ g: { tags: ['by-hand'] } });
  });

  test('are not those of an earlier snapshot of the same name', async () => {
    const mirror = await fourSnapshots();
    const pin = { by: 'alice', since: '2026-11-22T00:00:00.000Z' };
    const left = { format: 1, snapshots: { e: { tags: ['old'], pin }, f: { tags: ['old'] } } };
    writeFileSync(mirror.state('marks.json'), JSON.stringify(left));
    await mirror.publish('e', { file: 'e' }, '--tag', 'new', '--no-prune');
    expect(marks(mirror)).toEqual({ e: { tags: ['new'] }, f: { tags: ['old'] } });
    await mirror.publish('f', { file: 'f' }, '--no-prune');
    expect(marks(mirror)).toEqual({ e: { tags: ['new'] } });
  });
});

const MAKES = 'echo new >"$MIRRORLATCH_STAGING/made"';

describe('damaged marks', () => {
  test.each([
    ['are no JSON', 'pins'],
    ['have a wrong tag', JSON.stringify({ format: 1, snapshots: { a: { tags: ['a b'] } } })],
    ['are of another version', JSON.stringify({ format: 2, snapshots: {} })],
  ])('that %s keep everything from being pruned, and are reported', async (_, text) => {
    const mirror = await fourSnapshots();
    writeFileSync(mirror.state('marks.json'), text);
    const why = /marks\.json does not hold valid pins and tags, so nothing is pruned: /;
    for (const more of [['--dry-run'], []])
      expectFailure(await runProgram(['prune', mirror.root, ...LEAST, ...more]), 78, why);
    const result = await runProgram(['sync', mirror.root, '--id', 'e', ...LEAST]);
    expect(result.exitCode, transcript(result)).toBe(0);
    mirror.change({ file: 'e' });
    const synced = await runProgram(['sync', mirror.root, '--id', 'e', '--quiet', ...LEAST]);
    expect(synced.exitCode, transcript(synced)).toBe(0);
    expect(synced.stderr).toMatch(why);
    expect(mirror.snapshots()).toEqual(['a', 'b', 'c', 'd', 'e']);

    const status = await runProgram(['status', mirror.root]);
    expect(status.exitCode).toBe(69);
    expect(status.stdout).toMatch(
      /^why +its pins and tags are damaged, so that nothing is pruned$/m,
    );
    expect(status.stdout).toMatch(why);
    expect(await ok('list', mirror.root)).toMatch(/MARKS.*^e [^\n]* \? /ms);

    expectFailure(await runProgram(['pin', mirror.root]), 78, why);
    expectFailure(await runProgram(['sync', mirror.root, '--tag', 'release']), 78, why);
    const wayOut = /: (mv .*); mirrorlatch list /.exec(status.stdout)?.[1] ?? 'false';
    execaSync('sh', ['-c', wayOut]);
    expect(await prune(mirror)).toMatchObject({ removed: ['a', 'b', 'c'] });
    expect(readFileSync(mirror.state('marks.json.damaged'), 'utf8')).toBe(text);
  });

  test('that are a symlink are not followed, and neither is one in the place of the new file', async () => {
    const mirror = await fourSnapshots();
    const elsewhere = join(mirror.home, 'elsewhere');
    writeFileSync(elsewhere, 'stays');
    symlinkSync(elsewhere, mirror.state('marks.json'));
    symlinkSync(elsewhere, mirror.state('marks.json.new'));
    expectFailure(await runProgram(['pin', mirror.root]), 78, /marks\.json is not a file/);
    expectFailure(await runProgram(['prune', mirror.root]), 78, /marks\.json is not a file/);
    rmSync(mirror.state('marks.json'));
    await ok('pin', mirror.root);
    expect(readFileSync(elsewhere, 'utf8')).toBe('stays');
  });
});
