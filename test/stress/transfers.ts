import { readFileSync, statSync } from 'node:fs';
import { type RsyncDaemon, startRsyncDaemon } from '../support/rsyncd.ts';

/** A real rsync daemon that serves one directory and records what it sends. */
export interface CountingSource {
  /** The source for `mirrorlatch sync`. */
  readonly url: string;
  /** Forgets what was sent so far. */
  reset(): void;
  /** The paths whose content was sent since the last `reset`. */
  sent(): string[];
  stop(): Promise<void>;
}

/** Starts the daemon. Names below `path` must be plain ASCII, because its log escapes others. */
export async function startCountingSource(path: string): Promise<CountingSource> {
  const daemon: RsyncDaemon = await startRsyncDaemon([
    { name: 'tree', path, more: ['transfer logging = yes', 'log format = sent:%f'] },
  ]);
  let start = 0;
  return {
    url: `${daemon.url('tree')}/`,
    reset: () => {
      start = statSync(daemon.log).size;
    },
    sent: () =>
      readFileSync(daemon.log)
        .subarray(start)
        .toString('utf8')
        .split('\n')
        .flatMap((line) => /\] sent:(.*)$/.exec(line)?.[1] ?? []),
    stop: () => daemon.stop(),
  };
}
