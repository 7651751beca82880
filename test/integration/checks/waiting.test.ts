import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execaSync } from 'execa';
import { expect, onTestFinished, test } from 'vitest';
import { runCheck } from '../../support/checked.ts';
import { expectFailure } from '../../support/expect-failure.ts';
import { fileListOf } from '../../support/file-list.ts';
import { rot } from '../../support/flip-bit.ts';
import { mirrorsInPlace } from '../../support/in-place-mirror.ts';
import {
  type RunningProgram,
  runForJson,
  runProgram,
  startProgram,
  transcript,
} from '../../support/program.ts';
import { startPush } from '../../support/push.ts';
import type { SmallMirror } from '../../support/small-mirror.ts';
import { startSshDaemon } from '../../support/sshd.ts';
import { CUT_OFF, checkedMirror, listOf, summedFiles } from '../../support/summed-files.ts';
import { damageIn } from '../../support/verified.ts';

const inPlace = mirrorsInPlace();

const PATIENT = ['--retries', '9', '--retry-delay', '500ms'];

/** The same files with one wrong byte, at which neither size nor time shows it. */
const FLIPPED = { ...summedFiles('second'), 'images/a.iso': 'secoNd a' };

function changeUnseen({ source, change }: SmallMirror, files: Record<string, string>): void {
  change(files);
  const names = Object.keys(files).map((name) => join(source, name));
  execaSync('touch', ['--date=2026-11-22 08:00', ...names]);
}

/** Lets a program that waits for its source have it whole, and expects that it then ends well. */
async function heals(running: RunningProgram, heal: () => void): Promise<string> {
  await expect
    .poll(() => running.saidSoFar(), { timeout: 20_000 })
    .toMatch(/images\/a\.iso: .*try 1 of 9 follows/);
  heal();
  const result = await running.result;
  expect(result.exitCode, transcript(result)).toBe(0);
  return result.stderr;
}

test('a sync in place waits behind its closed gate, and takes again what was wrong', async () => {
  const mirror = await inPlace();
  await runForJson(['init', mirror.root, '--check', 'auto']);
  changeUnseen(mirror, FLIPPED);
  const running = startProgram(['sync', mirror.root, ...PATIENT]);
  await heals(running, () => {
    expect(mirror.record()).toMatchObject({ state: 'closed' });
    changeUnseen(mirror, summedFiles('second'));
  });
  expect(mirror.record()).toMatchObject({ state: 'open' });
  expect(readFileSync(mirror.tree('images/a.iso'), 'utf8')).toBe('second a');
  expect((await runCheck(mirror.root)).isRight).toBe(true);
  expect(await runForJson(['verify', mirror.root, '--bitrot'])).toMatchObject({ isWhole: true });
});

test('in place, the next sync takes again what was wrong, and nothing else is lost', async () => {
  const mirror = await inPlace();
  const own = { 'images/own.iso': 'a person’s own' };
  const list = { 'images/SHA256SUMS': listOf({ 'a.iso': 'second a', 'own.iso': 'other' }) };
  await runForJson([
    'init',
    mirror.root,
    '--check',
    'auto',
    '--',
    '--filter=P own.iso',
    '--exclude=own.iso',
  ]);
  changeUnseen(mirror, { ...FLIPPED, ...list });
  execaSync('mkdir', [mirror.tree('images')]);
  writeFileSync(mirror.tree('images/own.iso'), own['images/own.iso']);
  const sync = ['sync', mirror.root, '--retries', '0'];
  expectFailure(await runProgram(sync), 65, /images\/a\.iso: .*images\/own\.iso: /);
  changeUnseen(mirror, summedFiles('second'));
  expect(await runForJson(sync)).toMatchObject({ outcome: 'published' });
  expect(readFileSync(mirror.tree('images/a.iso'), 'utf8')).toBe('second a');
  expect(readFileSync(mirror.tree('images/own.iso'), 'utf8')).toBe(own['images/own.iso']);
  expect(await runForJson(['verify', mirror.root, '--bitrot'])).toMatchObject({ isWhole: true });
});

test('a sync by the list of files of its source waits, too', async () => {
  const mirror = await checkedMirror();
  const name = 'fullfiletimelist-test';
  const list = () =>
    writeFileSync(join(mirror.source, name), fileListOf(mirror.source, { skip: [name] }));
  const words = [mirror.root, '--file-list', 'auto', ...PATIENT];
  list();
  await runForJson(['sync', ...words]);
  mirror.change(CUT_OFF);
  list();
  const said = await heals(startProgram(['sync', ...words, '--verbose']), () => {
    mirror.change(summedFiles('second'));
    list();
  });
  expect(said).not.toMatch(/looking at everything: /);
  expect(readFileSync(join(mirror.root, 'current/images/a.iso'), 'utf8')).toBe('second a');
});

test('a push waits for the pushing host to have its tree whole, in the same session', async () => {
  const sshd = await startSshDaemon();
  onTestFinished(() => sshd.stop());
  const mirror = await checkedMirror();
  changeUnseen(mirror, FLIPPED);
  await heals(startPush(sshd, mirror, { words: PATIENT }), () =>
    changeUnseen(mirror, summedFiles('second')),
  );
  expect(readFileSync(join(mirror.root, 'current/images/a.iso'), 'utf8')).toBe('second a');
  expect(mirror.history().map(({ event }) => event)).toEqual(['published', 'published']);
});

test('all that was wrong comes again, however much it was', async () => {
  const mirror = await checkedMirror();
  const files = Object.fromEntries(
    Array.from({ length: 150 }, (_, at) => [`${at}.iso`, `content ${at}`]),
  );
  const within = (content: Record<string, string>) =>
    Object.fromEntries(Object.entries(content).map(([name, text]) => [`many/${name}`, text]));
  const right = { ...within(files), 'many/SHA256SUMS': listOf(files) };
  const wrong = Object.entries(right).map(([name, text]) => [name, text.replace(/^cont/, 'Cont')]);
  changeUnseen(mirror, Object.fromEntries(wrong));
  const sync = ['sync', mirror.root, '--retries', '0'];
  expectFailure(
    await runProgram(sync),
    65,
    /150 findings \(150 hash; 150 in many\), the first: many/,
  );
  const explained = await runProgram(['explain', mirror.root]);
  expect(explained.stdout).toMatch(/^ {3}many\/\S+: sha256 .*\n {3}and 130 more$/ms);
  changeUnseen(mirror, right);
  expect(await runForJson(sync)).toMatchObject({ outcome: 'published' });
  expect(existsSync(mirror.state('staging/.wrong'))).toBe(false);
});

test.each(['hardlink', 'copy'])(
  'what the disk has damaged in the current tree comes from the source, and not from there again: %s',
  async (clone) => {
    const mirror = await checkedMirror();
    rot(join(mirror.root, 'current/images/b.iso'));
    expect(await damageIn(mirror, '--bitrot')).toEqual(['content images/b.iso']);
    mirror.change({ file: 'changed' });
    const sync = ['sync', mirror.root, '--clone', clone, '--retries', '0'];
    expectFailure(await runProgram(sync), 65, /images\/b\.iso: sha256/);
    expect(await runForJson(sync)).toMatchObject({ outcome: 'published' });
    expect(await damageIn(mirror, '--bitrot')).toEqual([]);
    expect(readFileSync(join(mirror.root, 'current/images/b.iso'), 'utf8')).toBe('first b');
  },
);
