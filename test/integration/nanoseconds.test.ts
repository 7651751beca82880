import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, onTestFinished, test } from 'vitest';
import { makeLoopFilesystem, whyNoLoopFilesystem } from '../support/loop-filesystem.ts';
import { runForJson } from '../support/program.ts';
import { mirrorsWith, smallMirror } from '../support/small-mirror.ts';

const oneSnapshot = mirrorsWith('first');

/** Sets a modification time to the nanosecond, which Node cannot. */
const setTime = (path: string, time: string) => execa('touch', [`--date=@${time}`, '--', path]);

test('I8: a file of the same size that changed within the second is transferred, even if all times of the mirror end in zeros', async () => {
  const mirror = await oneSnapshot();
  const file = join(mirror.source, 'file');
  writeFileSync(file, 'second');
  await setTime(file, '1700000000.111111111');
  await mirror.sync('--id', 'second');
  writeFileSync(file, 'third!');
  await setTime(file, '1700000000.222222222');
  // The clock of the kernel advances in ticks: for a moment each of its times ends like this.
  const directories = [mirror.root, join(mirror.root, 'snapshots'), mirror.state()];
  for (const [index, directory] of [
    ...directories,
    mirror.state('staging'),
    mirror.state('leases'),
  ].entries()) {
    await setTime(directory, `1700000000.${index + 1}00000700`);
  }
  expect(await mirror.sync('--id', 'third')).toMatchObject({ outcome: 'published' });
  expect(readFileSync(join(mirror.root, 'current/file'), 'utf8')).toBe('third!');
});

test.skipIf(whyNoLoopFilesystem !== '')(
  'a filesystem that stores whole seconds makes no file look changed, in a sync and in a dry run',
  async () => {
    const disk = await makeLoopFilesystem('ext4', { mkfs: ['-I', '128'] });
    onTestFinished(() => disk.remove());
    const mirror = smallMirror({ root: join(disk.path, 'mirror') });
    await setTime(join(mirror.source, 'file'), '1700000000.123456789');
    await mirror.sync('--id', 'first');
    // As a mirror is that an older version has made.
    rmSync(mirror.state('time-probe'));
    expect(await runForJson(['sync', mirror.root, '--dry-run'])).toMatchObject({ entries: [] });
    expect(await mirror.sync()).toMatchObject({ outcome: 'unchanged' });
    expect(await runForJson(['sync', mirror.root, '--dry-run'])).toMatchObject({ entries: [] });
  },
);
