import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import { runProgram } from '../../../src/system/process.ts';

/** Runs a shell's line, and gives its output to a reader that takes its time. */
function printed(line: string) {
  const outputs: Readable[] = [];
  const ended = runProgram('sh', ['-c', line], { onOutput: (output) => outputs.push(output) });
  const [output] = outputs;
  if (output === undefined) throw new Error('the output is there at once');
  return { ended, output };
}

test('what a program has printed is there for a reader that begins when it has ended', async () => {
  const { ended, output } = printed('printf abc');
  await ended;
  expect(await text(output)).toBe('abc');
});

test('a program that prints more than is read waits, and nothing of it is lost', async () => {
  const { ended, output } = printed('head -c 3000000 /dev/zero | tr "\\0" x');
  expect(await text(output)).toHaveLength(3_000_000);
  expect((await ended).exitCode).toBe(0);
});

test('a reader that has seen enough keeps no program waiting for it', async () => {
  const { ended, output } = printed('trap "" PIPE; head -c 3000000 /dev/zero; exit 7');
  await new Promise((read) => output.once('data', read));
  output.destroy();
  expect((await ended).exitCode).toBe(7);
});
