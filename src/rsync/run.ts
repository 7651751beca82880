import type { Duplex } from 'node:stream';
import { runProgram } from '../system/process.ts';
import { complaints, type Ending, judgeEnding } from './failure.ts';
import { type Entry, LineSplitter, parseEntry } from './itemize.ts';
import {
  parseProgress,
  type SourceTotals,
  StatsReader,
  type TransferProgress,
} from './progress.ts';
import { relayOptions } from './pushed.ts';

/** Some paths failed, or vanished, and the rest went well (rsync(1), EXIT VALUES). */
const PARTIAL = new Set([23, 24]);

/** How much of rsync's standard error is kept for the error message. */
const KEPT_WORDS = 64 * 1024;

export interface RsyncRun {
  args: readonly string[];
  /** The lock, for rsync to hold as long as it runs. */
  inherit: readonly number[];
  signal: AbortSignal;
  onEntry: (entry: Entry) => void;
  onProgress?: ((progress: TransferProgress) => void) | undefined;
  /** Takes rsync's connection to a source that is pushed, to be joined with who serves it. */
  onChannel?: ((channel: Duplex) => void) | undefined;
  /** Takes rsync's own output, but for its progress. */
  log: (bytes: Buffer) => void;
}

export interface RsyncOutcome {
  ending: Ending;
  totals: SourceTotals;
  /** What it complained of when some paths failed, in a form that two runs can be compared by. */
  complaints: string;
}

/**
 * Runs rsync to its end and hands out what it tells, line by line.
 *
 * @throws the signal's reason when it was aborted; rsync has ended by then.
 */
export async function runRsync(run: RsyncRun): Promise<RsyncOutcome> {
  const { inherit, signal, onEntry, onProgress, onChannel, log } = run;
  // Last of the options: a mirror may remember another remote shell.
  const args = onChannel
    ? run.args.toSpliced(run.args.lastIndexOf('--'), 0, ...relayOptions(inherit.length))
    : run.args;
  signal.throwIfAborted();
  // What a handler throws (a full disk, say) would else end this process, and not the run.
  const broken = new AbortController();
  const guarded = (handle: (chunk: Buffer) => void) => (chunk: Buffer) => {
    try {
      if (!broken.signal.aborted) handle(chunk);
    } catch (error) {
      broken.abort(error);
    }
  };
  const splitter = new LineSplitter();
  const stats = new StatsReader();
  let words = '';
  const { exitCode } = await runProgram('rsync', args, {
    inherit,
    signal: AbortSignal.any([signal, broken.signal]),
    endWithParent: true,
    onChannel,
    onStdout: guarded((chunk) => {
      const kept: string[] = [];
      for (const line of splitter.push(chunk)) {
        const progress = parseProgress(line);
        if (progress !== undefined) {
          onProgress?.(progress);
          continue;
        }
        kept.push(line);
        const entry = parseEntry(line);
        if (entry === undefined) stats.read(line);
        else onEntry(entry);
      }
      if (kept.length > 0) log(Buffer.from(`${kept.join('\n')}\n`, 'latin1'));
    }),
    onStderr: guarded((chunk) => {
      log(chunk);
      words = (words + chunk.toString('utf8')).slice(-KEPT_WORDS);
    }),
  });
  signal.throwIfAborted();
  broken.signal.throwIfAborted();
  return {
    ending: judgeEnding(exitCode, words),
    totals: stats.totals,
    complaints: PARTIAL.has(exitCode) ? complaints(words) : '',
  };
}
