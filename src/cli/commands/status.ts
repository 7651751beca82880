import type { Command } from 'commander';
import { EXIT_CODES } from '../../errors.ts';
import { describeFinding } from '../../mirror/describe-finding.ts';
import type { HistoryEntry } from '../../mirror/history.ts';
import { layoutOf } from '../../mirror/layout.ts';
import { describeLeftOut } from '../../mirror/left-out.ts';
import type { QuickLook } from '../../mirror/records.ts';
import { describeServed } from '../../mirror/served-directory.ts';
import { describeHold } from '../../mirror/settings.ts';
import { describeWritable } from '../../mirror/writable.ts';
import type { MirrorStatus } from '../../operations/status.ts';
import { showOptions } from '../../rsync/join-options.ts';
import { quoteForSh } from '../../system/quote.ts';
import type { CommandContext } from '../context.ts';
import { helpAfter } from '../help.ts';
import { MirrorArgument } from '../mirror-names.ts';
import { describeProbe } from '../options/probe.ts';
import { describeRetention } from '../options/retention.ts';
import { describeShrink } from '../options/shrink.ts';
import { bad, good, oneLine, type Part, printJson, printLine } from '../output.ts';
import { nameOfTree } from '../terminal.ts';
import { showSince } from '../units.ts';
import { duration } from '../values.ts';
import { printSnapshots } from './list.ts';

interface Flags {
  /** ms */
  maxAge?: number;
  json?: boolean;
}

export function addStatus(program: Command, context: CommandContext): void {
  program
    .command('status')
    .summary('show the writer, the current snapshot and what a crash left')
    .description(
      'Shows the state of a mirror and changes nothing. Exits with 69 if the mirror is not healthy.',
    )
    .addArgument(new MirrorArgument('<ROOT>'))
    .option(
      '--max-age <duration>',
      'the mirror is stale, and not healthy, if no sync has succeeded for longer than this',
      duration,
    )
    .option('--json', 'print one object')
    .addHelpText(
      'after',
      helpAfter(
        [
          'mirrorlatch status /srv/mirror/debian --max-age 26h',
          'mirrorlatch status /srv/mirror/debian --json | jq .isHealthy',
        ],
        ['USAGE', 'NO_MIRROR', 'UNHEALTHY', 'PERMISSION', 'CONFIGURATION', 'IO'],
      ),
    )
    .action(async (root: string, flags: Flags) => {
      const { status } = await import('../../operations/status.ts');
      const found = status(root, { maxAgeMs: flags.maxAge });
      if (flags.json) printJson(found);
      else printStatus(found);
      if (!found.isHealthy) context.setExitCode(EXIT_CODES.UNHEALTHY);
    });
}

function printStatus(status: MirrorStatus): void {
  const { root, source, rsyncOptions, retention, lock, findings, snapshots, lastSync } = status;
  const { isHealthy, problems, hold, closedMode, syncedAt, damagedHistoryLines, unseen } = status;
  const row = (name: string, ...parts: readonly Part[]) => printLine(name.padEnd(8), ...parts);
  row('mirror', root, isHealthy ? good('healthy') : bad('needs attention'));
  if (status.isInsideGuard)
    row('guard', 'this is seen from inside a guard, which shows one snapshot alone');
  if (problems.length > 0) row('why', problems.join('; '));
  if (hold !== null) row('hold', describeHold(hold));
  if (status.mode === 'in-place') row('tree', 'one, which is written in place behind a gate');
  row('source', source ?? status.filledBy ?? 'not set yet');
  if (rsyncOptions.length > 0) row('options', showOptions(rsyncOptions));
  if (status.mode === 'snapshots') row('keeps', describeRetention(retention));
  if (status.served !== null) row('serves', describeServed(status.served));
  row('shrink', describeShrink(status.shrink, rsyncOptions));
  for (const line of describeProbe(status.probe)) row('probe', line);
  const isOrphaned = lock.state.kind === 'orphans';
  const end = isOrphaned ? `; end them with: ${syncThatEnds(root)}` : '';
  row('lock', lock.state.kind === 'free' ? 'free' : `${lock.message}${end}`);
  row('last', describeSync(lastSync));
  row('age', syncedAt === null ? 'no sync has succeeded yet' : `synced ${showSince(syncedAt)}`);
  if (closedMode !== null)
    row('access', `not every user may read the current tree, which has mode ${closedMode}`);
  const { leftOut = [], writableByAll } = status.current ?? {};
  if (writableByAll && writableByAll.count > 0) row('access', describeWritable(writableByAll));
  if (damagedHistoryLines.length > 0) row('history', describeDamage(root, damagedHistoryLines));
  for (const one of leftOut) row('left out', describeLeftOut(one));
  for (const finding of findings) {
    row('left', describeFinding(layoutOf(root), finding, isOrphaned));
  }
  if (unseen.length > 0) row('left', `? (only its owner sees what is in ${unseen.join(' and ')})`);
  printLine();
  printSnapshots(snapshots);
}

function describeSync(entry: HistoryEntry | null): string {
  switch (entry?.event) {
    case 'published':
      return `published ${nameOfTree(entry.id)}, ${showSince(entry.at)}`;
    case 'unchanged':
      return `found nothing to do${entry.look === undefined ? '' : FOUND_BY[entry.look]}, ${showSince(entry.at)}`;
    case 'failed':
      return `failed, ${showSince(entry.at)}: ${oneLine(entry.message)}`;
    default:
      return 'no sync yet';
  }
}

const FOUND_BY: Record<QuickLook, string> = {
  probe: ', by its stamps',
  'file-list': ', by its list of files',
};

function describeDamage(root: string, lines: readonly number[]): string {
  const of = layoutOf(root).history;
  const [first] = lines;
  return lines.length === 1
    ? `line ${first} of ${of} is damaged, and skipped`
    : `${lines.length} lines of ${of} are damaged, and skipped; the first is line ${first}`;
}

/** A sync that waits also ends the processes that a killed one left running. */
function syncThatEnds(root: string): string {
  return `mirrorlatch sync ${quoteForSh(root)} --wait 1m`;
}
