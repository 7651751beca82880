import { watch } from 'chokidar';

/**
 * Calls `onChange` when the file at `path` may have changed, and again every `everyMs`: events are
 * throttled, lost and absent on network filesystems, so they only make the look come sooner.
 *
 * @returns a function that ends it.
 */
export function watchFile(
  path: string,
  everyMs: number,
  onChange: () => void,
): () => Promise<void> {
  const watcher = watch(path, { followSymlinks: false, depth: 0, ignoreInitial: true });
  watcher.on('all', onChange);
  // ENOSPC or EMFILE of inotify arrives here, and without a listener would end the process.
  watcher.on('error', onChange);
  const timer = setInterval(onChange, everyMs);
  return async () => {
    clearInterval(timer);
    await watcher.close();
  };
}
