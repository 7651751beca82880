import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command, OwnPeak } from './measure.ts';

/** A way to mirror that the bench measures. `room` is its own directory, empty at the start. */
export interface Contestant {
  readonly name: string;
  /** Creates an empty mirror. */
  prepare(room: string): void;
  /** Brings the mirror up to date with `source`; `rsync -an` only prints what it would do. */
  command(source: string, room: string): Command;
  /** The directory with the newest state after a run. */
  newest(room: string): string;
}

export const floor = 'rsync -an -i --delete';
const inPlace = 'rsync -a --delete';
export const own = 'mirrorlatch sync';
export const atomicRsync = 'atomic-rsync';
const rsnapshot = 'rsnapshot link_dest';

/**
 * The contestants in order. Those of one inner list share a room and run in immediate succession:
 * the floor only looks, then `rsync -a` brings the same tree up to date.
 *
 * All others keep two generations, so every run that makes one removes one.
 */
export function contestants(
  program: string,
  atomicRsyncScript: string,
  ownPeak: OwnPeak,
): readonly (readonly Contestant[])[] {
  const plain = (name: string, options: readonly string[]): Contestant => ({
    name,
    prepare: (room) => mkdirSync(join(room, 'tree')),
    command: (source, room) => ({
      file: 'rsync',
      args: [...options, '--', `${source}/`, `${join(room, 'tree')}/`],
    }),
    newest: (room) => join(room, 'tree'),
  });
  return [
    [plain(floor, ['-a', '-n', '-i', '--delete']), plain(inPlace, ['-a', '--delete'])],
    [
      {
        name: own,
        prepare: () => {},
        command: (source, room) =>
          ownPeak.command(program, [
            ...['sync', source, join(room, 'mirror'), '--json'],
            ...['--keep-last', '1', '--grace', '0s'],
          ]),
        newest: (room) => join(room, 'mirror', 'current'),
      },
    ],
    [
      {
        name: atomicRsync,
        prepare: (room) => {
          mkdirSync(join(room, 'tree-1'));
          symlinkSync('tree-1', join(room, 'tree'));
        },
        command: (source, room) => ({
          file: atomicRsyncScript,
          args: ['-a', '--delete', `${source}/`, join(room, 'tree')],
        }),
        newest: (room) => join(room, 'tree'),
      },
    ],
    [
      {
        name: rsnapshot,
        prepare: () => {},
        command: (source, room) => {
          const configuration = join(room, 'rsnapshot.conf');
          writeFileSync(configuration, rsnapshotConfiguration(source, join(room, 'snapshots')));
          return { file: 'rsnapshot', args: ['-c', configuration, 'alpha'] };
        },
        newest: (room) => join(room, 'snapshots', 'alpha.0', 'tree'),
      },
    ],
  ];
}

/** rsnapshot(1): fields are separated by tabs, directories end with a slash. */
function rsnapshotConfiguration(source: string, root: string): string {
  const fields = [
    ['config_version', '1.2'],
    ['snapshot_root', `${root}/`],
    ['cmd_rsync', '/usr/bin/rsync'],
    ['cmd_rm', '/bin/rm'],
    ['retain', 'alpha', '2'],
    ['link_dest', '1'],
    ['rsync_short_args', '-a'],
    ['rsync_long_args', '--delete --numeric-ids'],
    ['backup', `${source}/`, 'tree/'],
  ];
  return fields.map((line) => `${line.join('\t')}\n`).join('');
}
