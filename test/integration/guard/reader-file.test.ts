import { chmodSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { expectFailure } from '../../support/expect-failure.ts';
import { builtReader } from '../../support/guards.ts';
import { runForJson, runProgram, startProcess } from '../../support/program.ts';
import { scratchDirectory } from '../../support/scratch.ts';
import { smallMirror } from '../../support/small-mirror.ts';

const text = readFileSync(builtReader, 'utf8');

test('the reader command prints exactly that file', async () => {
  const { stdout, exitCode } = await runProgram(['reader']);
  expect(exitCode).toBe(0);
  expect(stdout).toBe(text);
});

test('a copy that is not in a mirror asks for --root', async () => {
  const copy = join(scratchDirectory(), 'below', 'reader');
  mkdirSync(dirname(copy));
  writeFileSync(copy, text);
  const result = await startProcess(['sh', copy, 'true']).result;
  expectFailure(
    result,
    125,
    /there is no mirror in/,
    /copy of a mirror's reader, .* --root ROOT\./,
  );
});

test('I11: init and the first sync put it into the mirror, executable for everybody', async () => {
  for (const command of ['init', 'sync']) {
    const mirror = smallMirror({ program: { umask: '077' } });
    if (command === 'init') await runForJson(['init', mirror.root], { umask: '077' });
    else await mirror.sync();
    expect(readFileSync(mirror.state('reader'), 'utf8')).toBe(text);
    expect(statSync(mirror.state('reader')).mode & 0o7777).toBe(0o755);
  }
});

test('an old or non-executable reader is replaced by the next publication', async () => {
  const mirror = smallMirror();
  await mirror.publish('first', {});
  const { ino } = statSync(mirror.state('reader'));
  await mirror.publish('second', { file: 'second' });
  expect(statSync(mirror.state('reader')).ino, 'it is left alone when it is the same').toBe(ino);
  writeFileSync(mirror.state('reader'), '#!/bin/sh\n# of an older version\n');
  await mirror.publish('third', { file: 'third' });
  expect(readFileSync(mirror.state('reader'), 'utf8')).toBe(text);
  expect(statSync(mirror.state('reader')).ino, 'who runs the old one reads on in it').not.toBe(ino);
  chmodSync(mirror.state('reader'), 0o600);
  await mirror.publish('fourth', { file: 'fourth' });
  expect(statSync(mirror.state('reader')).mode & 0o7777).toBe(0o755);
});
