import type { Configuration, ConfiguredMirror } from '../config/configuration.ts';
import { asMirrorlatchError, type MirrorlatchError } from '../errors.ts';
import { showBytes } from '../mirror/units.ts';
import type { SyncResult } from '../operations/sync/sync.ts';
import type { SyncOptions } from '../operations/sync/work.ts';
import { parseSource } from '../rsync/source.ts';
import { inTurns } from './in-turns.ts';
import { withNamedMirror } from './meant-mirror.ts';
import { bad, good, obeysEscapes, oneLine, type Part, printError, printJson } from './output.ts';
import { tellPeople } from './recipients.ts';
import { printTable } from './table.ts';
import { LiveLines, nameOfTree, ProgressLine, printEvent } from './terminal.ts';

/** One of several mirrors that are synced. */
export interface Job {
  readonly mirror: ConfiguredMirror;
  /** See `upstreamHost`. */
  readonly host: string | undefined;
  /** @throws MirrorlatchError for what is wrong with this mirror. */
  readonly options: () => SyncOptions;
}

/** How the sync of one mirror ended. */
type End = { readonly name: string; readonly seconds: number } & (
  | { readonly result: SyncResult }
  | { readonly error: MirrorlatchError; readonly isBegun: boolean }
);

/**
 * Syncs mirrors, several at once. A failure of one hurts no other, and no upstream host gets two at once.
 *
 * @param jobs how many at once.
 * @param withMail false: leaves the mail of notices to a later `notify`.
 * @param signal after it, none begins.
 * @returns the exit code: 0, or the highest of those that failed.
 */
export async function syncMany(
  mirrors: readonly Job[],
  {
    jobs,
    json,
    quiet,
    withMail,
    signal,
    configuration,
  }: {
    jobs: number;
    json: boolean;
    quiet: boolean;
    withMail: boolean;
    signal: AbortSignal;
    configuration: Configuration;
  },
): Promise<number> {
  const { sync } = await import('../operations/sync/sync.ts');
  const view =
    json || quiet ? new Quiet() : obeysEscapes(process.stderr) ? new Live() : new Plain();
  const ends = await inTurns(
    mirrors,
    { atOnce: jobs, groupOf: ({ host }) => host },
    async ({ mirror, options }): Promise<End> => {
      const { name } = mirror;
      if (signal.aborted)
        return { name, error: asMirrorlatchError(signal.reason), isBegun: false, seconds: 0 };
      const startedAt = performance.now();
      const seconds = () => Math.round((performance.now() - startedAt) / 100) / 10;
      view.begin(name);
      try {
        const onEvent = (event: Parameters<View['report']>[1]) => view.report(name, event);
        const result = await sync({ ...options(), onEvent });
        return { name, result, seconds: seconds() };
      } catch (error) {
        const named = withNamedMirror(asMirrorlatchError(error), configuration, undefined);
        return { name, error: named, isBegun: true, seconds: seconds() };
      } finally {
        const onProblem = (message: string) => view.report(name, { kind: 'problem', message });
        await tellPeople(mirror, onProblem, { withMail });
        view.end(name);
      }
    },
  );
  view.stop();
  if (json) printJson(ends.map(asJson));
  else {
    for (const end of ends) if ('error' in end && end.isBegun) printFailure(end.name, end.error);
    if (!quiet) printTable(HEAD, ends.map(row));
  }
  return Math.max(0, ...ends.map((end) => ('error' in end ? end.error.exitCode : 0)));
}

/**
 * The upstream host of a source; undefined for a directory of this host, which no other waits for.
 *
 * @throws MirrorlatchError USAGE for a text that is no source.
 */
export function upstreamHost(source: string | undefined): string | undefined {
  if (source === undefined) return undefined;
  const parsed = parseSource(source);
  return 'host' in parsed
    ? parsed.host.replace(/^.*@/, '').replace(/:\d+$/, '').toLowerCase()
    : undefined;
}

type Event = Parameters<NonNullable<SyncOptions['onEvent']>>[0];

/** What people see while it works. */
interface View {
  begin(name: string): void;
  report(name: string, event: Event): void;
  end(name: string): void;
  stop(): void;
}

/** Only what a person has to mend. */
class Quiet implements View {
  begin(): void {}
  report(name: string, event: Event): void {
    if (event.kind === 'problem') printEvent(event, `${name}: `);
  }
  end(): void {}
  stop(): void {}
}

/** A line for each phase, which begins with the name of the mirror. */
class Plain extends Quiet {
  override report(name: string, event: Event): void {
    printEvent(event, `${name}: `);
  }
}

/** On a terminal, a line for each mirror at work, which moves. */
class Live implements View {
  readonly #progress = new Map<string, ProgressLine>();
  readonly #lines = new LiveLines((room) => {
    const widest = Math.max(0, ...[...this.#progress.keys()].map((name) => name.length));
    const width = Math.min(widest, Math.floor(room / 2));
    return [...this.#progress].map(([name, progress]) => {
      const text = progress.text(Math.max(0, room - width - 1)) ?? '…';
      return `${name.slice(0, width).padEnd(width)} ${text}`.slice(0, room);
    });
  });

  begin(name: string): void {
    this.#progress.set(name, new ProgressLine());
    this.#lines.draw();
  }

  report(name: string, event: Event): void {
    const isShown = this.#progress.get(name)?.report(event) ?? false;
    if (isShown) this.#lines.drawSoon();
    else if (event.kind !== 'planned') this.#lines.printAbove(() => printEvent(event, `${name}: `));
  }

  end(name: string): void {
    this.#lines.printAbove(() => this.#progress.delete(name));
  }

  stop(): void {
    this.#lines.stop();
  }
}

function printFailure(name: string, error: MirrorlatchError): void {
  printError(error, error.exitCode, false, `${name}: `);
}

const HEAD = ['mirror', 'result', 'snapshot', 'new', 'changed', 'deleted', 'received', 'seconds'];

function row(end: End): Part[] {
  const { name, seconds } = end;
  const time = seconds.toFixed(1);
  if ('error' in end) {
    const what = end.isBegun ? `failed (${end.error.exitCode})` : 'not begun';
    return [name, bad(what), '-', '-', '-', '-', '-', time];
  }
  const { result } = end;
  const id = nameOfTree(result.id);
  if (result.outcome === 'unchanged') return [name, 'unchanged', id, '-', '-', '-', '-', time];
  const { newFiles, changedFiles, deletedFiles, transferBytes } = result.plan;
  const figures = [newFiles, changedFiles, deletedFiles].map(String);
  return [name, good('published'), id, ...figures, showBytes(transferBytes), time];
}

function asJson(end: End): object {
  const { name, seconds } = end;
  if ('result' in end) return { name, exitCode: 0, ...end.result };
  const { code, exitCode, message, hint } = end.error;
  return {
    name,
    exitCode,
    seconds,
    error: { code, message: oneLine(message), hint: hint ?? null },
  };
}
