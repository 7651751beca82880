import { linkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { runProgram, transcript } from '../support/program.ts';
import { bin } from '../support/project.ts';
import { holdRsync } from '../support/slow-sync.ts';
import { mirrorsWith, type SmallMirror } from '../support/small-mirror.ts';
import { openTerminal, type Terminal } from '../support/terminal.ts';

const oneSnapshot = mirrorsWith('first');

test('without a terminal it is a plain line per phase on stderr, and a sentence on stdout', async () => {
  const mirror = await oneSnapshot();
  mirror.change({ file: 'changed', new: 'new' });
  const result = await runProgram(['sync', mirror.root, '--id', 'second']);
  expect(result.exitCode, transcript(result)).toBe(0);
  expect(result.stderr.split('\n')).toEqual([
    'mirrorlatch: planning the changes',
    'mirrorlatch: plan: 1 new, 1 changed, 0 deleted, 1 other (directories, links and attributes), 10 B to transfer',
    'mirrorlatch: cloning the current snapshot',
    'mirrorlatch: transferring the changes',
    'mirrorlatch: looking at the source again',
    'mirrorlatch: publishing',
    'mirrorlatch: pruning',
    '',
  ]);
  expect(result.stdout).toMatch(
    /^published second: 1 new, 1 changed, 0 deleted; 3 files in all \(plan, \w+ clone, \d+\.\d s\)\n$/,
  );
});

test('a sync with nothing to do reports that', async () => {
  const mirror = await oneSnapshot();
  const result = await runProgram(['sync', mirror.root]);
  expect(result.stdout).toMatch(
    new RegExp(`^unchanged: first is the same as ${mirror.source}/ \\(\\d+\\.\\d s\\)\\n$`),
  );
});

describe('on a terminal of', () => {
  test.each([
    [40, /^\d+ % \| [\d.]+ k?B of 410 kB \| \S+ left$/],
    [60, /^\d+ % \| [\d.]+ k?B of 410 kB \| \d\/2 files \| [\d.]+ k?B\/s \| \S+ left$/],
    [80, /^[█░]+ \d+ % \| [\d.]+ k?B of 410 kB \| \d\/2 files \| [\d.]+ k?B\/s \| \S+ left$/],
    [200, /^[█░]{39} \d+ % \| [\d.]+ k?B of 410 kB \| \d\/2 files \| [\d.]+ k?B\/s \| \S+ left$/],
  ])(
    '%i columns the transfer is described by what fits, on a line that disappears at the end',
    async (columns, expected) => {
      const mirror = await oneSnapshot();
      mirror.change({ a: Buffer.alloc(100 * 1024, 'a'), b: Buffer.alloc(300 * 1024, 'b') });
      const terminal = onTerminal(mirror, ['--id', 'second', '--', '--bwlimit=200'], { columns });
      expect(await terminal.exitCode).toBe(0);
      const lines = redrawn(terminal.shownSince());
      expect(lines).toContainEqual(expect.stringMatching(/^planning the changes …$/));
      expect(lines).toContainEqual(expect.stringMatching(expected));
      for (const line of lines) expect(line.length, line).toBeLessThan(columns);
      const last = terminal.shownSince().split('\r\u001b[J').at(-1);
      expect(last).toMatch(/^published second: 2 new, .*\r\n$/);
    },
  );
});

test('a terminal that becomes narrower or wider gets lines that fit, and each line is erased with what has been wrapped', async () => {
  const mirror = await oneSnapshot();
  mirror.change({ a: Buffer.alloc(8 * 1024 * 1024, 'a') });
  const terminal = onTerminal(mirror, ['--', '--bwlimit=400'], { columns: 100 });
  await terminal.shows(/[█░]+ \d+ % .* 0\/1 files/);
  terminal.type('');
  await terminal.resize(50);
  await terminal.shows(/J\d+ % \| [^█░|]* \| [^█░|]* left\r/);
  terminal.type('');
  await terminal.resize(100);
  await terminal.shows(/[█░]+ \d+ %/);
  // The cursor waits at the start of the line: what a narrower window has wrapped lies below it.
  const drawn = terminal.shownSince().split('\r\u001b[J').slice(1, -1);
  expect(drawn.filter((line) => !line.endsWith('\r'))).toEqual([]);
});

test('the shown percentage and number of files only grow, and never exceed the total', async () => {
  const mirror = await oneSnapshot();
  const many = Object.fromEntries(Array.from({ length: 30 }, (_, at) => [`a${at}`, 'small']));
  mirror.change({ ...many, b: Buffer.alloc(400 * 1024, 'b'), c: 'last' });
  const terminal = onTerminal(mirror, ['--', '--bwlimit=200'], { columns: 100 });
  expect(await terminal.exitCode).toBe(0);
  const shown = terminal.shownSince();
  const numbers = (pattern: RegExp) => [...shown.matchAll(pattern)].map(([, text]) => Number(text));
  for (const [figures, most] of [
    [numbers(/ (\d+) % \|/g), 100],
    [numbers(/ (\d+)\/32 files/g), 32],
  ] as const) {
    expect(figures.length).toBeGreaterThan(2);
    expect(figures.toSorted((one, other) => one - other)).toEqual(figures);
    expect(figures.at(-1)).toBeLessThanOrEqual(most);
  }
});

test('a transfer of hard links ends at 100 %, because each of them is transferred once', async () => {
  const mirror = await oneSnapshot();
  mirror.change({ a: Buffer.alloc(300 * 1024, 'a'), z: Buffer.alloc(50 * 1024, 'z') });
  for (const name of ['b', 'c']) linkSync(join(mirror.source, 'a'), join(mirror.source, name));
  const terminal = onTerminal(mirror, ['--', '-H', '--bwlimit=200'], { columns: 100 });
  expect(await terminal.exitCode).toBe(0);
  expect(terminal.shownSince()).toMatch(/ of 358 kB \| \d\/2 files/);
  expect(terminal.shownSince()).toMatch(/ 100 % \| 358 kB of 358 kB \| 2\/2 files/);
});

test('a transfer that has stalled says for how long nothing has come', async () => {
  const mirror = await oneSnapshot();
  mirror.change({ a: Buffer.alloc(600 * 1024, 'a') });
  const terminal = onTerminal(mirror, ['--', '--bwlimit=200'], { columns: 80 });
  await terminal.shows(/[1-9]\d* %/);
  const goOn = holdRsync(mirror.root);
  await eventually(() => expect(terminal.shownSince()).toMatch(/no data for \d+s/));
  goOn();
  expect(await terminal.exitCode).toBe(0);
});

test('a terminal that obeys no escape sequences gets plain lines', async () => {
  const mirror = await oneSnapshot();
  mirror.change({ file: 'changed' });
  const terminal = onTerminal(mirror, ['--id', 'second'], { env: { TERM: 'dumb' } });
  expect(await terminal.exitCode).toBe(0);
  expect(terminal.shownSince()).not.toContain('\u001b');
  expect(terminal.shownSince()).toContain('mirrorlatch: transferring the changes\r\n');
});

test('NO_COLOR is respected on a terminal', async () => {
  const mirror = await oneSnapshot();
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colours are what is looked for
  const colours = /\u001b\[[0-9;]*m/;
  const command = ['status', mirror.root];
  const shown = async (env: Readonly<Record<string, string>>) => {
    const terminal = openTerminal([process.execPath, bin, ...command], { env });
    await terminal.exitCode;
    return terminal.shownSince();
  };
  expect(await shown({})).toMatch(colours);
  expect(await shown({ NO_COLOR: '1' })).not.toMatch(colours);
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
  const terminal = onTerminal(mirror, ['--json']);
  await terminal.exitCode;
  expect(JSON.parse(terminal.shownSince())).toMatchObject({ outcome: 'published' });
});

test('with --quiet a successful sync prints nothing, on a terminal or not', async () => {
  const mirror = await oneSnapshot();
  mirror.change({ new: 'new' });
  const result = await runProgram(['sync', mirror.root, '--quiet']);
  expect(result.exitCode, transcript(result)).toBe(0);
  expect(result.stdout + result.stderr).toBe('');
  mirror.change({ new: 'newer' });
  const terminal = onTerminal(mirror, ['--quiet']);
  expect(await terminal.exitCode).toBe(0);
  expect(terminal.shownSince()).toBe('');
});

test('with --quiet a failed sync prints only the reason', async () => {
  const mirror = await oneSnapshot();
  mirror.change({ file: null, 'below/file': null });
  const result = await runProgram(['sync', mirror.root, '--quiet']);
  expect(result.exitCode, transcript(result)).toBe(65);
  expect(result.stdout).toBe('');
  expect(result.stderr).toMatch(/^mirrorlatch: the source has no file left, .*\n {2}.*\n$/);
});

/** Starts a sync on its own terminal. */
function onTerminal(
  mirror: SmallMirror,
  words: readonly string[],
  options: Parameters<typeof openTerminal>[1] = {},
): Terminal {
  return openTerminal([process.execPath, bin, 'sync', mirror.root, ...words], options);
}

/** The lines that were shown one after the other in one place. */
function redrawn(shown: string): string[] {
  return shown
    .split('\r\u001b[J')
    .map((line) => line.replace(/\r$/, ''))
    .filter((line) => !/[\r\n]/.test(line));
}
