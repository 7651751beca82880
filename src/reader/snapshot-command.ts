import { LIVE } from '../mirror/layout.ts';
import { type Job, type JobEnd, startJob } from '../system/job.ts';
import type { PinKind } from './guard.ts';
import { readerPath } from './script.ts';

export interface CommandOptions {
  /** The program and its arguments. `{snapshot}` in them becomes the snapshot's path. */
  words: readonly string[];
  /** Run it for the snapshot that is current at the start too. */
  initial?: boolean | undefined;
  /** How it is pinned, as by `mirrorlatch run --pin`. */
  pin?: PinKind | undefined;
  /** `no`: it starts in the caller's working directory, not in the snapshot. */
  chdir?: 'yes' | 'no' | undefined;
}

/** What happens to the command; times are ISO 8601, UTC. */
export type CommandEvent =
  | { event: 'command-started'; at: string; id: string; pid: number }
  | ({ event: 'command-ended'; at: string; id: string; seconds: number } & JobEnd);

/**
 * Runs a command for one new snapshot after the other, pinned to it, and never two at once.
 *
 * ```
 *            want(b)              want(c) want(d)      ended
 *   idle ───────────► runs for b ────────────────► runs for b, d is next ──────► runs for d
 *    ▲                     │ ended
 *    └─────────────────────┘
 * ```
 */
export class SnapshotCommand {
  readonly #root: string;
  readonly #options: CommandOptions;
  readonly #onEnd: () => void;
  readonly #ends: CommandEvent[] = [];
  #job: Job | undefined;
  #failure: unknown;
  #next: string | undefined;
  /** What it runs for, or ran for last. */
  #last: string | undefined;

  /** @param onEnd is called when a run has ended, and `step` has something to do. */
  constructor(root: string, options: CommandOptions, onEnd: () => void) {
    this.#root = root;
    this.#options = options;
    this.#onEnd = onEnd;
  }

  /** Wants a run for `id`; of several wishes only the latest counts. */
  want(id: string): void {
    this.#next = id;
  }

  /** Returns what has happened, and starts the next run if none is under way. */
  step(): CommandEvent[] {
    if (this.#failure !== undefined) throw this.#failure;
    const events = this.#ends.splice(0);
    const id = this.#next;
    if (this.#job !== undefined || id === undefined) return events;
    this.#next = undefined;
    // A rollback to what the last run was for brings nothing new; in place, the same id does.
    if (id === this.#last && id !== LIVE) return events;
    const job = this.#start(id);
    return [...events, { event: 'command-started', at: now(), id, pid: job.pid }];
  }

  /** Sends the signal to the running command and waits for its end; starts nothing more. */
  async stop(signal: NodeJS.Signals): Promise<CommandEvent[]> {
    this.#job?.kill(signal);
    await this.#job?.ended.catch(() => {});
    return this.#ends.splice(0);
  }

  #start(id: string): Job {
    const { words, pin, chdir } = this.#options;
    const job = startJob('sh', [
      readerPath,
      ...['--root', this.#root, '--snapshot', id],
      ...(pin === undefined ? [] : ['--pin', pin]),
      ...(chdir === undefined ? [] : ['--chdir', chdir]),
      '--',
      ...words,
    ]);
    const startedAt = performance.now();
    this.#job = job;
    this.#last = id;
    job.ended
      .then(
        (end) => {
          const seconds = Math.round(performance.now() - startedAt) / 1000;
          this.#ends.push({ event: 'command-ended', at: now(), id, seconds, ...end });
        },
        (failure: unknown) => {
          this.#failure = failure;
        },
      )
      .finally(() => {
        this.#job = undefined;
        this.#onEnd();
      });
    return job;
  }
}

function now(): string {
  return new Date().toISOString();
}
