import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, onTestFinished, test } from 'vitest';
import { freeSpaceAt, mountOf, mountsSeenBy } from '../../../src/system/mounts.ts';
import { makeLoopFilesystem, whyNoLoopFilesystem } from '../../support/loop-filesystem.ts';
import { mayMount } from '../../support/privilege.ts';
import { scratchDirectory } from '../../support/scratch.ts';

async function mountTmpfs(at: string): Promise<void> {
  await execa('mount', ['-t', 'tmpfs', 'test-tmpfs', at]);
  onTestFinished(async () => {
    await execa('umount', ['--lazy', at], { reject: false });
  });
}

test('the mount of a path is what findmnt says', async () => {
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

test.skipIf(!mayMount)(
  'of mounts over and under each other the one that is seen counts',
  async () => {
    const scratch = scratchDirectory();
    mkdirSync(join(scratch, 'a/b'), { recursive: true });
    await mountTmpfs(join(scratch, 'a/b'));
    await mountTmpfs(join(scratch, 'a'));
    mkdirSync(join(scratch, 'a/b/c'), { recursive: true });
    expect(mountOf(join(scratch, 'a/b/c'))?.mountPoint).toBe(join(scratch, 'a'));
  },
);

test.skipIf(whyNoLoopFilesystem !== '')(
  `a subvolume of btrfs is on the mount that holds it${whyNoLoopFilesystem}`,
  async () => {
    const filesystem = await makeLoopFilesystem('btrfs');
    onTestFinished(() => filesystem.remove());
    const subvolume = join(filesystem.path, 'subvolume');
    await execa('btrfs', ['subvolume', 'create', subvolume]);
    expect(mountOf(subvolume)).toMatchObject({ type: 'btrfs', mountPoint: filesystem.path });
    expect(freeSpaceAt(subvolume).inodes).toBeUndefined();
  },
);

test('free space is what df says', async () => {
  const { stdout } = await execa('df', [
    '--block-size=1',
    '--output=avail,iavail',
    scratchDirectory(),
  ]);
  const [bytes = '0', inodes = '0'] = stdout.split('\n')[1]?.trim().split(/ +/) ?? [];
  const free = freeSpaceAt(scratchDirectory());
  // Others write meanwhile.
  expect(Number(free.bytes) / Number(bytes)).toBeCloseTo(1, 0);
  expect(Number(free.inodes ?? 0) / Number(inodes)).toBeCloseTo(1, 0);
});
