import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { history } from '../../src/reader/history.ts';
import { expectFailure } from '../support/expect-failure.ts';
import { runProgram, transcript } from '../support/program.ts';
import { bin } from '../support/project.ts';
import { mirrorsWith, type SmallMirror } from '../support/small-mirror.ts';
import { openTerminal } from '../support/terminal.ts';

const twoSnapshots = mirrorsWith('first', 'second');

/** Two publications, three syncs without news, one that failed, and a rollback. */
async function eventfulMirror(): Promise<SmallMirror> {
  const mirror = await twoSnapshots();
  for (let count = 0; count < 3; count += 1) await mirror.sync();
  await runProgram(['sync', '/nowhere', mirror.root, '--other-source', '--id', 'lost']);
  await runProgram(['rollback', mirror.root]);
  return mirror;
}

async function linesOf(...words: string[]): Promise<string[]> {
  const result = await runProgram(['history', ...words]);
  expect(result.exitCode, transcript(result)).toBe(0);
  expect(result.stderr).toBe('');
  return result.stdout.trimEnd().split('\n');
}

const parse = (line: string): Record<string, unknown> => JSON.parse(line);

test('history shows what happened, newest last, and syncs in a row that found nothing new as one', async () => {
  const { root } = await eventfulMirror();
  const [head, ...rows] = await linesOf(root);
  expect(head).toMatch(/^WHEN +WHAT +FILES +DELETED +FETCHED +TOOK +SNAPSHOT$/);
  const time = String.raw`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`;
  expect(rows).toEqual([
    expect.stringMatching(`^${time} +published +2 +0 +18 B +\\d.\\ds +first$`),
    expect.stringMatching(`^${time} +published +1 +0 +6 B +\\d.\\ds +second$`),
    expect.stringMatching(`^${time} +3 times unchanged +second, since ${time}$`),
    expect.stringMatching(`^${time} +failed +lost: the source /nowhere does not exist$`),
    expect.stringMatching(`^${time} +rolled back +first$`),
  ]);
});

test('--last counts lines, and says that there are earlier ones', async () => {
  const { root } = await eventfulMirror();
  const [note, head, ...rows] = await linesOf(root, '--last', '3');
  expect(note).toBe(`earlier ones: mirrorlatch history ${root} --last all`);
  expect(head).toMatch(/^WHEN/);
  expect(rows.map((row) => row.split(/ {2,}/)[1])).toEqual([
    '3 times unchanged',
    'failed',
    'rolled back',
  ]);
  expect(await linesOf(root, '--last', '5')).toHaveLength(6);
});

test('--json prints the lines of the file, one for each event', async () => {
  const mirror = await eventfulMirror();
  const all = readFileSync(mirror.state('history.jsonl'), 'utf8').trimEnd().split('\n').map(parse);
  expect((await linesOf(mirror.root, '--json')).map(parse)).toEqual(all);
  const last = await linesOf(mirror.root, '--json', '--last', '3');
  expect(last.map(parse)).toEqual(all.slice(-3));
  expect([...history({ root: mirror.root, last: 3 })]).toEqual(all.slice(-3));
});

test('--event leaves the others out, and the count is that of those', async () => {
  const { root } = await eventfulMirror();
  const events = async (...words: string[]) =>
    (await linesOf(root, '--json', ...words)).map((line) => parse(line)['event']);
  expect(await events('--event', 'published')).toEqual(['published', 'published']);
  expect(await events('--event', 'published,failed', '--last', '2')).toEqual([
    'published',
    'failed',
  ]);
  expect(await linesOf(root, '--event', 'pruned')).toEqual(['nothing like that happened']);
  expectFailure(
    await runProgram(['history', root, '--event', 'fails']),
    64,
    /published, unchanged/,
  );
});

test('--since goes by the times of the lines, also where a clock was wrong in between', async () => {
  const mirror = await twoSnapshots();
  const at = (hours: number) => new Date(Date.now() - hours * 3_600_000).toISOString();
  const lines = [50, 10, 40, 5, 3].map((hours) => ({
    event: 'pruned',
    at: at(hours),
    id: `${hours}-hours-ago`,
  }));
  writeFileSync(
    mirror.state('history.jsonl'),
    lines.map((line) => `${JSON.stringify(line)}\n`).join(''),
  );
  const since = async (...words: string[]) =>
    (await linesOf(mirror.root, '--json', ...words)).map((line) => parse(line)['id']);
  expect(await since('--since', '1d')).toEqual(['10-hours-ago', '5-hours-ago', '3-hours-ago']);
  expect(await since('--since', '1d', '--last', '2')).toEqual(['5-hours-ago', '3-hours-ago']);
});

test('without --last the last 20 are shown, and all with --since', async () => {
  const mirror = await twoSnapshots();
  const line = (id: number) =>
    JSON.stringify({ event: 'pruned', at: new Date().toISOString(), id: `no-${id}` });
  const lines = Array.from({ length: 50 }, (_, id) => `${line(id)}\n`);
  writeFileSync(mirror.state('history.jsonl'), lines.join(''));
  expect(await linesOf(mirror.root)).toHaveLength(2 + 20);
  expect(await linesOf(mirror.root, '--since', '1h')).toHaveLength(1 + 50);
  expect(await linesOf(mirror.root, '--last', 'all')).toHaveLength(1 + 50);
  expectFailure(await runProgram(['history', mirror.root, '--last', 'some']), 64, /or all/);
});

test('a message of many lines, and the escapes in it, stay in one line', async () => {
  const mirror = await twoSnapshots();
  const message = `one\ntwo \u001b[31m${'long '.repeat(100)}`;
  const entry = { event: 'failed', at: new Date().toISOString(), id: 'bad', code: 'IO', message };
  writeFileSync(mirror.state('history.jsonl'), `${JSON.stringify(entry)}\n`);
  const [, row = '', ...others] = await linesOf(mirror.root);
  expect(others).toEqual([]);
  expect(row).toMatch(/bad: one two \\x1b\[31mlong long .* …$/);
  const [whole = ''] = await linesOf(mirror.root, '--json');
  expect(parse(whole)['message']).toBe(message);
});

test('on a terminal, bars show what was fetched for the last publications; in ASCII where it shows no more', async () => {
  const mirror = await twoSnapshots();
  await mirror.publish('third', { more: 'x'.repeat(10_000) });
  const words = [process.execPath, bin, 'history', mirror.root, '--last', '1'];
  const shown = async (env: Record<string, string>) => {
    const terminal = openTerminal(words, { env: { LC_ALL: '', LC_CTYPE: '', ...env } });
    expect(await terminal.exitCode).toBe(0);
    return terminal.shownSince();
  };
  const range = '6 B to 10 kB, in the last 3 publications';
  expect(await shown({ LANG: 'C.UTF-8' })).toContain(`fetched ▂▂█ ${range}`);
  expect(await shown({ LANG: 'C' })).toContain(`fetched ..# ${range}`);
  expect(await linesOf(mirror.root), 'and none in a pipe').toHaveLength(4);
});

test('a mirror that is not there, and a history that is no file, are named', async () => {
  expectFailure(await runProgram(['history', '/nowhere']), 66, /no mirror in \/nowhere/);
  const mirror = await twoSnapshots();
  rmSync(mirror.state('history.jsonl'));
  expect(await linesOf(mirror.root)).toEqual(['nothing like that happened']);
  mkdirSync(mirror.state('history.jsonl'));
  expectFailure(await runProgram(['history', mirror.root]), 78, /history\.jsonl is not a file/);
});
