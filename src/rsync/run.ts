import type { Duplex } from 'node:stream';
import { nap } from '../system/pause.ts';
import { runProgram } from '../system/process.ts';
import { quoteForSh } from '../system/quote.ts';
import { ENTRY_MARK, SUM_FORMAT, SUM_MARK } from './arguments.ts';
import { ChecksumName } from './checksum-name.ts';
import { complaints, type Ending, judgeEnding } from './failure.ts';
import {
  type Entry,
  type LeftOutEntry,
  LineSplitter,
  parseEntry,
  parseKeptDirectory,
  parseLeftOut,
} from './itemize.ts';
import {
  ProgressReader,
  type SourceTotals,
  StatsReader,
  type TransferProgress,
} from './progress.ts';
import { relayOptions } from './pushed.ts';
import { parseSource } from './source.ts';

/** Some paths failed or vanished; the rest was transferred (rsync(1), EXIT VALUES). */
const PARTIAL = new Set([23, 24]);

/** How much of rsync's standard error is kept for the error message, in characters. */
const KEPT_WORDS = 64 * 1024;

export interface RsyncRun {
  args: readonly string[];
  /** What rsync reads in place of a file called `-`. */
  input?: Uint8Array | undefined;
  /** Descriptors of the lock, which rsync holds as long as it runs. */
  inherit: readonly number[];
  signal: AbortSignal;
  /** Without one, entries are only logged. Of `SUM_FORMAT`, also the name of the checksums, if it is known. */
  onEntry?: ((entry: Entry, checksumName?: string) => void) | undefined;
  /** Receives what a plan finds to be left out. */
  onLeftOut?: ((entry: LeftOutEntry) => void) | undefined;
  /** Receives the name of a directory that stays, before a dry run lists it as deleted. */
  onKept?: ((name: string) => void) | undefined;
  onProgress?: ((progress: TransferProgress) => void) | undefined;
  /** Receives rsync's connection to a pushed source; the caller connects it to the pushing host. */
  onChannel?: ((channel: Duplex) => void) | undefined;
  /** Receives rsync's own output, without the progress lines. */
  log: (bytes: Buffer) => void;
  /** Called at the end with how much content came from the source; bytes. */
  onReceived?: ((bytes: number) => void) | undefined;
}

export interface RsyncOutcome {
  ending: Ending;
  totals: SourceTotals;
  /** See `complaints`; empty unless some paths failed or vanished. */
  complaints: string;
  /** Whether these are all of them. */
  hasAllComplaints: boolean;
}

/**
 * rsync writes each line on its own, whatever its --outbuf says. To read each on its own takes more time
 * than rsync needs for a small file: so what is less than this is followed by a nap, in which more comes
 * together. It is so short that rsync seldom waits for it.
 */
const MANY_LINES_BYTES = 16 * 1024;
const NAP_MS = 1;

/**
 * Runs rsync to its end, and passes on its entries and its progress as they are printed.
 *
 * @throws the reason of `signal` when it is aborted, and what a handler throws; rsync has ended by
 *   then.
 */
export async function runRsync(run: RsyncRun): Promise<RsyncOutcome> {
  const { inherit, signal, onEntry, onLeftOut, onKept, onProgress, onChannel, log, onReceived } =
    run;
  const checksums = run.args.includes(SUM_FORMAT) ? await ChecksumName.ask() : undefined;
  // Last of the options, to override a remote shell among the mirror's settings.
  const last = [...(checksums?.options ?? []), ...(onChannel ? relayOptions(inherit.length) : [])];
  const args = run.args.toSpliced(run.args.lastIndexOf('--'), 0, ...last);
  signal.throwIfAborted();
  // A handler may throw, for example on a full disk. That must end the run, not this process.
  const broken = new AbortController();
  const guarded = (handle: (chunk: Buffer) => void) => (chunk: Buffer) => {
    try {
      if (!broken.signal.aborted) handle(chunk);
    } catch (error) {
      broken.abort(error);
    }
  };
  const splitter = new LineSplitter(onProgress !== undefined);
  const reader = new ProgressReader();
  const stats = new StatsReader();
  let words = '';
  let hasAllWords = true;
  const { exitCode } = await runProgram('rsync', args, {
    input: run.input,
    inherit,
    signal: AbortSignal.any([signal, broken.signal]),
    endWithParent: true,
    onChannel,
    onStdout: guarded((chunk) => {
      const said: string[] = [];
      let progress: TransferProgress | undefined;
      for (const line of splitter.push(chunk)) {
        if (line.startsWith(ENTRY_MARK)) {
          said.push(withoutSum(line).replaceAll(ENTRY_MARK, ''));
          const entry = onEntry && parseEntry(line);
          if (entry !== undefined) onEntry?.(entry, checksums?.name);
          continue;
        }
        if (checksums?.read(line)) continue;
        const reached = onProgress && reader.read(line);
        if (reached !== undefined) {
          progress = reached;
          continue;
        }
        // Between two reports of progress, an empty line is all that is left of the line breaks.
        if (line === '' && onProgress) continue;
        said.push(line);
        const leftOut = onLeftOut && parseLeftOut(line);
        const kept = onKept && parseKeptDirectory(line);
        if (leftOut !== undefined) onLeftOut?.(leftOut);
        else if (kept !== undefined) onKept?.(kept);
        else stats.read(line);
      }
      // rsync reports at each file. The last report of a chunk tells as much as all of them.
      if (progress !== undefined) onProgress?.(progress);
      if (said.length > 0) log(Buffer.from(`${said.join('\n')}\n`, 'latin1'));
      // With a channel, the content of files passes through this process, and must not wait.
      if (!onChannel && chunk.length < MANY_LINES_BYTES) nap(NAP_MS);
    }),
    onStderr: guarded((chunk) => {
      log(chunk);
      const said = words + chunk.toString('utf8');
      words = said.slice(-KEPT_WORDS);
      hasAllWords &&= words === said;
    }),
  });
  signal.throwIfAborted();
  broken.signal.throwIfAborted();
  onReceived?.(stats.receivedBytes);
  return {
    ending: judgeEnding(exitCode, words, hostIn(args)),
    totals: stats.totals,
    complaints: PARTIAL.has(exitCode) ? complaints(words) : '',
    hasAllComplaints: hasAllWords,
  };
}

/** A log says what came. */
function withoutSum(line: string): string {
  const at = line.indexOf(ENTRY_MARK + SUM_MARK);
  return at === -1 ? line : line.slice(0, at);
}

/** The host of the source, the first argument after the options, if it is another one. */
function hostIn(args: readonly string[]): string | undefined {
  const source = parseSource(args[args.lastIndexOf('--') + 1] ?? '');
  return 'host' in source ? quoteForSh(source.host) : undefined;
}
