import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, onTestFinished, test } from 'vitest';
import { asMirrorlatchError, type MirrorlatchError } from '../../../src/errors.ts';
import {
  freeSpaceAt,
  mountOf,
  mountsSeenBy,
  refuseMountsWithin,
} from '../../../src/system/mounts.ts';
import { makeLoopFilesystem, whyNoLoopFilesystem } from '../../support/loop-filesystem.ts';
import { mayMount } from '../../support/privilege.ts';
import { scratchDirectory } from '../../support/scratch.ts';

async function mountTmpfs(at: string): Promise<void> {
  await execa('mount', ['-t', 'tmpfs', 'test-tmpfs', at]);
  onTestFinished(async () => {
    await execa('umount', ['--lazy', at], { reject: false });
  });
}

test('the mount of a path agrees with findmnt', async () => {
  const scratch = scratchDirectory();
  const { stdout } = await execa('findmnt', ['--json', '--target', scratch]);
  const expected = JSON.parse(stdout).filesystems[0];
  expect(mountOf(scratch)).toMatchObject({ mountPoint: expected.target, type: expected.fstype });
});

test.skipIf(!mayMount)('a mount point may have any name', async () => {
  const scratch = scratchDirectory();
  const at = join(scratch, 'with space\tand \\ tab\n');
  mkdirSync(at);
  await mountTmpfs(at);
  expect(mountsSeenBy('self').map(({ mountPoint }) => mountPoint)).toContain(at);
  expect(mountOf(at)).toMatchObject({ type: 'tmpfs', mountPoint: at, source: 'test-tmpfs' });
});

test.skipIf(!mayMount)('the visible one of stacked mounts counts', async () => {
  const scratch = scratchDirectory();
  mkdirSync(join(scratch, 'a/b'), { recursive: true });
  await mountTmpfs(join(scratch, 'a/b'));
  await mountTmpfs(join(scratch, 'a'));
  mkdirSync(join(scratch, 'a/b/c'), { recursive: true });
  expect(mountOf(join(scratch, 'a/b/c'))?.mountPoint).toBe(join(scratch, 'a'));
});

test.skipIf(!mayMount)(
  'mounts in a tree are found whatever their names, and none hidden',
  async () => {
    const scratch = scratchDirectory();
    const tree = join(scratch, 'tree');
    const odd = join(tree, "it's\n\\ odd");
    for (const directory of [odd, `${tree}-2`]) mkdirSync(directory, { recursive: true });
    await mountTmpfs(`${tree}-2`);
    expect(() => refuseMountsWithin(tree, 'removed')).not.toThrow();
    expect(() => refuseMountsWithin(join(scratch, 'missing'), 'removed')).not.toThrow();
    await mountTmpfs(odd);
    mkdirSync(join(odd, 'inner'));
    await mountTmpfs(join(odd, 'inner'));
    const error = thrownBy(() => refuseMountsWithin(tree, 'removed'));
    expect(error).toMatchObject({ message: expect.stringContaining(odd) });
    const [, command = ''] = /: (umount .*)$/s.exec(error?.hint ?? '') ?? [];
    await execa('sh', ['-c', command]);
    expect(() => refuseMountsWithin(tree, 'removed')).not.toThrow();

    await mountTmpfs(odd);
    expect(() => refuseMountsWithin(odd, 'removed')).toThrow(/it is a mount point/);
    // Covers the tree with the mount in it.
    await execa('mount', ['--bind', scratchDirectory(), scratch]);
    mkdirSync(tree);
    expect(() => refuseMountsWithin(tree, 'removed')).not.toThrow();
  },
);

function thrownBy(action: () => void): MirrorlatchError | undefined {
  try {
    action();
    return undefined;
  } catch (error) {
    return asMirrorlatchError(error);
  }
}

test.skipIf(whyNoLoopFilesystem !== '')(
  `a btrfs subvolume belongs to the mount that contains it${whyNoLoopFilesystem}`,
  async () => {
    const filesystem = await makeLoopFilesystem('btrfs');
    onTestFinished(() => filesystem.remove());
    const subvolume = join(filesystem.path, 'subvolume');
    await execa('btrfs', ['subvolume', 'create', subvolume]);
    expect(mountOf(subvolume)).toMatchObject({ type: 'btrfs', mountPoint: filesystem.path });
    expect(freeSpaceAt(subvolume).inodes).toBeUndefined();
  },
);

test('free space agrees with df', async () => {
  const { stdout } = await execa('df', [
    '--block-size=1',
    '--output=avail,iavail',
    scratchDirectory(),
  ]);
  const [bytes = '0', inodes = '0'] = stdout.split('\n')[1]?.trim().split(/ +/) ?? [];
  const free = freeSpaceAt(scratchDirectory());
  // Other programs may write meanwhile.
  expect(Number(free.bytes) / Number(bytes)).toBeCloseTo(1, 0);
  expect(Number(free.inodes ?? 0) / Number(inodes)).toBeCloseTo(1, 0);
});
