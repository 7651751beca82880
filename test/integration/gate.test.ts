import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { execa } from 'execa';
import { expect, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { startOnlooker } from '../support/onlooker.ts';
import { runsAsRoot } from '../support/privilege.ts';
import { startProgram, transcript } from '../support/program.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { holdRsync } from '../support/slow-sync.ts';

const why = runsAsRoot ? '' : ' (skipped: only root can become another user)';

/** In KiB per second, so that each slow rsync takes about six seconds. */
const slowly = '--bwlimit=70';

const fileNames = Array.from({ length: 12 }, (_, index) => `file-${index}`);

test.skipIf(!runsAsRoot)(
  `I6: another user sees nothing of the tree during a first or a later sync${why}`,
  async () => {
    const home = scratchDirectory();
    const root = join(home, 'mirror');
    const source = makeSource(home, 'the first content');
    for (const id of ['first', 'later']) {
      const onlooker = await startOnlooker(stagingPaths(root, id));
      // With the most permissive umask, only mirrorlatch itself closes anything.
      const sync = startProgram(['sync', source, root, '--id', id, '--', slowly], { umask: '000' });
      const ready = await sawOpenTree(join(root, '.mirrorlatch/staging', id), sync.result);
      expect(ready, 'rsync had opened the mode of the tree itself while it worked').toBe(true);
      const goOn = holdRsync(root);
      await onlooker.looks(3);
      goOn();
      const result = await sync.result;
      expect(result.exitCode, transcript(result)).toBe(0);
      expect(await onlooker.leave()).toEqual([]);
      expect(await sightings(join(root, 'current', 'file-0'))).toContain(
        `read ${join(root, 'current', 'file-0')}`,
      );
      writeSource(source, `the content after ${id}`);
    }
  },
);

test.skipIf(!runsAsRoot)(
  `I6: a mode of rsync's own target does not work as a gate${why}`,
  async () => {
    const home = scratchDirectory();
    const source = makeSource(home, 'a content');
    const target = join(home, 'target');
    mkdirSync(target, { mode: 0o700 });
    const before = await sightings(join(target, 'file-0'));
    const onlooker = await startOnlooker([target, ...fileNames.map((name) => join(target, name))]);
    const rsync = execa('rsync', ['-a', slowly, `${source}/`, `${target}/`]);
    await eventually(() => expect(existsSync(join(target, 'file-0'))).toBe(true));
    const goOn = holdRsync(target);
    const seen = await onlooker.leave();
    goOn();
    await rsync;
    expect(before).toEqual([]);
    expect(seen).toContain(`read ${join(target, 'file-0')}`);
  },
);

function makeSource(home: string, content: string): string {
  const source = join(home, 'source');
  mkdirSync(source, { mode: 0o755 });
  writeSource(source, content);
  return source;
}

function writeSource(source: string, content: string): void {
  for (const name of fileNames) {
    writeFileSync(join(source, name), `${content}\n`.repeat(2_000), { mode: 0o644 });
  }
}

/** All paths behind the gate that a user who knows the layout can name. */
function stagingPaths(root: string, id: string): string[] {
  const staging = join(root, '.mirrorlatch/staging');
  const trees = [id, `${id}.clone`, '.partial'].map((name) => join(staging, name));
  return [
    ...trees,
    ...trees.flatMap((tree) => fileNames.map((name) => join(tree, name))),
    `${staging}/.`,
  ];
}

/**
 * True when, before the sync ended, rsync was in the middle of a file in staging, and the tree had
 * the source's own open mode and a whole file in it: a reader who could get there would have read it.
 */
async function sawOpenTree(tree: string, end: Promise<unknown>): Promise<boolean> {
  let ended = false;
  void end.then(() => {
    ended = true;
  });
  while (!ended) {
    if (isOpen(tree)) return true;
    await pause(20);
  }
  return false;
}

function isOpen(tree: string): boolean {
  try {
    return (
      (statSync(tree).mode & 0o777) === 0o755 &&
      readdirSync(tree).some((name) => /^\.file-\d+\.\w{6}$/.test(name)) &&
      readFileSync(join(tree, 'file-0'), 'utf8').startsWith('the ')
    );
  } catch {
    return false;
  }
}

async function sightings(path: string): Promise<readonly string[]> {
  const onlooker = await startOnlooker([path]);
  return onlooker.leave();
}
