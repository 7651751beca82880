import { appendFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { expectFailure } from '../support/expect-failure.ts';
import { nobody } from '../support/privilege.ts';
import {
  endWithTest,
  nobodyRunsTheProgram,
  runForJson,
  runProgram,
  startProgram,
  transcript,
} from '../support/program.ts';
import { bin } from '../support/project.ts';
import { holdRsync, startSlowSync } from '../support/slow-sync.ts';
import { mirrorsWith, type SmallMirror, smallMirror } from '../support/small-mirror.ts';
import { openTerminal } from '../support/terminal.ts';

const twoSnapshots = mirrorsWith('first', 'second');

const failTo = ({ root }: SmallMirror, id: string) =>
  runProgram([
    ...['sync', '--other-source', 'rsync://127.0.0.1:1/module', root],
    ...['--retries', '0', '--id', id],
  ]);

async function printed(...words: string[]): Promise<string> {
  const result = await runProgram(['logs', ...words]);
  expect(result.exitCode, transcript(result)).toBe(0);
  expect(result.stderr).toBe('');
  return result.stdout;
}

test('logs lists what is there, the last one at the end, and what came of each sync', async () => {
  const mirror = await twoSnapshots();
  await failTo(mirror, 'lost');
  const [head, ...rows] = (await printed(mirror.root)).trimEnd().split('\n');
  expect(head).toMatch(/^SYNC +OUTCOME +WRITTEN +SIZE$/);
  expect(rows).toEqual([
    expect.stringMatching(/^first +published +\S+ ago +\S+ k?B$/),
    expect.stringMatching(/^second +published +\S+ ago +\S+ k?B$/),
    expect.stringMatching(/^lost +failed +\S+ ago +\S+ k?B$/),
  ]);
  expect(JSON.parse(await printed(mirror.root, '--json'))).toMatchObject([
    { id: 'first', outcome: 'published', path: mirror.state('logs', 'first.log') },
    { id: 'second', outcome: 'published' },
    { id: 'lost', outcome: 'failed' },
  ]);
});

test('in place, too, a log says what came of its sync', async () => {
  const mirror = smallMirror();
  await runForJson(['init', mirror.root, '--in-place']);
  await mirror.sync();
  await runProgram([
    ...['sync', '--other-source', 'rsync://127.0.0.1:1/module', mirror.root],
    ...['--retries', '0', '--at', '2026-01-01T00:00Z'],
  ]);
  expect(JSON.parse(await printed(mirror.root, '--json'))).toMatchObject([
    { id: mirror.history()[0]?.['log'], outcome: 'published' },
    { id: '20260101T000000Z', outcome: 'failed' },
  ]);
});

test('a log is printed as rsync wrote it, by its id, the path of its snapshot, as the last or the failed one', async () => {
  const mirror = await twoSnapshots();
  await failTo(mirror, 'lost');
  await mirror.publish('third', { file: 'third' });
  appendFileSync(mirror.state('logs', 'first.log'), Buffer.from([0xff, 0x1b, 0x0a]));
  for (const id of ['first', 'lost', 'third']) {
    const { stdout } = await runProgram(['logs', mirror.root, id]);
    expect(stdout).toBe(readFileSync(mirror.state('logs', `${id}.log`)).toString());
  }
  const log = (id: string) => readFileSync(mirror.state('logs', `${id}.log`)).toString();
  expect(await printed(mirror.root, `${mirror.root}/snapshots/third/`)).toBe(log('third'));
  expect(await printed(mirror.root, 'failed')).toBe(log('lost'));
  expect(await printed(mirror.root, 'failed', '--path')).toBe(
    `${mirror.state('logs', 'lost.log')}\n`,
  );
  // The one that was written last, whatever its name.
  expect(await printed(mirror.root, '--path')).toBe(`${mirror.state('logs', 'first.log')}\n`);
  expect(JSON.parse(await printed(mirror.root, 'last', '--json'))).toMatchObject({ id: 'first' });
});

test('on a terminal, what a log has drives nothing', async () => {
  const mirror = await twoSnapshots();
  writeFileSync(mirror.state('logs', 'first.log'), 'one \u001b[2Jtwo\nnaïve\n');
  const terminal = openTerminal([process.execPath, bin, 'logs', mirror.root, 'first']);
  expect(await terminal.exitCode).toBe(0);
  expect(terminal.shownSince()).toBe('one \\x1b[2Jtwo\r\nnaïve\r\n');
});

test('a log that is not there is explained', async () => {
  const mirror = await twoSnapshots();
  const refused = async (name: string, ...said: RegExp[]) =>
    expectFailure(await runProgram(['logs', mirror.root, name]), 64, ...said);
  await refused('nothing', /there is no sync "nothing"/, /mirrorlatch logs \/\S+$/m);
  await refused('failed', /no sync has failed/);
  rmSync(mirror.state('logs', 'first.log'));
  await refused('first', /the sync first has no log/, /of other syncs for the last 20/);
  await failTo(mirror, 'lost');
  rmSync(mirror.state('logs', 'lost.log'));
  await refused('failed', /sync that failed, lost, has no log/, /failed because: .*127\.0\.0\.1/);
  const empty = smallMirror();
  await runProgram(['init', empty.root]);
  expect(await printed(empty.root)).toBe('there is no log yet\n');
  expectFailure(
    await runProgram(['logs', empty.root, 'last']),
    64,
    /no sync has left a log/,
    /One comes with: mirrorlatch sync \//,
  );
});

test.skipIf(!nobodyRunsTheProgram)(
  'another user sees which logs there are, and reads none',
  async () => {
    const mirror = await twoSnapshots();
    const list = await runProgram(['logs', mirror.root], { user: nobody });
    expect(list.stdout).toMatch(/^second +published/m);
    expectFailure(
      await runProgram(['logs', mirror.root, 'last'], { user: nobody }),
      77,
      /second\.log may be read by root alone/,
      /as that user: sudo mirrorlatch logs \S+ last/,
    );
  },
);

test('--follow prints the log of the running sync as it grows, and ends with that sync', async () => {
  const mirror = await twoSnapshots();
  const sync = await startSlowSync(mirror, { files: { 'before-it': 'small' }, seconds: 4 });
  const goOn = holdRsync(mirror.root);
  endWithTest(sync);
  const follow = startProgram(['logs', mirror.root, '--follow']);
  await eventually(() => expect(follow.printedSoFar()).toMatch(/before-it/));
  expect(JSON.parse(await printed(mirror.root, '--json')).at(-1)).toMatchObject({
    id: 'slow',
    outcome: 'running',
  });
  goOn();
  expect(await sync.result).toMatchObject({ exitCode: 0 });
  const result = await follow.result;
  expect(result.exitCode, transcript(result)).toBe(0);
  expect(result.stdout).toBe(readFileSync(mirror.state('logs', 'slow.log'), 'utf8'));
});

test('--follow ends with the sync that it follows, also where another one begins at once', async () => {
  const mirror = await twoSnapshots();
  const sync = await startSlowSync(mirror, { files: { 'before-it': 'small' } });
  const follow = startProgram(['logs', mirror.root, 'last', '--follow']);
  await eventually(() => expect(follow.printedSoFar()).toMatch(/before-it/));
  const next = startProgram([
    'sync',
    mirror.source,
    mirror.root,
    '--wait',
    '1m',
    '--',
    '--bwlimit=10',
  ]);
  endWithTest(next, 'SIGTERM');
  sync.kill('SIGTERM');
  const result = await follow.result;
  expect(result.exitCode, transcript(result)).toBe(0);
  await eventually(async () => expect(await printed(mirror.root, '--json')).toMatch(/"running"/));
});

test('--follow ends by a signal', async () => {
  const mirror = await twoSnapshots();
  const sync = await startSlowSync(mirror, { files: { 'before-it': 'small' } });
  endWithTest(sync, 'SIGTERM');
  const follow = startProgram(['logs', mirror.root, '--follow']);
  await eventually(() => expect(follow.printedSoFar()).toMatch(/before-it/));
  follow.kill('SIGINT');
  expect((await follow.result).exitCode).toBe(130);
});

test('--follow without a sync says so, with the command for the last one', async () => {
  const mirror = await twoSnapshots();
  expectFailure(
    await runProgram(['logs', mirror.root, '--follow']),
    69,
    /no sync of \S+ is running/,
    /mirrorlatch logs \S+ last/,
  );
  expectFailure(await runProgram(['logs', mirror.root, 'first', '--follow']), 64, /not for first/);
});
