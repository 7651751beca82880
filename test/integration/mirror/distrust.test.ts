import { execFileSync } from 'node:child_process';
import {
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { distrustAfterRestart } from '../../../src/mirror/distrust.ts';
import { type Layout, layoutOf } from '../../../src/mirror/layout.ts';
import { findLeftovers, sealStaging, stagedTree } from '../../../src/mirror/staging.ts';
import { awkwardNames } from '../../support/awkward-tree.ts';
import { below } from '../../support/byte-path.ts';
import { type FileWork, fileWork } from '../../support/file-work.ts';
import { makeLoopFilesystem, whyNoLoopFilesystem } from '../../support/loop-filesystem.ts';
import { nobody, runsAsRoot } from '../../support/privilege.ts';
import { scratchDirectory } from '../../support/scratch.ts';
import { describeTree, difference } from '../../support/tree.ts';

const goesOn = new AbortController().signal;

/** A mirror with a published tree, and the path of the tree `killed` of a killed sync. */
function makeMirror(root = scratchDirectory()): {
  layout: Layout;
  published: FileWork;
  killed: FileWork;
} {
  const layout = layoutOf(root);
  mkdirSync(layout.state);
  sealStaging(layout);
  const published = fileWork(layout.snapshot('published'));
  mkdirSync(published.root, { recursive: true });
  return { layout, published, killed: fileWork(stagedTree(layout, 'killed')) };
}

function cloneOf(tree: FileWork, clone: FileWork, how = '--link'): void {
  execFileSync('cp', ['--archive', how, '--', tree.root, clone.root]);
}

function size(tree: FileWork, path: string): number {
  return statSync(below(tree.root, path)).size;
}

describe('a tree that was left before a restart', () => {
  test('is made to look out of date, except for files of the published snapshot (I2, I8)', async () => {
    const { layout, published, killed } = makeMirror();
    published.directory('d');
    for (const name of awkwardNames) published.write(`d/${name}`, 'published');
    published.write('empty', '');
    cloneOf(published, killed);
    const frozen = describeTree(published.root);
    killed.directory('new');
    for (const name of awkwardNames) killed.write(`new/${name}`, '\0'.repeat(9));
    killed.write('new/empty', '');
    expect(await distrustAfterRestart(layout, published.root, goesOn)).toBe(true);
    expect(difference(frozen, describeTree(published.root))).toEqual([]);
    for (const name of awkwardNames) {
      expect(size(killed, `new/${name}`)).toBe(10);
      expect(statSync(below(killed.root, `d/${name}`)).ino).toBe(
        statSync(below(published.root, `d/${name}`)).ino,
      );
    }
    expect(size(killed, 'new/empty')).toBe(0);
  });

  test('is trusted from then on, until the next restart or mount', async () => {
    const { layout, killed } = makeMirror();
    await distrustAfterRestart(layout, undefined, goesOn);
    mkdirSync(killed.root);
    killed.write('f', 'content');
    expect(await distrustAfterRestart(layout, undefined, goesOn)).toBe(false);
    expect(size(killed, 'f')).toBe(7);
    const mark = readFileSync(layout.bootMark, 'utf8');
    for (const other of ['', mark.slice(0, -2), mark.replace(/ /, ' 9'), `9${mark}`]) {
      writeFileSync(layout.bootMark, other);
      const before = size(killed, 'f');
      expect(await distrustAfterRestart(layout, undefined, goesOn)).toBe(true);
      expect(size(killed, 'f')).toBe(before + 1);
      expect(readFileSync(layout.bootMark, 'utf8')).toBe(mark);
    }
  });

  test('is walked again if the walk was cut short', async () => {
    const { layout, killed } = makeMirror();
    mkdirSync(killed.root);
    for (let at = 0; at < 600; at += 1) killed.write(`f${at}`, '\0');
    const walk = distrustAfterRestart(layout, undefined, AbortSignal.abort(new Error('enough')));
    await expect(walk).rejects.toThrow('enough');
    expect(existsSync(layout.bootMark)).toBe(false);
    expect(await distrustAfterRestart(layout, undefined, goesOn)).toBe(true);
    for (const name of readdirSync(killed.root)) expect(size(killed, name)).toBeGreaterThan(1);
  });

  test('I2: keeps no inode that another snapshot shares, or current under another name', async () => {
    const { layout, published, killed } = makeMirror();
    const older = fileWork(layout.snapshot('older'));
    mkdirSync(older.root);
    older.write('f', 'older');
    published.write('g', 'published');
    mkdirSync(killed.root);
    linkSync(join(older.root, 'f'), join(killed.root, 'f'));
    linkSync(join(published.root, 'g'), join(killed.root, 'h'));
    const frozen = describeTree(layout.snapshots);
    await distrustAfterRestart(layout, published.root, goesOn);
    expect(difference(frozen, describeTree(layout.snapshots))).toEqual([]);
    expect(readdirSync(killed.root)).toEqual([]);
  });

  test('I7: keeps one name of a file that only trees in staging share', async () => {
    const { layout, killed } = makeMirror();
    mkdirSync(killed.root);
    killed.write('a', 'content');
    killed.link('b', 'a');
    const other = fileWork(`${killed.root}+other`);
    cloneOf(killed, other);
    await distrustAfterRestart(layout, undefined, goesOn);
    const kept = [killed, other].flatMap((tree) =>
      readdirSync(tree.root).map((name) => readFileSync(join(tree.root, name), 'utf8')),
    );
    expect(kept).toEqual(['content\0']);
  });

  test('is walked without following symlinks, in the tree and in the published one', async () => {
    const { layout, published, killed } = makeMirror();
    const outside = fileWork(scratchDirectory());
    outside.write('f', 'outside');
    mkdirSync(killed.root);
    killed.symlink('directory', outside.root);
    killed.symlink('file', join(outside.root, 'f'));
    published.symlink('d', outside.root);
    killed.directory('d');
    execFileSync('cp', ['-p', join(outside.root, 'f'), join(killed.root, 'd')]);
    await distrustAfterRestart(layout, published.root, goesOn);
    expect(readFileSync(join(outside.root, 'f'), 'utf8')).toBe('outside');
    expect(readFileSync(join(killed.root, 'd', 'f'), 'utf8')).toBe('outside\0');
    expect(readdirSync(killed.root).sort()).toEqual(['d', 'directory', 'file']);
  });

  test('is kept only for its new files if its clone was a copy', async () => {
    const { layout, published, killed } = makeMirror();
    published.write('old', 'old');
    cloneOf(published, killed, '--reflink=auto');
    killed.write('new', 'new');
    await distrustAfterRestart(layout, published.root, goesOn);
    const { trees, foreign } = findLeftovers(layout);
    expect(trees).toEqual([]);
    expect(foreign.map((tree) => readdirSync(tree))).toEqual([['new']]);
  });

  test('stays the newest if it was the newest', async () => {
    const { layout, killed } = makeMirror();
    mkdirSync(killed.root);
    killed.write('f', 'content');
    for (const name of ['older', 'newest']) {
      execFileSync('sleep', ['0.02']);
      cloneOf(killed, fileWork(stagedTree(layout, name)));
    }
    const before = findLeftovers(layout).trees;
    expect(before[0]).toBe(stagedTree(layout, 'newest'));
    await distrustAfterRestart(layout, undefined, goesOn);
    expect(findLeftovers(layout).trees).toEqual(before);
  });
});

test.skipIf(whyNoLoopFilesystem !== '')(
  `a snapshot of a btrfs subvolume keeps its untouched files${whyNoLoopFilesystem}`,
  async () => {
    const filesystem = await makeLoopFilesystem('btrfs');
    onTestFinished(() => filesystem.remove());
    const { layout, published, killed } = makeMirror(filesystem.path);
    execFileSync('rmdir', [published.root]);
    execFileSync('btrfs', ['subvolume', 'create', published.root]);
    for (const name of ['same', 'written to', 'replaced']) published.write(name, 'published');
    execFileSync('btrfs', ['subvolume', 'snapshot', published.root, killed.root]);
    execFileSync(
      'sh',
      [
        '-c',
        'cp -p "$1" new && printf "\\0" | dd of=new conv=notrunc && touch -r "$1" new && mv new "$1"',
        'sh',
        'replaced',
      ],
      { cwd: killed.root, stdio: 'ignore' },
    );
    killed.write('written to', 'PUBLISHED');
    killed.write('new', 'new');
    const frozen = describeTree(published.root);
    await distrustAfterRestart(layout, published.root, goesOn);
    expect(difference(frozen, describeTree(published.root))).toEqual([]);
    expect(findLeftovers(layout).trees).toEqual([killed.root]);
    expect(readdirSync(killed.root).sort()).toEqual(['new', 'same', 'written to']);
    expect(readFileSync(join(killed.root, 'same'), 'utf8')).toBe('published');
    expect(readFileSync(join(killed.root, 'written to'), 'utf8')).toBe('PUBLISHED\0');
  },
);

test.skipIf(!runsAsRoot)(
  'an ordinary user also distrusts entries that deny access, and no mode changes',
  async () => {
    const { layout, killed } = makeMirror();
    mkdirSync(killed.root);
    killed.directory('closed');
    killed.directory('closed/below');
    killed.write('closed/below/read-only', 'x', 0o444);
    killed.write('closed/dark', 'x', 0o000);
    for (const path of ['closed/below', 'closed']) killed.mode(path, 0o444);
    execFileSync('chown', ['-R', `${nobody.uid}:${nobody.gid}`, '--', layout.root]);
    const before = describeTree(killed.root);
    execFileSync('chmod', ['0755', layout.root]);
    process.setegid?.(nobody.gid);
    process.seteuid?.(nobody.uid);
    try {
      await distrustAfterRestart(layout, undefined, goesOn);
    } finally {
      process.seteuid?.(0);
      process.setegid?.(0);
    }
    expect(size(killed, 'closed/below/read-only')).toBe(2);
    expect(size(killed, 'closed/dark')).toBe(2);
    const modes = (tree: typeof before) => [...tree].map(([path, { mode }]) => [path, mode]);
    expect(modes(describeTree(killed.root))).toEqual(modes(before));
  },
);
