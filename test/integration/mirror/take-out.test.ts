import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, onTestFinished, test } from 'vitest';
import { takeOut } from '../../../src/mirror/plan/take-out.ts';
import { fileWork } from '../../support/file-work.ts';
import { makeLoopFilesystem, whyNoLoopFilesystem } from '../../support/loop-filesystem.ts';

test.skipIf(whyNoLoopFilesystem !== '')(
  `rsync's own temporary files are kept across btrfs subvolumes, between which rename(2) fails${whyNoLoopFilesystem}`,
  async () => {
    const filesystem = await makeLoopFilesystem('btrfs');
    onTestFinished(() => filesystem.remove());
    const tree = join(filesystem.path, 'tree');
    const partial = join(filesystem.path, 'partial');
    await execa('btrfs', ['subvolume', 'create', tree]);
    mkdirSync(partial);
    fileWork(tree).write('.large.AbCdEf', 'half of it');
    await takeOut(tree, [{ name: '.large.AbCdEf' }], partial, new AbortController().signal);
    expect(readdirSync(tree)).toEqual([]);
    expect(readFileSync(join(partial, 'large'), 'utf8')).toBe('half of it');
  },
);
