import { expect, test } from 'vitest';
import { runForJson, runProgram, transcript } from '../support/program.ts';
import { mirrorsWith, type SmallMirror, smallMirror } from '../support/small-mirror.ts';
import { describeTree, difference } from '../support/tree.ts';

const twoSnapshots = mirrorsWith('first', 'second');

test('every sync prunes by the rules of init at its end', async () => {
  const mirror = await twoSnapshots();
  await runForJson(['init', mirror.root, '--keep-last', '1', '--grace', '0']);
  const third = await publish(mirror, 'third');
  expect(third).toMatchObject({ pruned: { removed: ['first'] } });
  expect(mirror.snapshots()).toEqual(['second', 'third']);
  const fourth = await runProgram(['sync', mirror.root, '--id', 'fourth']);
  expect(fourth.stdout, 'nothing changed, so all stay').not.toMatch(/removed/);
  mirror.change({ file: 'fourth' });
  const result = await runProgram(['sync', mirror.root, '--id', 'fourth']);
  expect(result.stdout).toMatch(/^published fourth: .*; removed second$/m);
});

test('the rules of a first sync are remembered like those of init', async () => {
  const mirror = smallMirror();
  const rules = ['--keep-last', '2', '--keep-within', '7d', '--grace', '1h', '--max-shrink', '50'];
  await mirror.publish('first', {}, ...rules);
  expect(mirror.settings()).toMatchObject({
    keepLast: 2,
    keepWithinMs: 7 * 24 * 60 * 60 * 1000,
    graceMs: 60 * 60 * 1000,
    maxShrinkPercent: 50,
  });
});

test('what init says of probes is remembered, replaced and forgotten, and printed for people', async () => {
  const mirror = smallMirror();
  const rules = ['--probe', 'lastupdate', '--probe', 'auto', '--probe-max-age', '12h'];
  const { stdout } = await runProgram([
    'init',
    mirror.root,
    ...rules,
    '--busy-when',
    'updating/now',
    '--file-list',
    'auto',
  ]);
  expect(stdout).toContain(
    'it looks no further while its stamps are the same (lastupdate, auto), for at most 12h',
  );
  expect(stdout).toContain('it waits while the source has updating/now');
  expect(stdout).toContain(
    "what has changed in the source's list of files (auto), for at most 12h",
  );
  expect(mirror.settings()).toMatchObject({ fileList: 'auto' });
  const remembered = { probeMaxAgeMs: 12 * 60 * 60 * 1000, busyWhen: ['updating/now'] };
  expect(mirror.settings()).toMatchObject({ ...remembered, probe: ['lastupdate', 'auto'] });
  await runForJson(['init', mirror.root, '--probe', 'other']);
  expect(mirror.settings()).toMatchObject({ ...remembered, probe: ['other'] });
  await runForJson(['init', mirror.root, '--no-probe', '--no-busy-when', '--no-file-list']);
  expect(mirror.settings()).toMatchObject({ probe: [], busyWhen: [], fileList: '' });
});

test('the rules of a later sync or of prune apply once and are not remembered', async () => {
  const mirror = await twoSnapshots();
  const before = mirror.settings();
  await publish(mirror, 'third', '--keep-last', '1', '--grace', '0');
  expect(mirror.snapshots()).toEqual(['second', 'third']);
  await publish(mirror, 'fourth');
  expect(mirror.snapshots()).toEqual(['fourth', 'second', 'third']);
  await runForJson(['prune', mirror.root, '--keep-last', '1', '--grace', '0']);
  expect(mirror.settings()).toEqual(before);
});

test('with --no-prune a sync removes nothing', async () => {
  const mirror = await twoSnapshots();
  await runForJson(['init', mirror.root, '--keep-last', '1', '--grace', '0']);
  const result = await publish(mirror, 'third', '--no-prune');
  expect(result).not.toHaveProperty('pruned');
  expect(mirror.snapshots()).toEqual(['first', 'second', 'third']);
});

test('a sync with nothing to do still prunes', async () => {
  const mirror = await twoSnapshots();
  await publish(mirror, 'third');
  await runForJson(['init', mirror.root, '--keep-last', '1', '--grace', '0']);
  expect(await mirror.sync()).toMatchObject({
    outcome: 'unchanged',
    pruned: { removed: ['first'] },
  });
});

test('init on a mirror changes the given rules and keeps the others', async () => {
  const mirror = await twoSnapshots();
  await runForJson(['init', mirror.root, '--keep-last', '5', '--keep-within', '2d']);
  await runForJson(['init', mirror.root, '--grace', '90m']);
  expect(mirror.settings()).toMatchObject({
    source: `${mirror.source}/`,
    keepLast: 5,
    keepWithinMs: 2 * 24 * 60 * 60 * 1000,
    graceMs: 90 * 60 * 1000,
  });
  expect(await mirror.sync()).toMatchObject({ outcome: 'unchanged' });
});

test('init remembers the rules of the calendar, prints them, and 0 turns one off again', async () => {
  const mirror = await twoSnapshots();
  const words = 'hourly 24 daily 7 weekly 4 monthly 12 yearly 1'.split(' ');
  const rules = words.map((word, at) => (at % 2 === 0 ? `--keep-${word}` : word));
  const made = await runProgram(['init', mirror.root, ...rules]);
  expect(made.stdout).toMatch(
    /^it keeps the last 3 snapshots, 24 hourly ones, 7 daily ones, 4 weekly ones, 12 monthly ones, 1 yearly one and those that were current within 1d$/m,
  );
  const remembered = {
    keepHourly: 24,
    keepDaily: 7,
    keepWeekly: 4,
    keepMonthly: 12,
    keepYearly: 1,
  };
  expect(mirror.settings()).toMatchObject({ keepLast: 3, ...remembered });
  await runForJson(['init', mirror.root, '--keep-daily', '0']);
  expect(mirror.settings()).toMatchObject({ ...remembered, keepDaily: 0 });
  const { stdout } = await runProgram(['status', mirror.root]);
  expect(stdout).toMatch(/^keeps +the last 3 snapshots, 24 hourly ones, 4 weekly ones, /m);
});

test('an invalid rule is refused with 64 and changes nothing', async () => {
  const mirror = await twoSnapshots();
  const before = describeTree(mirror.root);
  const wrong = [
    ['--keep-last', '0'],
    ['--keep-last', '-1'],
    ['--keep-last', 'all'],
    ['--keep-last', '1.5'],
    ['--keep-hourly', '-1'],
    ['--keep-daily', '7d'],
    ['--keep-weekly', '1.5'],
    ['--keep-monthly', ''],
    ['--keep-yearly', 'all'],
    ['--keep-within', 'soon'],
    ['--grace', ''],
    ['--grace', '-1h'],
    ['--grace', '1e400'],
  ];
  for (const [index, rule] of wrong.entries()) {
    const command = ['init', 'prune', 'sync'][index % 3] ?? 'init';
    const result = await runProgram([command, mirror.root, ...rule]);
    expect(result.exitCode, transcript(result)).toBe(64);
    expect(result.stderr).toContain(rule[0]);
  }
  expect(difference(before, describeTree(mirror.root))).toEqual([]);
});

function publish(
  mirror: SmallMirror,
  id: string,
  ...options: string[]
): Promise<Record<string, unknown>> {
  mirror.change({ file: id });
  return mirror.sync('--id', id, ...options);
}
