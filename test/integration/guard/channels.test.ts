import { readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { promote } from '../../../src/operations/promote.ts';
import { expectFailure } from '../../support/expect-failure.ts';
import { guardedCallers, inShell, oneOfEachKind, runGuarded } from '../../support/guards.ts';
import { mirrorsInPlace } from '../../support/in-place-mirror.ts';
import {
  runForJson,
  runProgram,
  startProcess,
  startProgram,
  transcript,
} from '../../support/program.ts';
import { scratchDirectory } from '../../support/scratch.ts';
import { copiesOf } from '../../support/small-mirror.ts';

/** `testing` names third, which is current; `production` and `stable` name first. */
const mirrorsWithChannels = copiesOf(async (mirror) => {
  for (const id of ['first', 'second', 'third']) await mirror.publish(id, { file: id });
  for (const [channel, id] of [
    ['testing', 'third'],
    ['production', 'first'],
    ['stable', 'first'],
    ['old', 'second'],
  ] as const)
    await promote({ root: mirror.root, to: channel, id });
});
const inPlace = mirrorsInPlace();

for (const { guard, caller, name } of guardedCallers) {
  test(`I1: --channel shows one snapshot, as current and by the channel's name, by ${name}`, async () => {
    const { root } = await mirrorsWithChannels();
    writeFileSync(join(root, 'notes.json'), '{}');
    const script =
      'cat file "$1/current/file" "$1/production/file" "$1/snapshots/first/file"; ls "$1" "$1/snapshots"; echo "$MIRRORLATCH_ID"';
    const result = await runGuarded(guard, root, inShell(script, root), {
      caller,
      options: ['--channel', 'production'],
    });
    expect(result.exitCode, transcript(result)).toBe(0);
    expect(result.stdout).toBe(
      `firstfirstfirstfirst${root}:\ncurrent\nnotes.json\nproduction\nsnapshots\nstable\n\n${root}/snapshots:\nfirst\nfirst\n`,
    );
  });

  test(`a guard of current hides the channels that name other snapshots, by ${name}`, async () => {
    const { root } = await mirrorsWithChannels();
    const script = 'ls "$1"; cat "$1/testing/file"; cat "$1/production/file"';
    const result = await runGuarded(guard, root, inShell(script, root), { caller });
    expect(result.stdout, transcript(result)).toBe('current\nsnapshots\ntesting\nthird');
    expect(result.stderr).toMatch(/No such file/);
  });

  test(`I14: a channel that a mirror does not have is an error, which names those it has, by ${name}`, async () => {
    const { root } = await mirrorsWithChannels();
    const command = ['touch', join(root, 'ran')];
    const options = ['--channel', 'staging'];
    const result = await runGuarded(guard, root, command, { caller, options });
    expectFailure(
      result,
      125,
      /has no channel staging\n {2}It has old, production, stable, testing\.\n/,
    );
  });
}

for (const guard of oneOfEachKind) {
  test(`no name of the mirror's own is a channel, nor has one in place any, by ${guard.name}`, async () => {
    const { root } = await mirrorsWithChannels();
    for (const channel of ['previous', 'snapshots', 'gate']) {
      const result = await runGuarded(guard, root, ['true'], { options: ['--channel', channel] });
      expect(result.exitCode, transcript(result)).toBe(125);
    }
    const mirror = await inPlace();
    const options = ['--channel', 'production', '--wait', '0'];
    const result = await runGuarded(guard, mirror.root, ['true'], { options });
    expectFailure(result, 125, /has no channel production/);
  });

  test(`with --pin cwd, {snapshot} is that of the channel, by ${guard.name}`, async () => {
    const { root } = await mirrorsWithChannels();
    const options = ['--channel', 'production', '--pin', 'cwd'];
    const result = await runGuarded(guard, root, ['cat', '{snapshot}/file'], { options });
    expect(result.stdout, transcript(result)).toBe('first');
    const warned = await runGuarded(guard, root, ['cat', `${root}/production/file`], { options });
    expect(warned.stderr).toMatch(/leads through \S+\/production, which may change/);
  });

  test(`inside another pin, the mirror stays pinned, and that is said, by ${guard.name}`, async () => {
    const { root } = await mirrorsWithChannels();
    for (const pin of ['namespace', 'cwd']) {
      const inner = guard.around(
        root,
        ['--channel', 'production'],
        ['cat', `${root}/current/file`, 'file'],
      );
      const outer = await runGuarded(guard, root, inner, { options: ['--pin', pin] });
      expect(outer.stderr, transcript(outer)).toMatch(
        /stays pinned to third by the pin around this command: the channel production is ignored/,
      );
      expect(outer.stdout).toMatch(/third$/);
    }
  });
}

test('what a channel named is remembered apart from what was current', async () => {
  const { root, home } = await mirrorsWithChannels();
  const env = { XDG_STATE_HOME: join(home, 'state') };
  const cat = (...options: string[]) =>
    runProgram(['run', root, ...options, '--', 'cat', 'file'], { byLauncher: true, env });
  const channel = ['--channel', 'production'];
  expect((await cat(...channel, '--sticky', 'apt')).stdout).toBe('first');
  expectFailure(await cat('--reuse', 'apt'), 125, /no snapshot of .* is remembered/);
  expect((await cat('--sticky', 'apt')).stdout).toBe('third');
  await promote({ root, to: 'production', id: 'second' });
  expect((await cat(...channel, '--reuse', 'apt')).stdout).toBe('first');
  expect((await cat(...channel)).stdout).toBe('second');
  expect((await cat('--reuse', 'apt')).stdout).toBe('third');
});

test('--channel is refused with what names another snapshot', async () => {
  const { root } = await mirrorsWithChannels();
  const asked = (...options: string[]) =>
    runProgram(['run', ...options, '--channel', 'production', '--', 'true'], { byLauncher: true });
  expectFailure(
    await asked(root, '--snapshot', 'first'),
    125,
    /cannot be combined with --snapshot/,
  );
});

test('shims and shell-init guard commands with a channel', async () => {
  const { root } = await mirrorsWithChannels();
  const shims = join(scratchDirectory(), 'shims');
  const guarded = ['--mirror', root, '--channel', 'production', 'head'];
  await runForJson(['shims', shims, ...guarded]);
  const file = join(root, 'current', 'file');
  const path = `${shims}:${process.env['PATH']}`;
  const shim = await startProcess(['sh', '-c', 'head "$1"', 'sh', file], { env: { PATH: path } })
    .result;
  expect(shim.stdout, transcript(shim)).toBe('first');
  const code = await runProgram(['shell-init', 'bash', ...guarded]);
  const script = `shopt -s expand_aliases\n${code.stdout}\nhead "$1"`;
  const alias = await startProcess(['bash', '-c', script, 'bash', file]).result;
  expect(alias.stdout, transcript(alias)).toBe('first');
});

test('wait and watch follow a channel', async () => {
  const { root } = await mirrorsWithChannels();
  const waited = await runForJson(['wait', root, '--channel', 'production']);
  expect(waited).toMatchObject({ id: 'first' });
  expectFailure(
    await runProgram(['wait', root, '--channel', 'staging']),
    66,
    /has no channel "staging"/,
  );
  const waiting = startProgram(['wait', root, '--channel', 'production', '--for-publish']);
  const words = [
    'watch',
    root,
    '--channel',
    'production',
    '--',
    'cat',
    join(root, 'production/file'),
  ];
  const watching = startProgram(words, { byLauncher: true });
  await expect.poll(() => watching.printedSoFar()).toMatch(/watching, production is first/);
  await expect
    .poll(() => waiting.saidSoFar())
    .toMatch(/waiting: .* has moved production to nothing new/);
  await promote({ root, to: 'testing', id: 'second' });
  await promote({ root, to: 'production', id: 'second' });
  const result = await waiting.result;
  expect(result.stdout, transcript(result)).toBe('second\n');
  await expect.poll(() => watching.printedSoFar()).toMatch(/command for second ended with 0/);
  expect(watching.printedSoFar()).toMatch(/testing is now second, replacing third/);
  expect(watching.printedSoFar()).not.toMatch(/command started for third/);
  watching.kill('SIGTERM');
  await watching.result;
  expect(readlinkSync(join(root, 'production'))).toBe('snapshots/second');
});
