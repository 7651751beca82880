import { join } from 'node:path';
import { Contestants, own } from './contestants.ts';
import { withDaemon } from './daemon.ts';
import { type FilesystemType, mountFilesystem } from './loop-filesystem.ts';
import { measure } from './measure.ts';
import { needSpace, Race, type Track } from './race.ts';
import { count, directories, dryRun, here, overDaemon, withLinks, withList } from './report.ts';
import { isInstalled, remove, say } from './session.ts';
import {
  changeSome,
  deleteSome,
  fillDirectory,
  linkSome,
  listFiles,
  makeTree,
  mostRounds,
} from './source-tree.ts';

/** From so many files on, a first sync runs once, and without those that are only measured beside us. */
const large = 1_000_000;

/** A part of the bench, for `--only`. */
export type Part = (track: Track, sizes: readonly number[]) => Promise<void>;

export const parts: Readonly<Record<string, Part>> = {
  trees: async (track, sizes) => {
    for (const files of sizes) {
      const some = new Contestants(track.program, track.ownPeak);
      const isBeside = files < large && isInstalled('rsnapshot');
      const beside = isBeside ? [[some.rsnapshot]] : [];
      await generations(track, here, files, track.directory, some, beside);
    }
  },

  'hard-links': async (track, sizes) => {
    for (const files of sizes.filter((size) => size >= 100_000)) {
      const some = new Contestants(track.program, track.ownPeak, ['-H']);
      const beside = files < large ? [[some.linkDest]] : [];
      await generations(track, withLinks, files, track.directory, some, beside);
    }
  },

  'file-list': async (track, sizes) => {
    for (const files of sizes) {
      const some = new Contestants(track.program, track.ownPeak);
      const base = join(track.directory, String(files));
      const source = join(base, 'source');
      needSpace(track.directory, files, 3);
      say(`${withList}, ${count(files)} files: making the source`);
      await makeTree(source, files, track.signal);
      listFiles(source);
      const race = new Race(track, withList, files, base, [some.plain, [some.withFileList]]);
      await race.firstSync(source, 1);
      const change = (round: number) => {
        changeSome(source, files, 1000, round);
        listFiles(source);
      };
      await warmUp(race, source, change);
      await race.rounds('nothing changed', source);
      await race.rounds('0.1 % changed', source, change);
      race.verify(source);
      await remove(base);
    }
  },

  filesystems: async (track, sizes) => {
    const files = Math.min(100_000, Math.max(...sizes));
    for (const type of ['xfs', 'btrfs'] satisfies FilesystemType[]) {
      try {
        const bytes = 2e9 + files * 256 * 1024;
        const point = mountFilesystem(type, track.directory, bytes);
        const some = new Contestants(track.program, track.ownPeak);
        await generations(track, type, files, point, some, []);
      } catch (error) {
        track.signal.throwIfAborted();
        say(`${type} is not measured: ${error instanceof Error ? error.message : error}`);
      }
    }
  },

  daemon: async (track, sizes) => {
    const some = new Contestants(track.program, track.ownPeak);
    const base = join(track.directory, 'daemon');
    const source = join(base, 'source');
    const files = Math.min(100_000, Math.max(...sizes));
    needSpace(track.directory, files, 1 + 2 * track.repeat);
    say(`${count(files)} files: making the source`);
    await makeTree(source, files, track.signal);
    await withDaemon(source, track.directory, (url) =>
      new Race(track, overDaemon, files, base, [[some.copy], [some.own]]).firstSync(
        url,
        track.repeat,
      ),
    );
    await remove(base);
    const names = 50_000;
    fillDirectory(source, names, 0);
    await withDaemon(source, track.directory, async (url) => {
      const race = new Race(track, directories, names, base, [[some.inPlace], [some.own]]);
      await race.firstSync(url, 1);
      await warmUp(race, url, (round) => fillDirectory(source, 500, round));
      await race.rounds('500 new names', url, (round) => fillDirectory(source, 500, round + 1));
      race.verify(source);
    });
    await remove(base);
  },

  'dry-run': async ({ directory, program, ownPeak, signal, add }) => {
    const files = 200_000;
    const source = join(directory, 'source');
    say(`${count(files)} files: making the source`);
    await makeTree(source, files, signal);
    const mirror = join(directory, 'mirror');
    const plan = ownPeak.command(program, ['sync', source, mirror, '--dry-run', '--json']);
    // A pipe whose reader is slower than its writer.
    const args = ['-c', '"$@" | (sleep 1; wc -c)', 'sh', plan.file, ...plan.args];
    const { stdout: _, ...measured } = await measure({ file: 'sh', args }, directory, signal);
    const ownPeakBytes = ownPeak.take();
    add({ setting: dryRun, files, case: dryRun, contestant: own, ...measured, ownPeakBytes });
    await remove(source);
  },
};

/**
 * A tree through all cases: first syncs, then nothing, changes and deletions, where every run that makes a
 * generation removes one.
 *
 * @param place a directory for the source and the rooms.
 * @param beside rooms of contestants that only this setting has.
 */
async function generations(
  track: Track,
  setting: string,
  files: number,
  place: string,
  some: Contestants,
  beside: ConstructorParameters<typeof Race>[4],
): Promise<void> {
  const { repeat, signal } = track;
  const base = join(place, String(files));
  const source = join(base, 'source');
  const rooms = [some.plain, [some.own], [some.withStamp], [some.atomicRsync], ...beside];
  const firstSyncs = files < large ? repeat : 1;
  needSpace(place, files, 1 + rooms.length * firstSyncs);
  say(`${setting}, ${count(files)} files: making the source`);
  await makeTree(source, files, signal);
  if (setting === withLinks) linkSome(source, files);
  const race = new Race(track, setting, files, base, rooms);
  await race.firstSync(source, firstSyncs);
  await warmUp(race, source, (round) => changeSome(source, files, 100, round));
  await race.rounds('nothing changed', source);
  await race.rounds('1 % changed', source, (round) => changeSome(source, files, 100, round));
  await race.rounds('1 % deleted', source, (round) => deleteSome(source, files, 100, round));
  race.verify(source, setting === withLinks ? ['-H'] : []);
  await remove(base);
}

/** Makes two generations, so that every run that is measured has one to remove or to recycle. */
async function warmUp(race: Race, source: string, change: (round: number) => void): Promise<void> {
  for (const round of [mostRounds, mostRounds + 1]) {
    change(round);
    await race.warmUp(source);
  }
}
