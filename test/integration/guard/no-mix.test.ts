import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import {
  type Guard,
  type GuardOptions,
  guardedCallers,
  inShell,
  runGuarded,
} from '../../support/guards.ts';
import { transcript } from '../../support/program.ts';
import { mirrorsWith } from '../../support/small-mirror.ts';

/** The number of reads of each path. */
const READS = 500;

/** Flips `current` by rename(2), as a publication does, thousands of times a second, until killed. */
const flipper = `
  const { renameSync, symlinkSync } = require('node:fs');
  for (let n = 0; ; n += 1) {
    symlinkSync('snapshots/' + ['first', 'second'][n % 2], 'current-1');
    renameSync('current-1', 'current');
    if (n === 100) console.log('flipping');
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 0.2);
  }
`;

/** Reads all paths in turn, and prints each different content once per path. */
const readAll = String.raw`
  reads=$1 turn=0
  shift
  while [ "$turn" -lt "$reads" ]; do
    for path in file "$PWD/file" "$@"; do
      seen=nothing
      read -r seen <"$path"
      printf '%s\n' "$seen $path"
    done
    turn=$((turn + 1))
  done | sort -u
  printf '%s\n' "$MIRRORLATCH_ID pinned"`;

const mirrors = mirrorsWith('first', 'second');

/** The contents that a command sees in each path, in order, while current is flipped. */
async function readWhileFlipping(
  guard: Guard | undefined,
  paths: (root: string, home: string) => string[],
  options: GuardOptions = {},
): Promise<{ pinned: string; seen: string[][] }> {
  const { root, home } = await mirrors();
  symlinkSync('mirror', join(home, 'link'));
  const flipping = spawn(process.execPath, ['-e', flipper], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(flipping, 'exit');
  onTestFinished(async () => {
    flipping.kill();
    await ended;
  });
  await once(flipping.stdout, 'data');
  const command = inShell(readAll, String(READS), ...paths(root, home));
  const result = await runGuarded(
    guard,
    root,
    guard === undefined
      ? inShell('cd "$0/current" && exec "$@"', ...command).toSpliced(3, 1, root)
      : command,
    options,
  );
  expect(result.exitCode, transcript(result)).toBe(0);
  expect(result.stderr, transcript(result)).toBe('');
  const seenAt = new Map<string, string[]>();
  for (const line of result.stdout.trimEnd().split('\n')) {
    const [seen = '', path = ''] = line.split(/ (.*)/);
    seenAt.set(path, [...(seenAt.get(path) ?? []), seen]);
  }
  const [pinned = ''] = seenAt.get('pinned') ?? [];
  seenAt.delete('pinned');
  return { pinned, seen: [...seenAt.values()] };
}

/** Paths that lead through current. */
const throughCurrent = (root: string, home: string): string[] => [
  join(root, 'current', 'file'),
  join(home, 'link', 'current', 'file'),
  `${root}/../mirror/./current/below/../file`,
];

describe('I1: while current is flipped continuously, a command', () => {
  test('sees a mix in all but relative paths if it is not guarded', async () => {
    const { seen } = await readWhileFlipping(undefined, throughCurrent);
    // $PWD leads through current too, unless that was flipped before the shell looked: then sh
    // takes it for old, and names the directory that it is in.
    expect(seen.map(({ length }) => length).sort()).toEqual(
      seen.length === 4 ? [1, 2, 2, 2] : [1, 1, 2, 2, 2],
    );
  });

  for (const { guard, caller, name } of guardedCallers) {
    test(`sees one snapshot in every path under a namespace pin by ${name}`, async () => {
      const { pinned, seen } = await readWhileFlipping(guard, throughCurrent, {
        caller,
        options: ['--pin', 'namespace'],
      });
      expect(['first', 'second']).toContain(pinned);
      expect(seen).toEqual(Array(5).fill([pinned]));
    });

    test(`sees one snapshot in its directory, PWD and {snapshot} under a cwd pin by ${name}`, async () => {
      const { pinned, seen } = await readWhileFlipping(guard, () => ['{snapshot}/below/../file'], {
        caller,
        options: ['--pin', 'cwd'],
      });
      expect(['first', 'second']).toContain(pinned);
      expect(seen).toEqual(Array(3).fill([pinned]));
    });
  }
});
