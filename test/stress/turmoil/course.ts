import { appendFileSync, readFileSync } from 'node:fs';
import { tellWrong } from '../scale.ts';

/** One run of the test, from its start to its end or its first fault. */
export interface Course {
  /** Everything that happened, one line each, with the time since the start. */
  readonly journal: string;
  readonly faults: readonly string[];
  note(actor: string, text: string): void;
  /** Records a fault and ends the run, so that what was seen is still there. */
  fault(actor: string, text: string): void;
  /** Counts an end of an actor's work, for the table of figures. */
  count(what: string, end: string): void;
  counts(what: string, end: string): number;
  isOver(): boolean;
  end(): void;
  /** The counts, a line for each `what`. */
  table(): string[];
  /** The last lines of the journal. */
  lastLines(): string;
}

/** How much of the journal belongs in the message of a failing test; lines. */
const LAST = 60;

/** Begins a run. */
export function startCourse(journal: string): Course {
  const start = performance.now();
  const faults: string[] = [];
  const counts = new Map<string, Map<string, number>>();
  let isOver = false;
  const note = (actor: string, text: string) => {
    const seconds = ((performance.now() - start) / 1_000).toFixed(3);
    appendFileSync(journal, `${seconds.padStart(9)} ${actor.padEnd(14)} ${text}\n`);
  };
  return {
    journal,
    faults,
    note,
    fault: (actor, text) => {
      note(actor, `FAULT ${text}`);
      tellWrong([`${actor}: ${text}`]);
      faults.push(`${actor}: ${text}`);
      isOver = true;
    },
    count: (what, end) => {
      const ends = counts.get(what) ?? new Map<string, number>();
      counts.set(what, ends.set(end, (ends.get(end) ?? 0) + 1));
    },
    counts: (what, end) => counts.get(what)?.get(end) ?? 0,
    isOver: () => isOver,
    end: () => {
      isOver = true;
    },
    table: () =>
      [...counts]
        .sort(([one], [other]) => (one < other ? -1 : 1))
        .map(([what, ends]) => {
          const figures = [...ends]
            .sort(([one], [other]) => (one < other ? -1 : 1))
            .map(([end, number]) => `${end}: ${number}`);
          return `${what.padEnd(14)} ${figures.join(' · ')}`;
        }),
    lastLines: () => readFileSync(journal, 'utf8').trimEnd().split('\n').slice(-LAST).join('\n'),
  };
}
