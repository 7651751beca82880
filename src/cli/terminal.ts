import cliProgress from 'cli-progress';
import type { OnEvent, OperationEvent, Phase } from '../writer/events.ts';
import { showBytes } from './units.ts';

/** How much is printed while an operation works; `brief`: notices and warnings, but no progress. */
export type Verbosity = 'normal' | 'brief' | 'quiet';

const PHASES: Record<Phase, string> = {
  waiting: 'waiting',
  planning: 'planning the changes',
  cloning: 'cloning the current snapshot',
  closing: 'closing the gate',
  transferring: 'transferring the changes',
  comparing: 'counting the changes',
  publishing: 'publishing',
  pruning: 'pruning',
};

export interface Reporter {
  onEvent: OnEvent;
  /** Removes the progress bar; call it before anything else is printed. */
  stop: () => void;
}

/** Reports progress on standard error: with a bar on a terminal, otherwise with a line per phase. */
export function createReporter(verbosity: Verbosity): Reporter {
  const stop = (): void => {};
  if (verbosity === 'quiet') return { onEvent: () => {}, stop };
  if (verbosity === 'brief') return { onEvent: printMessage, stop };
  return process.stderr.isTTY ? new BarReporter() : { onEvent: printEvent, stop };
}

export function printWarning(message: string): void {
  printEvent({ kind: 'warning', message });
}

function printMessage(event: OperationEvent): void {
  if (event.kind === 'notice' || event.kind === 'warning') printEvent(event);
}

function printEvent(event: OperationEvent): void {
  const text = lineFor(event);
  if (text !== undefined) process.stderr.write(`mirrorlatch: ${text}\n`);
}

function lineFor(event: OperationEvent): string | undefined {
  switch (event.kind) {
    case 'phase':
      return PHASES[event.phase];
    case 'planned': {
      const { newFiles, changedFiles, deletedFiles, otherChanges, transferBytes } = event.plan;
      return `plan: ${newFiles} new, ${changedFiles} changed, ${deletedFiles} deleted, ${otherChanges} other, ${showBytes(transferBytes)}`;
    }
    case 'notice':
      return event.message;
    case 'warning':
      return `warning: ${event.message}`;
    case 'progress':
      return undefined;
  }
}

/** A line that is redrawn: the phase or, during a transfer, a bar with the totals of the plan. */
class BarReporter implements Reporter {
  #bar: cliProgress.SingleBar | undefined;
  #phase = '';
  #startedAt = 0;

  readonly onEvent = (event: OperationEvent): void => {
    switch (event.kind) {
      case 'phase':
        this.stop();
        this.#phase = PHASES[event.phase];
        process.stderr.write(`\r\u001b[K${this.#phase} …`);
        break;
      case 'progress':
        this.#show(event);
        break;
      default:
        this.stop();
        printEvent(event);
    }
  };

  readonly stop = (): void => {
    if (this.#bar !== undefined) this.#bar.stop();
    else if (this.#phase !== '') process.stderr.write('\r\u001b[K');
    this.#bar = undefined;
    this.#phase = '';
  };

  #show({
    bytes,
    totalBytes,
    files,
    totalFiles,
  }: Extract<OperationEvent, { kind: 'progress' }>): void {
    if (this.#bar === undefined) {
      process.stderr.write('\r\u001b[K');
      this.#bar = new cliProgress.SingleBar({
        stream: process.stderr,
        clearOnComplete: true,
        hideCursor: true,
        etaBuffer: 50,
        format:
          '{bar} {percentage} % | {done} of {all} | {files}/{allFiles} files | {rate}/s | {eta_formatted} left',
        barCompleteChar: '█',
        barIncompleteChar: '░',
      });
      this.#bar.start(Math.max(1, totalBytes), 0, {
        done: '',
        all: '',
        files: 0,
        allFiles: 0,
        rate: '',
      });
      this.#startedAt = performance.now();
    }
    const seconds = (performance.now() - this.#startedAt) / 1000;
    this.#bar.update(Math.min(bytes, totalBytes), {
      done: showBytes(bytes),
      all: showBytes(totalBytes),
      files,
      allFiles: totalFiles,
      rate: showBytes(seconds > 0 ? bytes / seconds : 0),
    });
  }
}
