import type { Ending } from './failure.ts';
import type { SourceTotals } from './progress.ts';
import type { Retries } from './retries.ts';
import { type RsyncRun, runRsync } from './run.ts';

/** The settings that all runs of one operation share. */
export interface RsyncSession
  extends Pick<RsyncRun, 'inherit' | 'signal' | 'onChannel' | 'log' | 'onReceived'> {
  retries: Retries;
}

/** One run of rsync. */
export interface RsyncTry
  extends Pick<RsyncRun, 'args' | 'input' | 'onEntry' | 'onLeftOut' | 'onKept' | 'onProgress'> {
  /** Called when rsync has ended, cleanly or not. */
  close?: () => void;
  /** May overrule a clean ending. */
  judge?: () => Ending;
  /** Whether what rsync complains of, see `complaints`, does no harm. */
  overlooks?: (complaints: string) => boolean;
}

/** The run that ended cleanly. */
export interface CleanRun<Try extends RsyncTry> {
  run: Try;
  /** The totals of the source. */
  totals: SourceTotals;
}

/**
 * Runs rsync until it ends cleanly, as often as the session's retries allow.
 *
 * @param nextTry prepares each run; it may return undefined if there is nothing left to do.
 * @returns undefined if `nextTry` did.
 * @throws MirrorlatchError for the last failure; the reason of the signal if it is aborted.
 */
export async function untilClean<Next extends RsyncTry | undefined>(
  session: RsyncSession,
  nextTry: () => Next | Promise<Next>,
): Promise<CleanRun<NonNullable<Next>> | Extract<Next, undefined>> {
  const { inherit, signal, onChannel, log, onReceived, retries } = session;
  const common = { inherit, signal, onChannel, log, onReceived };
  for (;;) {
    const run = await nextTry();
    if (run === undefined) return undefined as Extract<Next, undefined>;
    const { close, judge, overlooks, ...handlers } = run;
    const outcome = await runRsync({ ...common, ...handlers }).finally(close);
    const { totals, complaints, hasAllComplaints } = outcome;
    const isOverlooked =
      complaints !== '' && hasAllComplaints && (overlooks?.(complaints) ?? false);
    const own: Ending = isOverlooked ? { kind: 'clean' } : outcome.ending;
    const ending = own.kind === 'clean' && judge !== undefined ? judge() : own;
    if (ending.kind === 'clean') return { run, totals };
    await retries.again(ending, complaints);
  }
}
