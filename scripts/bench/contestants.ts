import { existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command, OwnPeak } from './measure.ts';
import { fileList, stamp } from './source-tree.ts';

/** A way to mirror that the bench measures. `room` is its own directory, empty at the start. */
export interface Contestant {
  readonly name: string;
  /** Creates an empty mirror. */
  prepare(room: string): void;
  /** Brings the mirror up to date with `source`, a directory or a URL without a slash at its end. */
  command(source: string, room: string): Command;
  /** The directory with the newest state after a run; undefined if it only looks. */
  newest(room: string): string | undefined;
  /** Whether it is mirrorlatch. */
  readonly isOwn: boolean;
}

/** rsync(1) as it looks and changes nothing, and as it writes in place. */
export const floor = 'rsync -an -i --delete';
export const inPlace = 'rsync -a --delete';
export const own = 'mirrorlatch sync';
export const withStamp = 'mirrorlatch sync --probe';
export const withFileList = 'mirrorlatch sync --file-list';
export const atomicRsync = 'atomic-rsync';
const linkDest = 'rsync --link-dest, and rm';
const rsnapshot = 'rsnapshot link_dest';

/** The contestants, by name, with the options that say what rsync copies. */
export class Contestants {
  readonly #program: string;
  readonly #ownPeak: OwnPeak;
  readonly #options: readonly string[];

  /**
   * @param program mirrorlatch.
   * @param options for rsync, in addition to `-a`.
   */
  constructor(program: string, ownPeak: OwnPeak, options: readonly string[] = []) {
    this.#program = program;
    this.#ownPeak = ownPeak;
    this.#options = options;
  }

  /** Those of one room, in immediate succession: the floor only looks, then rsync writes. */
  get plain(): readonly Contestant[] {
    return [this.floor, this.inPlace];
  }

  get floor(): Contestant {
    return { ...this.#rsync(floor, ['-n', '-i', '--delete']), newest: () => undefined };
  }

  get inPlace(): Contestant {
    return this.#rsync(inPlace, ['--delete']);
  }

  /** `rsync -a`, for a first sync. */
  get copy(): Contestant {
    return this.#rsync('rsync -a', []);
  }

  get own(): Contestant {
    return this.#own(own, []);
  }

  get withStamp(): Contestant {
    return this.#own(withStamp, ['--probe', stamp]);
  }

  get withFileList(): Contestant {
    return this.#own(withFileList, ['--file-list', fileList]);
  }

  get atomicRsync(): Contestant {
    const script = findAtomicRsync();
    return {
      name: atomicRsync,
      isOwn: false,
      prepare: (room) => {
        mkdirSync(join(room, 'tree-1'));
        symlinkSync('tree-1', join(room, 'tree'));
      },
      command: (source, room) => ({
        file: script,
        args: ['-a', ...this.#options, '--delete', `${source}/`, join(room, 'tree')],
      }),
      newest: (room) => join(room, 'tree'),
    };
  }

  /** Makes a new tree, and removes the one before the last, as atomic-rsync does. */
  get linkDest(): Contestant {
    const script = `cd "$1" && rsync -a ${this.#options.join(' ')} --delete --link-dest=../tree "$2/" new/ &&
      rm -rf old && mv tree old && mv new tree`;
    return {
      name: linkDest,
      isOwn: false,
      prepare: (room) => mkdirSync(join(room, 'tree')),
      command: (source, room) => ({ file: 'sh', args: ['-c', script, 'sh', room, source] }),
      newest: (room) => join(room, 'tree'),
    };
  }

  get rsnapshot(): Contestant {
    return {
      name: rsnapshot,
      isOwn: false,
      prepare: () => {},
      command: (source, room) => {
        const configuration = join(room, 'rsnapshot.conf');
        writeFileSync(configuration, rsnapshotConfiguration(source, join(room, 'snapshots')));
        return { file: 'rsnapshot', args: ['-c', configuration, 'alpha'] };
      },
      newest: (room) => join(room, 'snapshots', 'alpha.0', 'tree'),
    };
  }

  #rsync(name: string, options: readonly string[]): Contestant {
    return {
      name,
      isOwn: false,
      prepare: (room) => mkdirSync(join(room, 'tree'), { recursive: true }),
      command: (source, room) => ({
        file: 'rsync',
        args: ['-a', ...this.#options, ...options, '--', `${source}/`, `${join(room, 'tree')}/`],
      }),
      newest: (room) => join(room, 'tree'),
    };
  }

  /** It keeps two generations, as all others: every run that makes one removes one. */
  #own(name: string, options: readonly string[]): Contestant {
    return {
      name,
      isOwn: true,
      prepare: () => {},
      command: (source, room) =>
        this.#ownPeak.command(this.#program, [
          ...['sync', source, join(room, 'mirror'), '--json', ...options],
          ...['--keep-last', '1', '--grace', '0s'],
          ...(this.#options.length === 0 ? [] : ['--', ...this.#options]),
        ]),
      newest: (room) => join(room, 'mirror', 'current'),
    };
  }
}

/** The script that the rsync package ships among its examples. */
function findAtomicRsync(): string {
  const places = [
    '/usr/share/rsync/scripts',
    '/usr/share/doc/rsync/scripts',
    '/usr/share/doc/rsync/support',
  ];
  const script = places.map((place) => join(place, 'atomic-rsync')).find(existsSync);
  if (script === undefined)
    throw new Error(`there is no atomic-rsync in ${places.join(', ')}: apt-get install rsync`);
  return script;
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
