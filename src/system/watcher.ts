import { basename } from 'node:path';
import { type FSWatcher, watch } from 'chokidar';
import { errnoOf } from '../errors.ts';
import { isShared } from './shared-filesystem.ts';

/** How often to look without an event: one may be lost, or the directory be replaced; ms. */
const SLOW_MS = 1_000;

/** The longest delay of a timer in Node; ms. */
const LONGEST_MS = 2 ** 31 - 1;

export interface WatchDirectoryOptions {
  /** Look this often, in place of events of the kernel; ms. */
  pollMs?: number | undefined;
  /** Called once if the kernel provides no events, with the setting to raise. */
  onWarning?: ((message: string) => void) | undefined;
}

/** Says when to look again; what has changed, if anything, is for the caller to find out. */
export interface ChangeWatcher {
  /**
   * Resolves when something may have changed since it last did: at once if that is already so, and
   * after `withinMs` at the latest.
   */
  change(withinMs?: number): Promise<void>;
  /** Makes `change` resolve for another reason. */
  wake(): void;
  close(): Promise<void>;
}

/**
 * Watches the entries of a directory: by a timer, and also by inotify(7) if every write to it passes
 * through this kernel. An event only makes the next look come sooner.
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
    pollMs === undefined && !isShared(directory)
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
    // One watch, on the directory, reports changes to the files in it as well.
    ignored: (path) => basename(path) !== basename(directory),
  });
  // Not `change`, which chokidar holds back for 50 ms.
  watcher.on('raw', onChange);
  // Changes made before the watch was set up cause no event.
  watcher.on('ready', onChange);
  let isWarned = false;
  // Without a listener, an error would end this process.
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
  return `${why}: looking for changes every ${SLOW_MS / 1000} s instead${help}`;
}
