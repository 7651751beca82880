import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, test } from 'vitest';
import { expectFailure } from '../support/expect-failure.ts';
import { whyNotInstalled } from '../support/installed.ts';
import { nobody } from '../support/privilege.ts';
import {
  endWithTest,
  nobodyRunsTheProgram,
  type ProgramOptions,
  runForJson,
  runProgram,
  startProgram,
  transcript,
} from '../support/program.ts';
import { bin, project } from '../support/project.ts';
import { startSlowSync } from '../support/slow-sync.ts';
import { mirrorsWith, type SmallMirror, smallMirror } from '../support/small-mirror.ts';
import { standInFor } from '../support/stand-in.ts';
import { openTerminal } from '../support/terminal.ts';
import { describeTree, difference } from '../support/tree.ts';

const twoSnapshots = mirrorsWith('first', 'second');

interface Answer {
  question: string;
  answer: string;
  quoted: string[];
  command: string | null;
}

async function explained(words: readonly string[], options?: ProgramOptions): Promise<Answer[]> {
  return (await runForJson(['explain', ...words], options))['answers'] as Answer[];
}

function about(answers: readonly Answer[], question: string): Answer {
  const found = answers.find((one) => one.question.startsWith(question));
  if (found === undefined) throw new Error(`${question}: ${JSON.stringify(answers)}`);
  return found;
}

/** A command of an answer has to work as it is. */
async function paste(command: string | null): Promise<string> {
  const { stdout } = await execa('sh', ['-c', command ?? 'false'], {
    env: { PATH: `${project}dist:${process.env['PATH']}` },
  });
  return stdout;
}

const failTo = ({ root }: SmallMirror) =>
  runProgram([
    ...['sync', '--other-source', 'rsync://127.0.0.1:1/module', root],
    ...['--retries', '0', '--id', 'lost'],
  ]);

test('explain answers for people, and changes nothing', async () => {
  const mirror = await twoSnapshots();
  const before = describeTree(mirror.root);
  const result = await runProgram(['explain', mirror.root]);
  expect(result.exitCode, transcript(result)).toBe(0);
  expect(result.stdout).toMatch(
    /^Is it healthy\?\n Yes\.\n\nHow fresh is it\?\n A sync last succeeded \d+m?s ago\.\n/,
  );
  expect(result.stdout).toMatch(/\n {3}\$ mirrorlatch sync \S+ --dry-run\n/);
  expect(difference(before, describeTree(mirror.root))).toEqual([]);
});

test('on a terminal, sentences are broken between words, and commands are not', async () => {
  const mirror = await twoSnapshots();
  const terminal = openTerminal([process.execPath, bin, 'explain', mirror.root], { columns: 40 });
  expect(await terminal.exitCode).toBe(0);
  const lines = terminal.shownSince().split('\r\n');
  const sentences = lines.filter((line) => /^ \S/.test(line));
  expect(sentences.length).toBeGreaterThan(3);
  // A word that is longer than a line, such as a path, is alone in its own.
  expect(sentences.filter((line) => line.length > 40 && line.trim().includes(' '))).toEqual([]);
  expect(lines).toContain(`   $ mirrorlatch sync ${mirror.root} --dry-run`);
});

test('why the last sync failed: its code, its message, what rsync said last, and where the rest is', async () => {
  const mirror = await twoSnapshots();
  await failTo(mirror);
  const failure = about(await explained([mirror.root]), 'Why did the last sync fail');
  expect(failure.answer).toMatch(/^\d+m?s ago it ended with 69, UNAVAILABLE: .*127\.0\.0\.1/);
  expect(failure.answer).toMatch(/Nothing of it was published\. It left nothing that/);
  expect(failure.quoted.join('\n')).toMatch(/Connection refused.*\nrsync error: .*code 10/);
  expect(await paste(failure.command)).toMatch(/Connection refused/);
  rmSync(mirror.state('logs', 'lost.log'));
  const without = about(await explained([mirror.root]), 'Why did the last sync fail');
  expect(without).toMatchObject({
    answer: expect.stringMatching(/its log was removed/),
    quoted: [],
  });
  expect(await paste(without.command)).toMatch(/nothing to do|unchanged|0 new/);
});

test('a running sync holds the lock; a killed one left what the next goes on from', async () => {
  const mirror = await twoSnapshots();
  const sync = await startSlowSync(mirror);
  endWithTest(sync);
  const running = await explained([mirror.root]);
  expect(about(running, 'Why is it locked').answer).toMatch(
    new RegExp(
      `^The sync by \\S+ \\(pid ${sync.pid} on \\S+\\) has held it since .*, and is now transferring`,
    ),
  );
  expect(about(running, 'Why is it locked').command).toBe(
    `mirrorlatch logs ${mirror.root} --follow`,
  );
  expect(about(running, 'What will').answer).toMatch(/^It waits for the lock with --wait/);
  sync.kill('SIGKILL');
  await sync.result;
  // Until the kernel has taken it away.
  const lock = async () => about(await explained([mirror.root]), 'Why is it locked').answer;
  await expect
    .poll(lock, { timeout: 30_000 })
    .toMatch(/was killed and left running: rsync \(pid|ended without releasing it/);
  // As long as its rsync lives, the next one waits.
  const next = async () => about(await explained([mirror.root]), 'What will').answer;
  await expect
    .poll(next, { timeout: 30_000 })
    .toMatch(/A sync that did not finish left .*staging\/slow; the/);
});

test('a snapshot is kept by rules, by a reader with its name and pid, or gone', async () => {
  const mirror = await twoSnapshots();
  await mirror.publish('third', { file: 'third' }, '--grace', '0');
  await mirror.publish('fourth', { file: 'fourth' }, '--grace', '0');
  const reader = startProgram(['run', mirror.root, '--', 'sh', '-c', 'echo; exec sleep 60'], {
    byLauncher: true,
  });
  endWithTest(reader);
  await expect.poll(reader.printedSoFar, { timeout: 30_000 }).toBe('\n');
  await mirror.publish('fifth', { file: 'fifth' }, '--grace', '0', '--keep-last', '1');
  await mirror.publish('sixth', { file: 'sixth' }, '--grace', '0', '--keep-last', '1');
  await runForJson(['init', mirror.root, '--keep-last', '1', '--grace', '0']);
  const why = async (id: string) => about(await explained([mirror.root, id]), 'Why');
  expect((await why('current')).answer).toBe('It is current, and is the newest.');
  expect((await why('fifth')).answer).toBe('It is previous.');
  expect((await why('fourth')).answer).toMatch(/^It is read by sleep \(pid \d+, \S+, lease\)/);
  expect(await why('first')).toMatchObject({
    question: 'Why is first gone?',
    answer: expect.stringMatching(/^It was pruned at 2\d{3}-/),
  });
  reader.kill('SIGKILL');
  await reader.result;
  await expect
    .poll(async () => (await why('fourth')).answer, { timeout: 30_000 })
    .toMatch(/kept by no rule, and nobody reads it/);
  await paste((await why('fourth')).command);
  expect(mirror.snapshots()).toEqual(['fifth', 'sixth']);
  await runForJson(['init', mirror.root, '--grace', '1d']);
  expect((await why('previous')).answer).toMatch(/is within its grace time, until 2\d{3}-.*Z\.$/);
  const refused = await runProgram(['explain', mirror.root, 'nothing']);
  expectFailure(refused, 64, /no snapshot named "nothing"/);
});

test('the next sync is refused while a person holds the mirror, and the way out ends that', async () => {
  const mirror = await twoSnapshots();
  await runForJson(['rollback', mirror.root, '--hold', 'the upstream is broken']);
  const next = about(await explained([mirror.root]), 'What will');
  expect(next.answer).toMatch(/ends with 75 .* held by \S+ since .*: the upstream is broken\.$/);
  await paste(next.command);
  expect(await mirror.sync()).toMatchObject({ outcome: expect.any(String) });
});

test('stamps are enough for the next sync until the last look at everything is too old', async () => {
  const mirror = smallMirror();
  mirror.change({ stamp: 'one' });
  await mirror.sync();
  await runForJson(['init', mirror.root, '--probe', 'stamp', '--probe-max-age', '1h']);
  expect(about(await explained([mirror.root]), 'What will').answer).toMatch(
    /^It looks no further while its stamps are the same \(stamp\)/,
  );
  const old = mirror.history().map((entry) => ({
    ...entry,
    at: new Date(Date.now() - 7_200_000).toISOString(),
  }));
  writeFileSync(
    mirror.state('history.jsonl'),
    old.map((entry) => `${JSON.stringify(entry)}\n`).join(''),
  );
  const answers = await explained([mirror.root, '--max-age', '1h']);
  expect(about(answers, 'What will').answer).toMatch(
    /because the last look .* 2h ago, and --probe-max-age is 1h/,
  );
  expect(about(answers, 'How fresh').answer).toMatch(/longer ago than --max-age allows/);
});

const noSystemctl = whyNotInstalled('systemctl');

test.skipIf(noSystemctl !== '')(
  `by its name in the configuration, a mirror says when its timer starts the next sync${noSystemctl}`,
  async () => {
    const mirror = await twoSnapshots();
    const file = join(mirror.home, 'config.toml');
    writeFileSync(
      file,
      `[mirrors.site]\nroot = ${JSON.stringify(mirror.root)}\nschedule = "03:17"\n`,
    );
    const timers = join(mirror.home, 'timers');
    writeFileSync(timers, '[]');
    const PATH = standInFor('systemctl', join(mirror.home, 'bin'), `cat '${timers}'; exit`);
    const when = async () =>
      about(await explained(['site', '--config', file], { env: { PATH } }), 'When is it synced');
    expect(await when()).toMatchObject({
      answer: expect.stringMatching(
        /^Its schedule is 03:17\. No timer .* A sync last ran \S+ ago, and published\.$/,
      ),
      command: `mirrorlatch systemd site --install --config ${file}`,
    });
    // As systemctl(1) prints it: in microseconds.
    const timer = { next: 1000 * (Date.now() + 7_300_000), left: 1, last: 0, passed: 0 };
    writeFileSync(timers, JSON.stringify([{ ...timer, unit: 'mirrorlatch-sync@site.timer' }]));
    expect((await when()).answer).toMatch(
      /\. mirrorlatch-sync@site\.timer is active, next in 2h \(2\S+Z\)\. A sync last ran/,
    );
    const questions = (await explained([mirror.root])).map(({ question }) => question);
    expect(questions).not.toContain('When is it synced?');
  },
);

test('in place, a gate that was closed by hand keeps readers and syncs out', async () => {
  const mirror = smallMirror();
  await runForJson(['init', mirror.root, '--in-place']);
  await mirror.sync();
  await runForJson(['gate', 'close', mirror.root, '--reason', 'repairs']);
  const answers = await explained([mirror.root]);
  const why = about(answers, 'Why do guarded readers wait');
  expect(why.answer).toMatch(/closed by hand since .*: repairs/);
  expect(about(answers, 'What will').command).toBe(`mirrorlatch gate open ${mirror.root}`);
  await paste(why.command);
  expect(await mirror.sync()).toMatchObject({ outcome: 'unchanged' });
});

test('modes of the source that let every user change a tree, or keep some out, are told with what mends them', async () => {
  const mirror = smallMirror();
  await execa('chmod', ['666', `${mirror.source}/file`]);
  await execa('chmod', ['700', mirror.source]);
  await mirror.sync();
  const answers = await explained([mirror.root]);
  expect(about(answers, 'Why can some users not').answer).toMatch(/has the mode 0700/);
  const writable = about(answers, 'Why can every user');
  expect(writable.answer).toMatch(/^Every user may write to file\./);
  mirror.change({ other: 'new' });
  await paste(writable.command);
  const mended = await explained([mirror.root]);
  expect(mended.some(({ question }) => question.startsWith('Why can every user'))).toBe(false);
});

test.skipIf(!nobodyRunsTheProgram)(
  'another user learns what it may, and that the owner sees the rest',
  async () => {
    const mirror = await twoSnapshots();
    await failTo(mirror);
    const answers = await explained([mirror.root], { user: nobody });
    expect(about(answers, 'Why did').answer).toMatch(
      /Only the owner of the mirror may read what rsync said\..* Only the owner of the mirror sees what it left/,
    );
    expect(about(answers, 'What will').answer).toMatch(/^Only the owner of the mirror sees/);
  },
);
