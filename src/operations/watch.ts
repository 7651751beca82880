import { type HistoryEntry, readHistory } from '../mirror/history.ts';
import { watchFile } from '../system/watcher.ts';
import { openMirror } from './mirror.ts';

export interface WatchOptions {
  root: string;
  /** How often to look without being told; ms. */
  everyMs?: number | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * What happens to a mirror from now on, in order, each once: publications, rollbacks, removals,
 * syncs that found nothing to do or failed. Ends when `signal` aborts.
 */
export async function* watch({
  root,
  everyMs = 1_000,
  signal,
}: WatchOptions): AsyncGenerator<HistoryEntry, void> {
  const { layout } = openMirror(root);
  let seen = readHistory(layout).length;
  let wake = (): void => {};
  const stop = watchFile(layout.history, everyMs, () => wake());
  const onAbort = (): void => wake();
  signal?.addEventListener('abort', onAbort);
  try {
    while (!signal?.aborted) {
      const changed = new Promise<void>((resolve) => {
        wake = resolve;
      });
      const entries = readHistory(layout);
      yield* entries.slice(seen);
      seen = entries.length;
      await changed;
    }
  } finally {
    signal?.removeEventListener('abort', onAbort);
    await stop();
  }
}
