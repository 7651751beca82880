import { LIVE } from '../mirror/layout.ts';
import type { PlanFigures } from '../mirror/plan/plan.ts';
import { showBytes } from '../mirror/units.ts';
import type { OnEvent, OperationEvent, Phase } from '../writer/events.ts';
import { obeysEscapes, printNote } from './output.ts';
import { TransferMeter, transferLine } from './transfer-line.ts';

/**
 * How much is printed while an operation works; `brief`: notices and warnings, but no progress;
 * `quiet`: only what a person has to mend.
 */
export type Verbosity = 'normal' | 'brief' | 'quiet';

const PHASES: Record<Phase, string> = {
  waiting: 'waiting',
  probing: 'looking at the stamps of the source',
  planning: 'planning the changes',
  cloning: 'cloning the current snapshot',
  closing: 'closing the gate',
  transferring: 'transferring the changes',
  settling: 'looking at the source again',
  comparing: 'counting the changes',
  checking: 'checking the tree by what it says of itself',
  publishing: 'publishing',
  pruning: 'pruning',
  verifying: 'looking at every entry',
  reading: 'reading the content',
};

export interface Reporter {
  onEvent: OnEvent;
  /** Removes the progress line; call it before anything else is printed. */
  stop: () => void;
}

/**
 * Reports progress on standard error: on a terminal in a line that is redrawn, otherwise in a line per
 * phase.
 */
export function createReporter(verbosity: Verbosity): Reporter {
  const stop = (): void => {};
  if (verbosity === 'quiet') return { onEvent: printProblem, stop };
  if (verbosity === 'brief') return { onEvent: printMessage, stop };
  return obeysEscapes(process.stderr) ? new LineReporter() : { onEvent: printEvent, stop };
}

export function printWarning(message: string): void {
  printEvent({ kind: 'warning', message });
}

function printProblem(event: OperationEvent): void {
  if (event.kind === 'problem') printEvent(event);
}

function printMessage(event: OperationEvent): void {
  if (event.kind === 'notice' || event.kind === 'warning') printEvent(event);
  else printProblem(event);
}

/** @param whose what comes before it. */
export function printEvent(event: OperationEvent, whose = ''): void {
  const text = lineFor(event);
  if (text !== undefined) printNote(`${whose}${text}`);
}

function lineFor(event: OperationEvent): string | undefined {
  switch (event.kind) {
    case 'phase':
      // What says until when follows it.
      return event.phase === 'waiting' ? undefined : PHASES[event.phase];
    case 'planned': {
      const { transferBytes } = event.plan;
      return `plan: ${describeChanges(event.plan)}, ${showBytes(transferBytes)} to transfer`;
    }
    case 'notice':
      return event.message;
    case 'warning':
    case 'problem':
      return `warning: ${event.message}`;
    case 'progress':
      return undefined;
  }
}

/** How many entries change, and how. */
export function describeChanges(
  plan: Pick<PlanFigures, 'newFiles' | 'changedFiles' | 'deletedFiles' | 'otherChanges'>,
): string {
  const { newFiles, changedFiles, deletedFiles, otherChanges } = plan;
  const others =
    otherChanges === 0 ? '' : `, ${otherChanges} other (directories, links and attributes)`;
  return `${newFiles} new, ${changedFiles} changed, ${deletedFiles} deleted${others}`;
}

/** What was published. The one tree of an in-place mirror has no name of its own for people. */
export function nameOfTree(id: string): string {
  return id === LIVE ? 'the tree' : id;
}

/** Where nothing was new: what became of the name that the user gave to the snapshot. */
export function withoutSnapshot(id: string | undefined): string {
  return id === undefined ? '' : `, so no snapshot ${id} was made`;
}

/** Erases the line and all that is below it (ECMA-48, ED). */
const ERASE = '\r\u001b[J';

/** The width of a terminal that does not know its own; columns. */
const USUAL_WIDTH = 80;

/** The line is redrawn this often even if nothing is reported, so that a stall or a new width shows; ms. */
const REDRAW_MS = 500;

/** The shortest time between two redraws; ms. */
const PAUSE_MS = 100;

type Progress = Extract<OperationEvent, { kind: 'progress' }>;

/** What is known of the progress of one operation: its phase or, during a transfer, how far it is. */
export class ProgressLine {
  #line: ((room: number) => string) | undefined;
  #meter: TransferMeter | undefined;

  /** @returns whether the line says something else now. */
  report(event: OperationEvent): boolean {
    if (event.kind === 'phase') {
      this.#meter = undefined;
      this.#line = (room) => `${PHASES[event.phase]} …`.slice(0, room);
    } else if (event.kind === 'progress') this.#measure(event);
    return event.kind === 'phase' || event.kind === 'progress';
  }

  /** @param room the width for it; terminal columns. */
  text(room: number): string | undefined {
    return this.#line?.(room);
  }

  #measure(event: Progress): void {
    const now = performance.now();
    this.#meter ??= new TransferMeter(now);
    const meter = this.#meter;
    meter.report(event.bytes, now);
    this.#line = (room) => {
      const at = performance.now();
      return transferLine({ ...event, rate: meter.rate(at), idleMs: meter.idleMs(at) }, room);
    };
  }
}

/**
 * Lines at the bottom of a terminal that are redrawn, one for each operation.
 *
 * The cursor waits at the start of the first line, so all of them can be erased, even if the window has
 * become narrower and has wrapped them.
 */
export class LiveLines {
  readonly #lines: () => readonly string[];
  #drawnAt = 0;
  #isDrawn = false;
  readonly #redraw = setInterval(() => this.draw(), REDRAW_MS).unref();

  /** @param linesFor the lines, for a width in columns. */
  constructor(linesFor: (room: number) => readonly string[]) {
    // A line as wide as the terminal would move the cursor to the next one.
    this.#lines = () => linesFor((process.stderr.columns || USUAL_WIDTH) - 1);
  }

  /** Draws unless that was done a moment ago. */
  drawSoon(): void {
    if (performance.now() - this.#drawnAt >= PAUSE_MS) this.draw();
  }

  draw(): void {
    const lines = this.#lines();
    const shown = lines.slice(0, Math.max(1, (process.stderr.rows || lines.length + 1) - 1));
    if (shown.length === 0) return;
    const up = shown.length > 1 ? `\u001b[${shown.length - 1}A` : '';
    process.stderr.write(`${ERASE}${shown.join('\n')}\r${up}`);
    this.#drawnAt = performance.now();
    this.#isDrawn = true;
  }

  /** Prints something that stays above the lines. */
  printAbove(print: () => void): void {
    this.#erase();
    print();
    this.draw();
  }

  stop(): void {
    clearInterval(this.#redraw);
    this.#erase();
  }

  #erase(): void {
    if (this.#isDrawn) process.stderr.write(ERASE);
    this.#isDrawn = false;
  }
}

class LineReporter implements Reporter {
  readonly #progress = new ProgressLine();
  #isStopped = false;
  readonly #lines = new LiveLines((room) => {
    const text = this.#isStopped ? undefined : this.#progress.text(room);
    return text === undefined ? [] : [text];
  });

  readonly onEvent = (event: OperationEvent): void => {
    if (!this.#progress.report(event)) this.#lines.printAbove(() => printEvent(event));
    else if (event.kind === 'progress') this.#lines.drawSoon();
    else this.#lines.draw();
  };

  readonly stop = (): void => {
    this.#isStopped = true;
    this.#lines.stop();
  };
}
