import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { inShell, startGuarded } from '../support/guards.ts';
import { runForJson, runProgram, transcript } from '../support/program.ts';
import { mirrorsWith, type SmallMirror } from '../support/small-mirror.ts';

/** `e` is current and `d` is previous. They are copies, so the ctimes of all are those of the copy. */
const fiveSnapshots = mirrorsWith('a', 'b', 'c', 'd', 'e');

const oneSnapshot = mirrorsWith('first');

const all = ['a', 'b', 'c', 'd', 'e'];
const leastOfAll = ['--keep-last', '1', '--keep-within', '0'];

test.for([
  ['is lost', (): string[] => []],
  ['has lost its end', (lines: string[]) => lines.slice(0, 2)],
  ['has lost its beginning', (lines: string[]) => lines.slice(-1)],
  ['has lost a line in the middle', (lines: string[]) => lines.toSpliced(2, 1, 'zeros')],
] as const)('a history that %s costs no snapshot its grace time', async ([, lose]) => {
  const mirror = await fiveSnapshots();
  changeHistory(mirror, lose);
  const dry = await runForJson(['prune', mirror.root, ...leastOfAll, '--dry-run']);
  expect(dry['removed']).toEqual([]);
  const { removed, kept } = await runForJson(['prune', mirror.root, ...leastOfAll]);
  expect(removed).toEqual([]);
  expect((kept as { reasons: string[] }[]).slice(0, 3).map(({ reasons }) => reasons)).toEqual(
    Array(3).fill(['is within its grace time']),
  );
  expect(mirror.snapshots()).toEqual(all);
  expect((await runProgram(['status', mirror.root])).exitCode, 'nothing is left to do').toBe(0);

  const later = await runForJson(['prune', mirror.root, ...leastOfAll, '--grace', '0']);
  expect(later['removed'], 'nor are they kept for ever').toEqual(['a', 'b', 'c']);
});

test('a clock that was far ahead for some nights does not keep snapshots until it is right', async () => {
  const mirror = await fiveSnapshots();
  changeHistory(mirror, (lines) => lines.map((line) => line.replace(/"at":"\d{4}/, '"at":"2099')));
  await mirror.sync();
  const long = ['--keep-within', '1h'];
  const kept = await runForJson(['prune', mirror.root, '--keep-last', '1', ...long]);
  expect(kept['removed'], 'no sooner than by the sync that came after').toEqual([]);
  const rules = [...leastOfAll, '--grace', '0'];
  expect((await runForJson(['prune', mirror.root, ...rules]))['removed']).toEqual(['a', 'b', 'c']);
});

test('a clock that was far behind when a snapshot was published does not cost the one before it', async () => {
  const mirror = await fiveSnapshots();
  changeHistory(mirror, (lines) =>
    lines.map((line) =>
      line.includes('"id":"d"') ? line.replace(/"at":"\d{4}/, '"at":"1970') : line,
    ),
  );
  const { removed } = await runForJson(['prune', mirror.root, ...leastOfAll]);
  expect(removed).toEqual([]);
});

test('damaged lines of history are skipped, and status names them once', async () => {
  const mirror = await fiveSnapshots();
  changeHistory(mirror, (lines) => [
    ...lines.slice(0, 1),
    '{"event":"published","id":"b","previous":"a"}',
    ...lines.slice(1),
    '{"event":"failed"}',
  ]);
  const status = await runProgram(['status', mirror.root]);
  expect(status.exitCode, transcript(status)).toBe(0);
  expect(status.stdout).toMatch(
    /^history +2 lines of .*\/history\.jsonl are damaged, and skipped; the first is line 2$/m,
  );
  expect(await runForJson(['status', mirror.root])).toMatchObject({ damagedHistoryLines: [2, 7] });
  for (const command of ['list', 'current', 'prune', 'sync', 'rollback']) {
    const result = await runProgram([command, mirror.root]);
    expect(result.exitCode, transcript(result)).toBe(0);
  }
});

test('I2, I5: with current and the history both lost, no snapshot is taken for an unpublished one', async () => {
  const mirror = await fiveSnapshots();
  rmSync(join(mirror.root, 'current'));
  rmSync(mirror.state('history.jsonl'));
  const inside = inShell('cat file; read -r _ <&1');
  const cwd = join(mirror.root, 'snapshots', 'a');
  const reading = startGuarded(undefined, [], inside, { cwd });
  await eventually(() => expect(reading.printedSoFar()).toBe('a'));
  // A failed sync that names a source, and one that publishes.
  const none = await runProgram(['sync', join(mirror.home, 'none'), mirror.root, '--other-source']);
  expect(none.exitCode, transcript(none)).toBe(66);
  expect(await mirror.sync('--id', 'next', '--keep-last', '9')).toMatchObject({
    outcome: 'published',
    recovered: [],
  });
  expect(mirror.snapshots()).toEqual([...all, 'next']);
  expect(readdirSync(cwd)).toContain('file');
  reading.kill('SIGKILL');
  await reading.result;
  const rules = [...leastOfAll, '--grace', '0'];
  const { removed } = await runForJson(['prune', mirror.root, ...rules]);
  expect(removed, 'by the rules they go').toEqual(['a', 'b', 'c', 'e']);
});

test('I2: the only snapshot is kept, too, once a first sync has ended', async () => {
  const mirror = await oneSnapshot();
  rmSync(join(mirror.root, 'current'));
  rmSync(mirror.state('history.jsonl'));
  expect(await mirror.sync('--id', 'next')).toMatchObject({ outcome: 'published', recovered: [] });
  expect(mirror.snapshots()).toEqual(['first', 'next']);
});

test('I3: a lost current is what history says that it was, for a rollback and the shrink guard too', async () => {
  const mirror = await fiveSnapshots();
  rmSync(join(mirror.root, 'current'));
  const status = await runProgram(['status', mirror.root]);
  expect(status.exitCode, transcript(status)).toBe(69);
  expect(status.stdout).toMatch(/current is gone; it named snapshot e; the next sync takes care/);
  mirror.change({ file: null, 'below/file': null });
  const shrunk = await runProgram(['sync', mirror.root]);
  expect(shrunk.exitCode, transcript(shrunk)).toBe(65);
  expect(mirror.linked('current')).toBe('e');
  rmSync(join(mirror.root, 'current'));
  const back = await runForJson(['rollback', mirror.root]);
  expect(back).toMatchObject({ id: 'd', previous: 'e' });
  expect((await runProgram(['status', mirror.root])).stdout).not.toContain('current is gone');
});

test('a rollback goes to a snapshot by its name even if nobody knows what was current', async () => {
  const mirror = await fiveSnapshots();
  rmSync(join(mirror.root, 'current'));
  rmSync(mirror.state('history.jsonl'));
  const back = await runProgram(['rollback', mirror.root, 'b']);
  expect(back.exitCode, transcript(back)).toBe(0);
  expect(back.stdout).toContain('current is now b; it was lost');
  expect(mirror.linked('current')).toBe('b');
});

/** The five lines of the publications, changed; with none, the file is gone. */
function changeHistory(mirror: SmallMirror, change: (lines: string[]) => string[]): void {
  const path = mirror.state('history.jsonl');
  const lines = change(readFileSync(path, 'utf8').trimEnd().split('\n'));
  if (lines.length === 0) rmSync(path);
  else writeFileSync(path, `${lines.join('\n')}\n`);
}
