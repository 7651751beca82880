import { execFileSync } from 'node:child_process';
import { linkSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { expectFailure } from '../support/expect-failure.ts';
import { mirrorsInPlace } from '../support/in-place-mirror.ts';
import { nobody } from '../support/privilege.ts';
import { nobodyRunsTheProgram, runForJson, runProgram, transcript } from '../support/program.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { copiesOf, smallMirror } from '../support/small-mirror.ts';

interface Use {
  snapshots: {
    id: string;
    apparentBytes: number;
    diskBytes: number;
    ownBytes: number;
    sharedBytes: number;
    freedWithOlderBytes: number | null;
    isPinned: boolean;
  }[];
  parts: Record<string, number>;
  totalBytes: number;
  linkedElsewhereBytes: number;
  hasSharedBlocks: boolean;
}

const use = async (root: string) => (await runForJson(['du', root])) as unknown as Use;

/** du(1) of coreutils counts each file once, whatever its names. */
const byCoreutils = (...words: string[]) =>
  Number(
    execFileSync('du', ['-s', '--block-size=1', ...words], { encoding: 'utf8' }).split('\t')[0],
  );

/** Four snapshots, of which two neighbours share each `file-N`, and all share the rest. */
function shared(...words: string[]) {
  return copiesOf(async (mirror) => {
    const big = (letter: string) => letter.repeat(50_000);
    for (const [at, id] of ['a', 'b', 'c', 'd'].entries()) {
      mirror.change({ [`own-${id}`]: big(id), [`file-${at}`]: big('f'), [`file-${at - 2}`]: null });
      if (at === 0) {
        linkSync(join(mirror.source, 'own-a'), join(mirror.source, 'other-name'));
        writeFileSync(join(mirror.source, 'sparse'), '');
        truncateSync(join(mirror.source, 'sparse'), 10_000_000);
      }
      await mirror.publish(id, {}, '--no-prune', '--allow-shrink', ...words);
    }
  });
}

const mirrorInPlace = mirrorsInPlace();
const SHARING = shared('-H', '-S');
const COPYING = shared('-H', '-S', '--strategy', 'copy');

describe.each([
  ['share files', SHARING],
  ['share none', COPYING],
])('du of snapshots that %s', (_, mirrors) => {
  test('adds up to what du of coreutils counts', async () => {
    const { root } = await mirrors();
    const { snapshots, parts, totalBytes, linkedElsewhereBytes } = await use(root);
    expect(totalBytes).toBe(byCoreutils(root));
    expect(linkedElsewhereBytes).toBe(0);
    expect(Object.values(parts).reduce((sum, one) => sum + one)).toBe(totalBytes);
    expect(snapshots.map(({ id }) => id)).toEqual(['a', 'b', 'c', 'd']);
    for (const { id, apparentBytes, diskBytes, ownBytes, sharedBytes } of snapshots) {
      const path = join(root, 'snapshots', id);
      expect(diskBytes).toBe(byCoreutils(path));
      expect(sharedBytes).toBe(diskBytes - ownBytes);
      const sizes = execFileSync('find', [path, '-type', 'f', '-printf', '%i %s\n'], {
        encoding: 'utf8',
      });
      const each = new Map(
        sizes
          .trimEnd()
          .split('\n')
          .map((line) => line.split(' ') as [string, string]),
      );
      expect(apparentBytes).toBe([...each.values()].reduce((sum, one) => sum + Number(one), 0));
    }
  });

  test('says what the removal of a snapshot, and of all older ones, really frees', async () => {
    const mirror = await mirrors();
    const { snapshots } = await use(mirror.root);
    for (const { id, ownBytes } of snapshots) {
      const { root } = await mirrors();
      const before = byCoreutils(join(root, 'snapshots'));
      rmSync(join(root, 'snapshots', id), { recursive: true });
      expect(before - byCoreutils(join(root, 'snapshots')), id).toBe(ownBytes);
    }
    expect(snapshots.map(({ freedWithOlderBytes }) => freedWithOlderBytes === null)).toEqual([
      ...[false, false],
      ...[true, true],
    ]);
    const before = byCoreutils(join(mirror.root, 'snapshots'));
    for (const { id, freedWithOlderBytes } of snapshots.slice(0, 2)) {
      rmSync(join(mirror.root, 'snapshots', id), { recursive: true });
      expect(before - byCoreutils(join(mirror.root, 'snapshots'))).toBe(freedWithOlderBytes);
    }
  });
});

test('what two old snapshots share is freed only with both', async () => {
  const { root } = await SHARING();
  const [a, b] = (await use(root)).snapshots;
  const freed = b?.freedWithOlderBytes ?? 0;
  expect(freed).toBeGreaterThan((a?.ownBytes ?? 0) + (b?.ownBytes ?? 0));
});

test('what is pinned or a channel stays, and comes after what may go', async () => {
  const { root } = await SHARING();
  expect((await runProgram(['pin', root, 'a'])).exitCode).toBe(0);
  const { snapshots } = await use(root);
  expect(snapshots.map(({ id }) => id)).toEqual(['b', 'a', 'c', 'd']);
  const [b, a] = snapshots;
  expect(a).toMatchObject({ isPinned: true, freedWithOlderBytes: null });
  expect(b?.freedWithOlderBytes).toBe(b?.ownBytes);
  expect((await runProgram(['promote', root, 'b', '--to', 'production'])).exitCode).toBe(0);
  const { stdout } = await runProgram(['du', root]);
  expect(stdout).toMatch(/^a +pinned .*\nb +production .*\nc +previous .*\nd +current /m);
  expect(stdout).not.toContain('may go');
});

test('files that have names outside of the mirror are freed by no removal', async () => {
  const { root } = await SHARING();
  const before = await use(root);
  const elsewhere = scratchDirectory();
  linkSync(join(root, 'snapshots/d/own-d'), join(elsewhere, 'own-d'));
  const after = await use(root);
  const size = byCoreutils(join(elsewhere, 'own-d'));
  expect(after.linkedElsewhereBytes).toBe(size);
  expect(after.totalBytes).toBe(before.totalBytes);
  expect((before.snapshots[3]?.ownBytes ?? 0) - (after.snapshots[3]?.ownBytes ?? 0)).toBe(size);
  const { stdout } = await runProgram(['du', root]);
  expect(stdout).toMatch(/ of it has names outside of the mirror, too$/m);
});

test('du prints a table with a line for each snapshot, and what else the mirror takes', async () => {
  const { root } = await SHARING();
  const result = await runProgram(['du', root]);
  expect(result.exitCode, transcript(result)).toBe(0);
  const lines = result.stdout.trimEnd().split('\n');
  expect(lines[0]).toMatch(/^SNAPSHOT +SIZE +DISK +OWN +OLDER$/);
  expect(lines[1]).toMatch(/^a +[\d.]+ MB +[\d.]+ kB +[\d.]+ kB +[\d.]+ kB +#+-+$/);
  expect(lines[3]).toMatch(/^c +previous +[\d.]+ MB +[\d.]+ kB +[\d.]+ kB +- +#+-+$/);
  expect(lines[4]).toMatch(/^d +current +[\d.]+ MB +[\d.]+ kB +[\d.]+ kB +- +#+-+$/);
  expect(lines[5]).toMatch(/mirror: [\d.]+ MB on disk: snapshots [\d.]+ kB, staging .*, logs /);
  expect(lines[6]).toMatch(/^without the 2 snapshots that may go it would be [\d.]+ kB less$/);
});

test('a pruned snapshot that waits to be recycled is a part of staging', async () => {
  const mirror = smallMirror();
  for (const id of ['a', 'b', 'c'])
    await mirror.publish(id, { [id]: id.repeat(50_000) }, '--keep-last', '1', '--grace', '0s');
  const { snapshots, totalBytes } = await use(mirror.root);
  expect(snapshots.map(({ id }) => id)).toEqual(mirror.snapshots());
  expect(totalBytes).toBe(byCoreutils(mirror.root));
});

test('du of a mirror that is written in place has one tree', async () => {
  const { root } = await mirrorInPlace();
  const { snapshots, totalBytes } = await use(root);
  expect(snapshots.map(({ id }) => id)).toEqual(['live']);
  expect(totalBytes).toBe(byCoreutils(root));
});

test.runIf(nobodyRunsTheProgram)('du says what this user may not look into', async () => {
  const { root } = await SHARING();
  const result = await runProgram(['du', root], { user: nobody });
  expect(result.exitCode, transcript(result)).toBe(0);
  expect(result.stdout).toMatch(/^a +/m);
  expect(result.stderr).toMatch(
    /this user may not look into \d+ directories, which count as empty/,
  );
});

test('du refuses what is no mirror', async () => {
  expectFailure(await runProgram(['du', scratchDirectory()]), 66, /there is no mirror in/);
});
