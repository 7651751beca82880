import { MirrorlatchError } from '../errors.ts';
import { LIVE } from '../mirror/layout.ts';
import {
  DEFAULT_RETRY,
  type Given,
  type RetryPolicy,
  withDefaults,
} from '../mirror/settings/policy.ts';
import { callersPath } from '../system/callers-path.ts';
import { type Job, type JobEnd, startJob } from '../system/job.ts';
import { pauseBeforeRetry } from '../system/pause.ts';
import type { PinKind } from './guard.ts';
import { readerPath } from './script.ts';

export interface CommandOptions {
  /** The program and its arguments. `{snapshot}` in them becomes the snapshot's path. */
  words: readonly string[];
  /** The channel under whose name it sees the snapshot, too. */
  channel?: string | undefined;
  /** Run it for the snapshot that is current at the start too. */
  initial?: boolean | undefined;
  /** How it is pinned, as by `mirrorlatch run --pin`. */
  pin?: PinKind | undefined;
  /** `no`: it starts in the caller's working directory, not in the snapshot. */
  chdir?: 'yes' | 'no' | undefined;
  /** The options of the watch but for these two, as a shell reads them: hints repeat them. */
  typed?: string | undefined;
  /** What to do when it fails; by default, it is run again as a sync is. */
  retry?: Given<RetryPolicy> | undefined;
}

/** What happens to the command; times are ISO 8601, UTC. */
export type CommandEvent =
  | { event: 'command-started'; at: string; id: string; pid: number }
  | ({ event: 'command-ended'; at: string; id: string; seconds: number } & JobEnd)
  /** It failed, and runs again in so many seconds unless a newer snapshot comes. */
  | {
      event: 'command-retry';
      at: string;
      id: string;
      retry: number;
      retries: number;
      seconds: number;
    }
  /** It failed in all retries; the next snapshot is its next run. */
  | { event: 'command-given-up'; at: string; id: string; retries: number };

/**
 * Runs a command for one new snapshot after the other, pinned to it, and never two at once. A run that
 * fails is repeated after a pause, as often as the retries allow, or until there is a newer snapshot. A
 * command that cannot be started ends all: no snapshot and no retry helps against that.
 *
 * ```
 *           want(b)              want(c) want(d)                      ended
 *   idle ───────────► runs for b ───────────────► runs for b, d is next ─────► runs for d
 *    ▲                  │     │ ▲
 *    │ succeeded, or    │     │ │ the pause is over
 *    │ no retry is left │     │ │
 *    └──────────────────┘     ▼ │        want(c)
 *                      pauses for b ──────────────► runs for c
 * ```
 */
export class SnapshotCommand {
  readonly #root: string;
  readonly #options: CommandOptions;
  readonly #retry: RetryPolicy;
  readonly #onChange: () => void;
  readonly #past: CommandEvent[] = [];
  #job: Job | undefined;
  #failure: unknown;
  #next: string | undefined;
  /** What it runs for, or ran for last. */
  #last: string | undefined;
  /** The retries for `#last` so far. */
  #retries = 0;
  #pause: NodeJS.Timeout | undefined;
  #isRetryDue = false;
  #isStopped = false;

  /** @param onChange is called when `step` has something to do: a run or a pause is over. */
  constructor(root: string, options: CommandOptions, onChange: () => void) {
    this.#root = root;
    this.#options = options;
    this.#retry = withDefaults(DEFAULT_RETRY, options.retry);
    this.#onChange = onChange;
  }

  /** Wants a run for `id`, if there is one; of several wishes only the latest counts. */
  want(id: string | undefined): void {
    this.#next = id ?? this.#next;
  }

  /**
   * Yields what has happened, and starts the next run if none is under way.
   *
   * @throws MirrorlatchError COMMAND_NOT_FOUND or COMMAND_NOT_EXECUTABLE.
   */
  *step(): Generator<CommandEvent, void> {
    yield* this.#past.splice(0);
    if (this.#failure !== undefined) throw this.#failure;
    const id = this.#job === undefined ? this.#due() : undefined;
    if (id === undefined) return;
    const job = this.#start(id);
    yield { event: 'command-started', at: now(), id, pid: job.pid };
  }

  /** Sends the signal to the running command and waits for its end; starts nothing more. */
  async stop(signal: NodeJS.Signals): Promise<CommandEvent[]> {
    this.#isStopped = true;
    clearTimeout(this.#pause);
    this.#job?.kill(signal);
    await this.#job?.ended.catch(() => {});
    return this.#past.splice(0);
  }

  /** What the next run is for, if there is to be one now. */
  #due(): string | undefined {
    const id = this.#next;
    this.#next = undefined;
    if (this.#isNew(id)) {
      clearTimeout(this.#pause);
      this.#isRetryDue = false;
      this.#retries = 0;
      return id;
    }
    if (!this.#isRetryDue) return undefined;
    this.#isRetryDue = false;
    this.#retries += 1;
    return this.#last;
  }

  /** A rollback to what the last run was for brings nothing new; in place, the same id does. */
  #isNew(id: string | undefined): id is string {
    return id !== undefined && (id !== this.#last || id === LIVE);
  }

  #start(id: string): Job {
    const { words, channel, pin, chdir, typed = '' } = this.#options;
    const job = startJob('env', [
      ...(callersPath === undefined ? [] : [`PATH=${callersPath}`]),
      '/bin/sh',
      readerPath,
      ...['--watch', '--root', this.#root, '--snapshot', id],
      ...(channel === undefined ? [] : ['--channel', channel]),
      ...(pin === undefined ? [] : ['--pin', pin]),
      ...(chdir === undefined ? [] : ['--chdir', chdir]),
      ...['--typed', typed],
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
          this.#past.push({ event: 'command-ended', at: now(), id, seconds, ...end });
          if (this.#isStopped) return;
          this.#failure = failureToStart(end);
          if (end.exitCode !== 0) this.#planRetry(id);
        },
        (failure: unknown) => {
          this.#failure = failure;
        },
      )
      .finally(() => {
        this.#job = undefined;
        this.#onChange();
      });
    return job;
  }

  #planRetry(id: string): void {
    const { retries, delayMs } = this.#retry;
    if (this.#failure !== undefined || this.#isNew(this.#next)) return;
    if (this.#retries === retries) {
      this.#past.push({ event: 'command-given-up', at: now(), id, retries });
      return;
    }
    const pauseMs = pauseBeforeRetry(delayMs, this.#retries);
    const [retry, seconds] = [this.#retries + 1, pauseMs / 1000];
    this.#past.push({ event: 'command-retry', at: now(), id, retry, retries, seconds });
    this.#pause = setTimeout(() => {
      this.#isRetryDue = true;
      this.#onChange();
    }, pauseMs);
  }
}

/** What the exit code of env(1) and the shells says of a program that could not be started. */
function failureToStart({ exitCode }: JobEnd): MirrorlatchError | undefined {
  const hint = 'Correct the command, and start the watch again.';
  switch (exitCode) {
    case 126: {
      const message = 'the command ended with 126: it, or what it calls, cannot be executed';
      return new MirrorlatchError('COMMAND_NOT_EXECUTABLE', message, { hint });
    }
    case 127: {
      const message = 'the command ended with 127: it, or what it calls, was not found';
      return new MirrorlatchError('COMMAND_NOT_FOUND', message, { hint });
    }
    default:
      return undefined;
  }
}

function now(): string {
  return new Date().toISOString();
}
