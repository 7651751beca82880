import { execa } from 'execa';
import { expect, test } from 'vitest';
import { runProgram, transcript } from '../support/program.ts';
import { bin } from '../support/project.ts';
import { mirrorsWith, type SmallMirror } from '../support/small-mirror.ts';

const oneSnapshot = mirrorsWith('first');

test('without a terminal it is a plain line per phase on stderr, and a sentence on stdout', async () => {
  const mirror = await oneSnapshot();
  mirror.change({ file: 'changed', new: 'new' });
  const result = await runProgram(['sync', mirror.root, '--id', 'second']);
  expect(result.exitCode, transcript(result)).toBe(0);
  expect(result.stderr.split('\n')).toEqual([
    'mirrorlatch: planning the changes',
    'mirrorlatch: plan: 1 new, 1 changed, 0 deleted, 1 other, 10 B',
    'mirrorlatch: cloning the current snapshot',
    'mirrorlatch: transferring the changes',
    'mirrorlatch: publishing',
    'mirrorlatch: pruning',
    '',
  ]);
  expect(result.stdout).toMatch(
    /^published second: 1 new, 1 changed, 0 deleted of 3 files \(plan, \w+ clone, \d+\.\d s\)\n$/,
  );
});

test('a sync with nothing to do reports that', async () => {
  const mirror = await oneSnapshot();
  const result = await runProgram(['sync', mirror.root]);
  expect(result.stdout).toMatch(
    new RegExp(`^unchanged: first is the same as ${mirror.source}/ \\(\\d+\\.\\d s\\)\\n$`),
  );
});

test('on a terminal it is a bar with the totals of the plan, the rate and the time left, which disappears at the end', async () => {
  const mirror = await oneSnapshot();
  mirror.change({ a: Buffer.alloc(100 * 1024, 'a'), b: Buffer.alloc(300 * 1024, 'b') });
  const shown = await onTerminal(mirror, ['--id', 'second', '--', '--bwlimit=200']);
  expect(shown).toMatch(/planning the changes …/);
  expect(shown).toMatch(
    /[█░]+ \d+ % \| [\d.]+ k?B of 410 kB \| \d\/2 files \| [\d.]+ k?B\/s \| \S+ left/,
  );
  // The bar is erased and the cursor restored before the last line.
  expect(shown).toContain('\u001b[?25h');
  const last = shown
    .trimEnd()
    .split(/[\r\n]+/)
    .at(-1);
  expect(withoutEscapes(last ?? '')).toMatch(/^published second: 2 new, /);
});

test('the bar only grows, and never exceeds the total', async () => {
  const mirror = await oneSnapshot();
  mirror.change({ a: Buffer.alloc(400 * 1024, 'a') });
  const shown = await onTerminal(mirror, ['--', '--bwlimit=200']);
  const percentages = [...shown.matchAll(/ (\d+) % \|/g)].map(([, number]) => Number(number));
  expect(percentages.length).toBeGreaterThan(2);
  expect(percentages.toSorted((one, other) => one - other)).toEqual(percentages);
  expect(percentages.at(-1)).toBeLessThanOrEqual(100);
});

test('NO_COLOR is respected on a terminal', async () => {
  const mirror = await oneSnapshot();
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colours are what is looked for
  const colours = /\u001b\[[0-9;]*m/;
  const command = ['status', mirror.root];
  expect(await inTerminal(command, { TERM: 'xterm' })).toMatch(colours);
  expect(await inTerminal(command, { TERM: 'xterm', NO_COLOR: '1' })).not.toMatch(colours);
});

test('with --json exactly one object is printed on stdout, and nothing on stderr', async () => {
  const mirror = await oneSnapshot();
  mirror.change({ new: 'new' });
  for (const options of [['--id', 'second'], [], ['--id', 'second', '--allow-shrink']]) {
    const result = await runProgram(['sync', mirror.root, ...options, '--json']);
    expect(result.stderr, transcript(result)).toBe('');
    expect(result.stdout.endsWith('}\n')).toBe(true);
    expect(result.stdout.trimEnd()).not.toContain('\n');
    expect(result.json()).toSatisfy((object) => 'outcome' in object || 'error' in object);
  }
});

test('with --json on a terminal there is no bar either', async () => {
  const mirror = await oneSnapshot();
  mirror.change({ new: 'new' });
  const shown = await onTerminal(mirror, ['--json']);
  expect(JSON.parse(shown)).toMatchObject({ outcome: 'published' });
});

test('with --quiet a successful sync prints nothing, on a terminal or not', async () => {
  const mirror = await oneSnapshot();
  mirror.change({ new: 'new' });
  const result = await runProgram(['sync', mirror.root, '--quiet']);
  expect(result.exitCode, transcript(result)).toBe(0);
  expect(result.stdout + result.stderr).toBe('');
  mirror.change({ new: 'newer' });
  expect(await onTerminal(mirror, ['--quiet'])).toBe('');
});

test('with --quiet a failed sync prints only the reason', async () => {
  const mirror = await oneSnapshot();
  mirror.change({ file: null, 'below/file': null });
  const result = await runProgram(['sync', mirror.root, '--quiet']);
  expect(result.exitCode, transcript(result)).toBe(65);
  expect(result.stdout).toBe('');
  expect(result.stderr).toMatch(/^mirrorlatch: the source has shrunk: .*\n {2}.*\n$/);
});

/** The output of a sync on its own terminal. */
function onTerminal(mirror: SmallMirror, words: readonly string[]): Promise<string> {
  return inTerminal(['sync', mirror.root, ...words], { TERM: 'xterm' });
}

/** Runs the program under script(1), which gives it a pty for stdout and stderr. */
async function inTerminal(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<string> {
  const command = [process.execPath, bin, ...args].map(quote).join(' ');
  const { stdout } = await execa('script', ['-qec', command, '/dev/null'], {
    env: { ...env, COLUMNS: '120' },
    stdin: 'ignore',
    stripFinalNewline: false,
  });
  return stdout;
}

function quote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

function withoutEscapes(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out
  return text.replace(/\u001b\[[?0-9;]*[A-Za-z]/g, '');
}
