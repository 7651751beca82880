import { statfsSync } from 'node:fs';
import { basename } from 'node:path';
import { type FSWatcher, watch } from 'chokidar';
import { errnoOf } from '../errors.ts';

/** How often is looked without being told: events get lost, and a watched directory replaced; ms. */
const SLOW_MS = 1_000;

/** What a timer of Node holds; ms. */
const LONGEST_MS = 2 ** 31 - 1;

export interface WatchDirectoryOptions {
  /** Do not ask the kernel for events, but look this often; ms. */
  pollMs?: number | undefined;
  /** Told once when the kernel gives no events, with the setting that would help. */
  onWarning?: ((message: string) => void) | undefined;
}

/** Tells when it is time to look again. What has changed, if anything, is for the one who looks. */
export interface ChangeWatcher {
  /**
   * Comes when something may have changed since it came last, at once if that is so already; after
   * `withinMs` at the latest.
   */
  change(withinMs?: number): Promise<void>;
  /** Makes `change` come for another reason. */
  wake(): void;
  close(): Promise<void>;
}

/**
 * Watches the entries of a directory: by inotify(7) where all who write to it write through this
 * kernel, and by a timer in any case. Events only make the look come sooner.
 */
export function watchDirectory(
  directory: string,
  { pollMs, onWarning = () => {} }: WatchDirectoryOptions = {},
): ChangeWatcher {
  let isDue = false;
  let resume: (() => void) | undefined;
  const wake = (): void => {
    isDue = true;
    resume?.();
  };
  const timer = setInterval(wake, Math.min(pollMs ?? SLOW_MS, LONGEST_MS));
  const events =
    pollMs === undefined && hasEvents(directory)
      ? watchByEvents(directory, wake, onWarning)
      : undefined;
  return {
    change: async (withinMs = LONGEST_MS) => {
      if (!isDue) {
        const deadline = setTimeout(wake, Math.min(withinMs, LONGEST_MS));
        await new Promise<void>((resolve) => {
          resume = resolve;
        });
        clearTimeout(deadline);
      }
      isDue = false;
    },
    wake,
    close: async () => {
      clearInterval(timer);
      await events?.close();
    },
  };
}

function watchByEvents(
  directory: string,
  onChange: () => void,
  onWarning: (message: string) => void,
): FSWatcher {
  const watcher = watch(directory, {
    followSymlinks: false,
    depth: 0,
    ignoreInitial: true,
    // One watch, on the directory, is told what happens to the files in it too.
    ignored: (path) => basename(path) !== basename(directory),
  });
  // Not `change`, which is held back for 50 ms without another one after it.
  watcher.on('raw', onChange);
  // What came before the watch was set up made no event.
  watcher.on('ready', onChange);
  let isWarned = false;
  // Without a listener it would end the process.
  watcher.on('error', (error) => {
    if (!isWarned) onWarning(withoutEvents(error));
    isWarned = true;
    onChange();
  });
  return watcher;
}

/** inotify_init(2) and inotify_add_watch(2), ERRORS. */
function withoutEvents(error: unknown): string {
  const [why, remedy] = {
    ENOSPC: ['all inotify watches of this user are in use', 'raise fs.inotify.max_user_watches'],
    EMFILE: [
      'all inotify instances of this user, or files of this process, are in use',
      'raise fs.inotify.max_user_instances (or ulimit -n)',
    ],
  }[errnoOf(error) ?? ''] ?? [String(error), undefined];
  const help = remedy === undefined ? '' : `; ${remedy} with sysctl(8)`;
  return `${why}, so changes are looked for every ${SLOW_MS / 1000} s${help}`;
}

/**
 * The filesystems to which somebody may write without this kernel's hearing of it: those of the
 * network, of clusters, of FUSE and of virtual machines (statfs(2), and statfs.c of coreutils).
 */
const WITHOUT_EVENTS: Readonly<Record<string, number>> = {
  afs: 0x5346414f,
  ceph: 0x00c36400,
  cifs: 0xff534d42,
  coda: 0x73757245,
  fuse: 0x65735546,
  gfs2: 0x01161970,
  gpfs: 0x47504653,
  kafs: 0x6b414653,
  lustre: 0x0bd00bd0,
  ncp: 0x564c,
  nfs: 0x6969,
  ocfs2: 0x7461636f,
  smb: 0x517b,
  smb2: 0xfe534d42,
  v9fs: 0x01021997,
  vboxsf: 0x786f4256,
};

function hasEvents(directory: string): boolean {
  // Where `long` has 32 bits the greater ones come out negative.
  return !Object.values(WITHOUT_EVENTS).includes(statfsSync(directory).type >>> 0);
}
