import { mkdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { expectFailure } from '../support/expect-failure.ts';
import { runProgram, transcript } from '../support/program.ts';
import { scratchDirectory } from '../support/scratch.ts';

/** A mirror that a command of the configuration fills, and one of a source that is empty. */
async function filledMirror(...more: string[]) {
  const home = realpathSync(scratchDirectory());
  const [file, root, input] = ['c.toml', 'own', 'input'].map((name) => join(home, name)) as [
    string,
    string,
    string,
  ];
  writeFileSync(input, 'one');
  mkdirSync(join(home, 'empty'));
  const lines = [
    '[defaults]\nschedule = "hourly"',
    `[mirrors.own]\nroot = "${root}"`,
    `fill = 'cp ${input} "$MIRRORLATCH_STAGING/output"'`,
    ...more,
    `[mirrors.other]\nroot = "${home}/other"\nsource = "${home}/empty/"`,
    `[mirrors.idle]\nroot = "${home}/idle"`,
  ];
  writeFileSync(file, lines.join('\n'));
  const run = (...words: string[]) => runProgram(words, { env: { MIRRORLATCH_CONFIG: file } });
  const made = await run('init', 'own');
  expect(made.exitCode, transcript(made)).toBe(0);
  return {
    home,
    root,
    input,
    made,
    run,
    now: () => readFileSync(join(root, 'current/output'), 'utf8'),
  };
}

test('init says what fills the mirror', async () => {
  const { made, root } = await filledMirror();
  expect(made.stdout).toContain(
    `${root} is a new mirror that a command of the configuration fills\n`,
  );
  expect(made.stdout).toContain(`fill it with: mirrorlatch lock ${root}\n`);
});

test('lock runs the command of the configuration, unless it is given one', async () => {
  const { run, now, root } = await filledMirror();
  const filled = await run('lock', 'own');
  expect(filled.exitCode, transcript(filled)).toBe(0);
  expect(now()).toBe('one');
  await run('lock', 'own', '--', 'sh', '-c', 'echo two >"$MIRRORLATCH_STAGING/output"');
  expect(now()).toBe('two\n');
  await run('lock', root);
  expect(now()).toBe('one');
  expectFailure(await run('lock', 'own', '--lock-only'), 125, /no command was given/);
});

test('what a command fills is never synced', async () => {
  const { run } = await filledMirror();
  const wayOut = /own is filled by a command[\s\S]*mirrorlatch lock own/;
  expectFailure(await run('sync', 'own'), 64, wayOut);
  expectFailure(await run('sync', 'own', 'other'), 66, wayOut);
  const { stdout } = await run('explain', 'own');
  expect(stdout).toMatch(/Its schedule is hourly/);
  expect(stdout).toMatch(/filled by a command[\s\S]*\$ mirrorlatch lock /);
});

test('jobs and triggers fill it', async () => {
  const { run, now, input } = await filledMirror();
  const units = await run('systemd', 'own');
  expect(units.stdout).toMatch(/^ExecStart=\S+ lock --config \S+ own --quiet --wait 1h$/m);
  expect((await run('cron', 'own')).stdout).toMatch(/ lock --config \S+ own --quiet --wait 1h$/m);
  const started = await run('trigger', 'own', '--foreground');
  expect(started.exitCode, transcript(started)).toBe(0);
  expect(now()).toBe('one');
  writeFileSync(input, 'two');
  await run('trigger', 'own', '--foreground');
  expect(now()).toBe('two');
});

test('a mirror that nothing fills has no job, which is said', async () => {
  const { run } = await filledMirror();
  for (const verb of ['systemd', 'cron']) {
    const all = await run(verb, '--all');
    expect(all.exitCode).toBe(0);
    expect(all.stdout).not.toContain('idle');
    expect(all.stderr).toMatch(/warning: idle is left out: it has no source/);
    expectFailure(await run(verb, 'idle'), 64, /idle has no source[\s\S]*fill = /);
  }
});

test('people are told that a command which fills a mirror failed', async () => {
  const { run, input, root } = await filledMirror('notify-webhook = "http://127.0.0.1:9/hook"');
  await run('lock', 'own', '--quiet');
  rmSync(input);
  const failed = await run('lock', 'own', '--quiet');
  expect(failed.exitCode).toBe(1);
  expect(failed.stderr).toMatch(/sh ended with 1|exit code 1|exited with 1/);
  expect(failed.stderr).toMatch(/the webhook on 127.0.0.1:9 does not take the notice/);
  expect(readFileSync(join(root, '.mirrorlatch/history.jsonl'), 'utf8')).toContain('"failed"');
});

test('a source beside the command is a mistake', async () => {
  const { home } = await filledMirror();
  const file = join(home, 'both.toml');
  writeFileSync(file, `[mirrors.a]\nroot = "${home}/a"\nsource = "/srv"\nfill = "true"\n`);
  const checked = await runProgram(['config', 'check', '--config', file]);
  expectFailure(checked, 78, /line 4: a has a source, and a command that fills it/);
});
