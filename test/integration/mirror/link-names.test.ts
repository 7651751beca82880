import { execFileSync } from 'node:child_process';
import { linkSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { linkNames } from '../../../src/mirror/plan/link-names.ts';
import { PlanLists } from '../../../src/mirror/plan/plan-lists.ts';
import { fileWork } from '../../support/file-work.ts';
import { makeLoopFilesystem, whyNoLoopFilesystem } from '../../support/loop-filesystem.ts';

/** ext4 allows so many names of a file (link(2), EMLINK). */
const MOST_LINKS = 65_000;

test.skipIf(whyNoLoopFilesystem !== '')(
  `a file with as many names as ext4 allows gets no other, and the error says what helps${whyNoLoopFilesystem}`,
  async () => {
    const filesystem = await makeLoopFilesystem('ext4');
    onTestFinished(() => filesystem.remove());
    const tree = join(filesystem.path, 'tree');
    const published = join(filesystem.path, 'published');
    for (const directory of [tree, published]) mkdirSync(directory);
    fileWork(tree).write('file', 'content');
    for (let names = 1; names < MOST_LINKS; names += 1)
      linkSync(join(tree, 'file'), join(published, String(names)));
    const lists = new PlanLists(filesystem.path, './');
    const link = { change: 'new', type: 'file', size: 7, modified: '', isHardLink: true } as const;
    lists.add({ ...link, name: 'another', linkTo: 'file' });
    lists.close();
    await expect(linkNames(tree, lists, new AbortController().signal)).rejects.toMatchObject({
      code: 'IO',
      hint: expect.stringContaining('--clone copy'),
    });
    execFileSync('rm', [join(published, '1')]);
    await linkNames(tree, lists, new AbortController().signal);
    expect(execFileSync('stat', ['-c', '%h', join(tree, 'another')], { encoding: 'utf8' })).toBe(
      `${MOST_LINKS}\n`,
    );
  },
);
