import { type Command, InvalidArgumentError } from 'commander';
import { describeVerified } from '../../mirror/describe-verified.ts';
import type { HistoryEntry } from '../../mirror/history/history.ts';
import { isAdoption, wasPublishedAnyway } from '../../mirror/history/history-index.ts';
import { printable } from '../../mirror/names.ts';
import { showBytes, showTime } from '../../mirror/units.ts';
import type { Digest, EventRun } from '../../reader/history.ts';
import { quoteForSh } from '../../system/quote.ts';
import { helpAfter } from '../help.ts';
import { MirrorArgument } from '../mirror-names.ts';
import { oneLine, printEach, printLine } from '../output.ts';
import { isUtf8Terminal, sparkline } from '../sparkline.ts';
import { nameOfTree } from '../terminal.ts';
import { showTimeLeft } from '../units.ts';
import { count, duration, someOf } from '../values.ts';

type Event = HistoryEntry['event'];

interface Flags {
  last?: number | 'all';
  /** ms */
  since?: number;
  event?: Event[];
  json?: boolean;
}

/** How many are shown unless the user says so. */
const USUAL = 20;

/** How many publications the bars show. */
const BARS = 40;

/** What people call them. */
const WORDS: Record<Event, string> = {
  published: 'published',
  unchanged: 'unchanged',
  failed: 'failed',
  'rolled-back': 'rolled back',
  pruned: 'pruned',
  'prune-failed': 'could not be pruned',
  'hook-failed': 'hook failed',
  promoted: 'promoted',
  'channel-removed': 'channel removed',
  verified: 'verified',
};

const EVENTS = Object.keys(WORDS) as Event[];

export function addHistory(program: Command): void {
  program
    .command('history')
    .summary('show what happened to a mirror')
    .description(
      'Shows what happened to a mirror, newest last: publications, syncs that found nothing new or failed, rollbacks, moves of channels, and removals.',
    )
    .addArgument(new MirrorArgument())
    .option(
      '--last <n>',
      `how many of the last ones, or all (default: ${USUAL}, or all with --since)`,
      countOrAll,
    )
    .option('--since <duration>', 'those that happened no longer ago than this', duration)
    .option('--event <kinds>', `only these: ${EVENTS.join(', ')}`, someOf(EVENTS))
    .option('--json', 'print one object per line, as history.jsonl has it')
    .addHelpText(
      'after',
      helpAfter(
        [
          'mirrorlatch history /srv/mirror/debian',
          'mirrorlatch history /srv/mirror/debian --since 7d --event failed',
          'mirrorlatch history /srv/mirror/debian --event published --last 1 --json | jq -r .id',
        ],
        ['USAGE', 'NO_MIRROR', 'PERMISSION', 'CONFIGURATION', 'IO'],
        'Syncs one after another that found nothing new are one line, but not with --json. FILES are new and\nchanged ones, FETCHED is what came from the source. On a terminal, the bars show that of the last publications.',
      ),
    )
    .action(async (root: string, { last, since, event, json = false }: Flags) => {
      const { history, withHistoryDigest } = await import('../../reader/history.ts');
      const options = { root, last: numberOf(last, since), sinceMs: since, events: event };
      if (json) {
        await printEach(linesOfJson(history(options)));
        return;
      }
      await withHistoryDigest({ ...options, publications: BARS }, (digest) =>
        printDigest(root, digest),
      );
    });
}

function countOrAll(text: string): number | 'all' {
  if (text === 'all') return text;
  try {
    return count(1)(text);
  } catch {
    throw new InvalidArgumentError('Give a whole number of at least 1, or all.');
  }
}

function numberOf(last: Flags['last'], since: number | undefined): number | undefined {
  if (last === undefined) return since === undefined ? USUAL : undefined;
  return last === 'all' ? undefined : last;
}

function* linesOfJson(entries: Iterable<HistoryEntry>): Generator<string> {
  for (const entry of entries) yield JSON.stringify(entry);
}

async function printDigest(
  root: string,
  { runs, hasEarlier, publications }: Digest,
): Promise<void> {
  const bytes = publications.map(({ newBytes }) => newBytes ?? 0);
  if (process.stdout.isTTY && bytes.length > 1) {
    const bars = sparkline(bytes, isUtf8Terminal(process.env));
    const range = `${showBytes(Math.min(...bytes))} to ${showBytes(Math.max(...bytes))}`;
    printLine(`fetched ${bars} ${range}, in the last ${bytes.length} publications`);
    printLine();
  }
  const first = runs.next();
  if (first.done) {
    printLine('nothing like that happened');
    return;
  }
  if (hasEarlier) printLine(`earlier ones: mirrorlatch history ${quoteForSh(root)} --last all`);
  await printEach(table(first.value, runs));
}

/** The widths of the columns, of which the last has none: whoever prints a line has not read the next yet. */
const WIDTHS = [20, 20, 8, 8, 8, 7];

function* table(first: EventRun, others: Iterable<EventRun>): Generator<string> {
  yield line(['WHEN', 'WHAT', 'FILES', 'DELETED', 'FETCHED', 'TOOK', 'SNAPSHOT']);
  yield line(cellsOf(first));
  for (const run of others) yield line(cellsOf(run));
}

function line(cells: readonly string[]): string {
  return cells
    .map((cell, at) => printable(cell).padEnd(WIDTHS[at] ?? 0))
    .join('  ')
    .trimEnd();
}

function cellsOf({ entry, count, firstAt }: EventRun): string[] {
  const when = showTime(entry.at);
  const word = WORDS[entry.event];
  switch (entry.event) {
    case 'published': {
      const { id, newFiles, deletedFiles, newBytes = null, seconds } = entry;
      const published = wasPublishedAnyway(entry.checked) ? `${word} anyway` : word;
      const what = isAdoption(entry) ? 'adopted' : published;
      const figures = [number(newFiles), number(deletedFiles), showBytes(newBytes), time(seconds)];
      return [when, what, ...figures, nameOfTree(id)];
    }
    case 'unchanged': {
      const since = count === 1 ? '' : `, since ${showTime(firstAt)}`;
      const what = count === 1 ? word : `${count} times ${word}`;
      const took = ['', '', '', count === 1 ? time(entry.seconds) : ''];
      return [when, what, ...took, `${nameOfTree(entry.current)}${since}`];
    }
    case 'failed':
    case 'prune-failed':
      return [when, word, ...NO_FIGURES, about(entry.id, entry.message)];
    case 'hook-failed':
      return [when, word, ...NO_FIGURES, oneLine(entry.message)];
    case 'verified':
      return [when, word, ...NO_FIGURES, about(entry.id, describeVerified(entry))];
    case 'rolled-back':
    case 'pruned':
      return [when, word, ...NO_FIGURES, entry.id];
    case 'promoted':
      return [when, word, ...NO_FIGURES, `${entry.id} to ${entry.channel}, by ${entry.by}`];
    case 'channel-removed':
      return [when, word, ...NO_FIGURES, `${entry.channel}, which was ${entry.previous}`];
  }
}

const NO_FIGURES = ['', '', '', ''];

function number(value: number | undefined): string {
  return value === undefined ? '?' : String(value);
}

function time(seconds: number | undefined): string {
  if (seconds === undefined) return '?';
  return seconds < 10 ? `${seconds.toFixed(1)}s` : showTimeLeft(seconds * 1000);
}

/** All of a message is in what --json prints, and `explain` says more. */
const LONGEST = 120;

function about(id: string, message: string): string {
  const text = oneLine(message);
  const shown = text.length > LONGEST ? `${text.slice(0, LONGEST)} …` : text;
  return `${nameOfTree(id)}: ${shown}`;
}
