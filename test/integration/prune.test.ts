import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { runForJson, runProgram, transcript } from '../support/program.ts';
import { mirrorsWith, type SmallMirror, smallMirror } from '../support/small-mirror.ts';
import { describeTree, difference, type Tree } from '../support/tree.ts';

/** The snapshots of each mirror, oldest first; `e` is current and `d` is previous. */
const fiveSnapshots = mirrorsWith('a', 'b', 'c', 'd', 'e');

const snapshotsOutOfOrder = mirrorsWith('z', 'm', 'a');

const HOUR = 60 * 60 * 1000;
const DAY = 24 * HOUR;

test('--keep-last keeps that many of the newest, and removes the others with their leases', async () => {
  const mirror = await fiveSnapshots();
  const before = snapshotTrees(mirror, ['c', 'd', 'e']);
  const result = await runForJson(['prune', mirror.root, '--keep-last', '3', '--grace', '0']);
  expect(result).toEqual({
    removed: ['a', 'b'],
    failed: [],
    kept: [
      { id: 'c', reasons: ['is one of the newest 3'], readers: [] },
      { id: 'd', reasons: ['is previous', 'is one of the newest 3'], readers: [] },
      { id: 'e', reasons: ['is current', 'is one of the newest 3'], readers: [] },
    ],
  });
  expect(mirror.snapshots()).toEqual(['c', 'd', 'e']);
  expect(readdirSync(mirror.state('leases')).sort()).toEqual(['c', 'd', 'e']);
  expect(readdirSync(mirror.state('trash'))).toEqual([]);
  expect(mirror.history().slice(-2)).toMatchObject([
    { event: 'pruned', id: 'a' },
    { event: 'pruned', id: 'b' },
  ]);
  for (const [id, tree] of before) {
    expect(difference(tree, describeTree(join(mirror.root, 'snapshots', id)))).toEqual([]);
  }
});

test('current and previous stay whatever the rules say', async () => {
  const mirror = await fiveSnapshots();
  const result = await runForJson(['prune', mirror.root, '--keep-last', '1', '--grace', '0']);
  expect(result).toMatchObject({
    removed: ['a', 'b', 'c'],
    kept: [
      { id: 'd', reasons: ['is previous'] },
      { id: 'e', reasons: ['is current', 'is the newest'] },
    ],
  });
});

test('after a rollback the now current snapshot and the previous one stay', async () => {
  const mirror = await fiveSnapshots();
  await runForJson(['rollback', mirror.root, 'a']);
  const { removed } = await runForJson(['prune', mirror.root, '--keep-last', '1', '--grace', '0']);
  expect(removed).toEqual(['b', 'c', 'd']);
  expect(mirror.linked('current')).toBe('a');
  expect(mirror.linked('previous')).toBe('e');
});

test('--keep-within keeps snapshots that were published within that time', async () => {
  const mirror = await fiveSnapshots();
  age(mirror, { a: 9 * DAY, b: 6 * DAY, c: 3 * DAY, d: 2 * DAY, e: DAY });
  const rules = ['--keep-last', '1', '--grace', '0', '--keep-within', '7d'];
  const { removed, kept } = await runForJson(['prune', mirror.root, ...rules]);
  expect(removed).toEqual(['a']);
  expect(kept).toMatchObject([
    { id: 'b', reasons: ['was published recently'] },
    { id: 'c', reasons: ['was published recently'] },
    { id: 'd' },
    { id: 'e' },
  ]);
});

test('--keep-daily and the other rules of the calendar keep the newest of each of the last periods', async () => {
  const mirror = await fiveSnapshots();
  const noon = Math.floor(Date.now() / DAY) * DAY - DAY / 2;
  const ago = (ms: number) => Date.now() - noon + ms;
  age(mirror, { a: ago(3 * DAY), b: ago(2 * DAY), c: ago(2 * HOUR), d: ago(HOUR), e: ago(0) });
  const told = await runForJson([
    ...['prune', mirror.root, '--dry-run', '--keep-last', '1', '--grace', '0'],
    ...['--keep-hourly', '3', '--keep-daily', '3', '--keep-yearly', '1'],
  ]);
  expect(told['removed']).toEqual([]);
  expect(told['kept']).toEqual([
    { id: 'a', reasons: ['is daily 3 of 3'], readers: [] },
    { id: 'b', reasons: ['is daily 2 of 3'], readers: [] },
    { id: 'c', reasons: ['is hourly 3 of 3'], readers: [] },
    { id: 'd', reasons: ['is previous', 'is hourly 2 of 3'], readers: [] },
    {
      id: 'e',
      reasons: ['current', 'the newest', 'hourly 1 of 3', 'daily 1 of 3', 'yearly 1 of 1'].map(
        (reason) => `is ${reason}`,
      ),
      readers: [],
    },
  ]);
  const rules = ['--keep-last', '1', '--grace', '0', '--keep-daily', '2'];
  const { removed } = await runForJson(['prune', mirror.root, ...rules]);
  expect(removed).toEqual(['a', 'c']);
});

test('after the loss of the history, the ids that syncs gave say when snapshots were made', async () => {
  const ids = ['20260301T030000Z', '20260302T030000Z', '20260302T150000Z', '20260303T030000Z'];
  const mirror = smallMirror();
  for (const id of ids) await mirror.publish(id, { file: id });
  rmSync(mirror.state('history.jsonl'));
  const rules = ['--keep-last', '1', '--grace', '0', '--keep-daily', '7'];
  const { removed } = await runForJson(['prune', mirror.root, '--dry-run', ...rules]);
  expect(removed).toEqual(['20260302T030000Z']);
});

test('--grace keeps snapshots that stopped being current within that time, however old they are', async () => {
  const mirror = await fiveSnapshots();
  // Each stopped being current when the next one was published.
  age(mirror, { a: 90 * DAY, b: 80 * DAY, c: 70 * DAY, d: 2 * HOUR, e: HOUR });
  const { removed, kept } = await runForJson([
    'prune',
    mirror.root,
    ...['--keep-last', '1', '--grace', '3h'],
  ]);
  expect(removed).toEqual(['a', 'b']);
  expect(kept).toMatchObject([
    { id: 'c', reasons: ['is within its grace time'] },
    { id: 'd', reasons: ['is previous', 'is within its grace time'] },
    { id: 'e' },
  ]);
});

test('without options everything stays for 24 hours, and three snapshots after that', async () => {
  const mirror = await fiveSnapshots();
  age(mirror, { a: 90 * DAY, b: 80 * DAY, c: 70 * DAY, d: 26 * HOUR, e: 23 * HOUR });
  expect(await runForJson(['prune', mirror.root])).toMatchObject({ removed: ['a', 'b'] });
  const fresh = await fiveSnapshots();
  expect(await runForJson(['prune', fresh.root])).toMatchObject({ removed: [] });
});

test('setting the clock back removes no snapshot', async () => {
  const mirror = await fiveSnapshots();
  age(mirror, { a: -DAY, b: -DAY, c: -DAY, d: -DAY, e: -DAY });
  expect(
    await runForJson(['prune', mirror.root, '--keep-last', '1', '--grace', '1h']),
  ).toMatchObject({ removed: [] });
});

test('--dry-run changes nothing in ROOT and reports exactly what prune then does', async () => {
  const mirror = await fiveSnapshots();
  const rules = ['--keep-last', '2', '--grace', '0'];
  const before = describeTree(mirror.root);
  const told = await runForJson(['prune', mirror.root, '--dry-run', ...rules]);
  expect(difference(before, describeTree(mirror.root))).toEqual([]);
  expect(told).toMatchObject({ removed: ['a', 'b', 'c'] });
  const { snapshots, ...result } = told;
  expect(snapshots).toMatchObject(
    [...'abcde'].map((id) => ({ id, fate: id < 'd' ? 'remove' : 'keep', bytes: 14 })),
  );
  expect(await runForJson(['prune', mirror.root, ...rules])).toEqual(result);
});

test('its human output is a table of what was removed, and what stayed and why', async () => {
  const mirror = await fiveSnapshots();
  const rules = ['--keep-last', '3', '--grace', '0'];
  const dry = await runProgram(['prune', mirror.root, '-n', ...rules]);
  expect(dry.stdout).toMatch(/^SNAPSHOT +AGE +SIZE +FATE +WHY\na +\S+ +\d+ B +remove$/m);
  expect(dry.stdout).toMatch(/^e +\S+ +\d+ B +keep +is current, is one of the newest 3$/m);
  const result = await runProgram(['prune', mirror.root, ...rules]);
  expect(result.exitCode, transcript(result)).toBe(0);
  const rows = result.stdout.trimEnd().split('\n');
  for (const [index, row] of [
    /^SNAPSHOT +FATE +WHY$/,
    /^a +removed$/,
    /^b +removed$/,
    /^c +kept +is one of the newest 3$/,
    /^d +kept +is previous, is one of the newest 3$/,
    /^e +kept +is current, is one of the newest 3$/,
  ].entries()) {
    expect(rows[index]).toMatch(row);
  }
});

test('its human output has the order of list, whatever the names are', async () => {
  const mirror = await snapshotsOutOfOrder();
  const idsIn = async (...words: string[]) =>
    (await runProgram([...words, mirror.root])).stdout.match(/^\w\b/gm);
  expect(await idsIn('list')).toEqual(['z', 'm', 'a']);
  for (const words of [['--dry-run'], []])
    expect(await idsIn('prune', ...words)).toEqual(['z', 'm', 'a']);
});

test('an entry whose name is not a snapshot id is left alone', async () => {
  const mirror = await fiveSnapshots();
  writeFileSync(join(mirror.root, 'snapshots', '.hidden'), 'somebody put it here');
  writeFileSync(join(mirror.root, 'snapshots', 'with space'), 'and this');
  await runForJson(['prune', mirror.root, '--keep-last', '1', '--grace', '0']);
  expect(mirror.snapshots()).toEqual(['.hidden', 'd', 'e', 'with space']);
});

test('files that a kept snapshot shares with a pruned one stay intact', async () => {
  const mirror = await fiveSnapshots();
  const shared = join(mirror.root, 'snapshots', 'd', 'below', 'file');
  await runForJson(['prune', mirror.root, '--keep-last', '1', '--grace', '0']);
  expect(readFileSync(shared, 'utf8')).toBe('content below');
  expect(existsSync(join(mirror.root, 'snapshots', 'a'))).toBe(false);
});

/** Dates the publications back, as if the syncs had run then; in ms before now. */
function age(mirror: SmallMirror, ages: Readonly<Record<string, number>>): void {
  const lines = mirror.history().map((entry) => {
    const by = ages[String(entry['id'])];
    if (by === undefined) throw new Error(`no age is given for ${entry['id']}`);
    return JSON.stringify({ ...entry, at: new Date(Date.now() - by).toISOString() });
  });
  writeFileSync(mirror.state('history.jsonl'), `${lines.join('\n')}\n`);
}

function snapshotTrees(mirror: SmallMirror, ids: readonly string[]): Map<string, Tree> {
  return new Map(ids.map((id) => [id, describeTree(join(mirror.root, 'snapshots', id))]));
}
