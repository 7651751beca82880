import { errnoOf } from '../errors.ts';
import { type JobEnd, type JobOptions, startJob } from './job.ts';
import { pause } from './pause.ts';

export interface LimitedJob extends JobOptions {
  /** How long it may take; ms, 0 for ever. */
  limitMs: number;
  /** Ends it, too. */
  signal: AbortSignal | undefined;
}

export interface LimitedEnd extends JobEnd {
  /** What ended it; undefined if it ended by itself. */
  endedBy: 'limit' | 'signal' | undefined;
}

/** The time between SIGTERM and SIGKILL; ms. */
const PATIENCE_MS = 10_000;

/** How often it is looked whether any of its processes is left; ms. */
const LOOK_EVERY_MS = 50;

/** No timer of Node is longer; ms. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/**
 * Runs a job that may not take longer than its limit. Then, or when the signal aborts, it is ended with all
 * processes of its group: by SIGTERM, and by SIGKILL if any is still there 10 s later. What it leaves running
 * when it ends by itself goes on.
 *
 * @throws MirrorlatchError as `startJob`.
 */
export async function runLimited(
  program: string,
  args: readonly string[],
  { limitMs, signal, ...options }: LimitedJob,
): Promise<LimitedEnd> {
  const job = startJob(program, args, options);
  let endedBy: LimitedEnd['endedBy'];
  let ending: Promise<void> | undefined;
  const end = (why: LimitedEnd['endedBy']): void => {
    endedBy ??= why;
    ending ??= endGroup(job.pid);
  };
  const onAbort = (): void => end('signal');
  const limit =
    limitMs === 0 ? undefined : setTimeout(end, Math.min(limitMs, LONGEST_TIMER_MS), 'limit');
  signal?.addEventListener('abort', onAbort);
  if (signal?.aborted) onAbort();
  try {
    return { ...(await job.ended), endedBy };
  } finally {
    clearTimeout(limit);
    signal?.removeEventListener('abort', onAbort);
    await ending;
  }
}

/** `took longer than 5 s, and was ended`: how a job has failed; undefined for success. */
export function describeEnd(
  { exitCode, signal, endedBy }: LimitedEnd,
  limitMs: number,
): string | undefined {
  switch (endedBy) {
    case 'limit':
      return `took longer than ${limitMs / 1_000} s, and was ended`;
    case 'signal':
      return 'was ended because mirrorlatch was interrupted';
    case undefined:
      if (signal !== null) return `was ended by ${signal}`;
      return exitCode === 0 ? undefined : `ended with ${exitCode}`;
  }
}

async function endGroup(leader: number): Promise<void> {
  // It could not be started, and -0 would be our own group.
  if (leader === 0) return;
  for (const name of ['SIGTERM', 'SIGCONT'] as const) signalGroup(leader, name);
  for (let waited = 0; waited < PATIENCE_MS; waited += LOOK_EVERY_MS) {
    await pause(LOOK_EVERY_MS);
    if (!signalGroup(leader, 0)) return;
  }
  signalGroup(leader, 'SIGKILL');
}

/** @returns false if there is no process of the group. */
function signalGroup(leader: number, signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(-leader, signal);
    return true;
  } catch (error) {
    // Processes of another user, as by sudo, cannot be ended by us.
    if (errnoOf(error) === 'EPERM') return true;
    if (errnoOf(error) !== 'ESRCH') throw error;
    return false;
  }
}
