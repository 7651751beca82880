import type { Ending } from './failure.ts';
import type { SourceTotals } from './progress.ts';
import type { Retries } from './retries.ts';
import { type RsyncRun, runRsync } from './run.ts';

/** What every rsync of one operation has in common. */
export interface RsyncSession extends Pick<RsyncRun, 'inherit' | 'signal' | 'onChannel' | 'log'> {
  retries: Retries;
}

/** One try. */
export interface RsyncTry extends Pick<RsyncRun, 'args' | 'onEntry' | 'onProgress'> {
  /** Called when rsync has ended, however it did. */
  close?: () => void;
  /** Has the last word about a run that rsync itself calls clean. */
  judge?: () => Ending;
}

/** The try that went well. */
export interface CleanRun<Try extends RsyncTry> {
  run: Try;
  /** What rsync counted in the source. */
  totals: SourceTotals;
}

/**
 * Runs rsync until it ends clean, as often as the session's retries allow.
 *
 * @param nextTry prepares each try; it may give undefined when there is nothing left to do.
 * @throws MirrorlatchError why the last try failed, or the signal's reason.
 */
export async function untilClean<Next extends RsyncTry | undefined>(
  session: RsyncSession,
  nextTry: () => Next | Promise<Next>,
): Promise<CleanRun<NonNullable<Next>> | Extract<Next, undefined>> {
  const { inherit, signal, onChannel, log, retries } = session;
  for (;;) {
    const run = await nextTry();
    if (run === undefined) return undefined as Extract<Next, undefined>;
    const { args, onEntry, onProgress, close, judge } = run;
    const outcome = await runRsync({
      ...{ args, onEntry, onProgress },
      ...{ inherit, signal, onChannel, log },
    }).finally(close);
    const isClean = outcome.ending.kind === 'clean';
    const ending = isClean && judge !== undefined ? judge() : outcome.ending;
    if (ending.kind === 'clean') return { run, totals: outcome.totals };
    await retries.again(ending, outcome.complaints);
  }
}
