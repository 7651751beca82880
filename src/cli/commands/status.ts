import type { Command } from 'commander';
import { describeExcepted } from '../../checks/exceptions.ts';
import { EXIT_CODES, MirrorlatchError } from '../../errors.ts';
import { describeFindings } from '../../mirror/describe-finding.ts';
import { describeVerified } from '../../mirror/describe-verified.ts';
import type { Ended } from '../../mirror/history/history-index.ts';
import type { QuickLook } from '../../mirror/history/history-line.ts';
import { layoutOf } from '../../mirror/layout.ts';
import type { LockState } from '../../mirror/locks/lock-state.ts';
import { describeLeftOut } from '../../mirror/plan/left-out.ts';
import { describeServed } from '../../mirror/served/served-directory.ts';
import { describeHold } from '../../mirror/settings/settings.ts';
import { describeWritable } from '../../mirror/trees/writable.ts';
import type { MirrorStatus, StatusOfOne } from '../../operations/status.ts';
import { showOptions } from '../../rsync/join-options.ts';
import { quoteForSh } from '../../system/quote.ts';
import type { CommandContext } from '../context.ts';
import { describeChannel } from '../explanation/channel-answer.ts';
import { helpAfter } from '../help.ts';
import { MirrorArgument } from '../mirror-names.ts';
import { describeCheck } from '../options/check.ts';
import { describeProbe } from '../options/probe.ts';
import { describeRetention } from '../options/retention.ts';
import { describeShrink } from '../options/shrink.ts';
import {
  bad,
  describedError,
  good,
  oneLine,
  type Part,
  printJson,
  printLine,
  printText,
} from '../output.ts';
import { printTable } from '../table.ts';
import { nameOfTree } from '../terminal.ts';
import { showAge, showSince } from '../units.ts';
import { duration } from '../values.ts';
import { countReaders, printSnapshots } from './list.ts';

interface Flags {
  all?: boolean;
  /** ms */
  maxAge?: number;
  prometheus?: boolean;
  json?: boolean;
}

const SEVERAL_HELP = `Of several mirrors, each has one line, and the exit code is the highest that one of them alone would have;
--json then prints an array. A mirror that cannot be looked at is a line with its error.
--prometheus ends with 0, whatever it has to tell, so that the file is replaced. In a crontab, for node_exporter:
  */5 * * * *  mirrorlatch status --all --prometheus >/var/lib/prometheus/node-exporter/mirrorlatch.new && mv /var/lib/prometheus/node-exporter/mirrorlatch.new /var/lib/prometheus/node-exporter/mirrorlatch.prom`;

export function addStatus(program: Command, context: CommandContext): void {
  program
    .command('status')
    .summary('show the writer, the current snapshot and what a crash left')
    .description(
      'Shows the state of one mirror or several, and changes nothing. Exits with 69 if one is not healthy.',
    )
    .addArgument(new MirrorArgument('[MIRROR...]'))
    .option('--all', 'all mirrors of the configuration')
    .option(
      '--max-age <duration>',
      'the mirror is stale, and not healthy, if no sync has succeeded for longer than this',
      duration,
    )
    .option('--prometheus', 'print metrics, as the server has them, for a textfile collector')
    .option('--json', 'print one object, or of several mirrors an array')
    .addHelpText(
      'after',
      helpAfter(
        [
          'mirrorlatch status /srv/mirror/debian --max-age 26h',
          'mirrorlatch status /srv/mirror/debian --json | jq .isHealthy',
          'mirrorlatch status /srv/mirror/*',
        ],
        ['USAGE', 'NO_MIRROR', 'UNHEALTHY', 'PERMISSION', 'CONFIGURATION', 'IO'],
        SEVERAL_HELP,
      ),
    )
    .action(async (roots: string[], flags: Flags) => {
      const { statusOfSeveral, status } = await import('../../operations/status.ts');
      const mirrors = await meantMirrors(roots, flags, context);
      if (flags.prometheus) {
        if (flags.json) throw contradiction();
        const { textfile } = await import('../../http/status/textfile.ts');
        printText(await textfile(mirrors));
        return;
      }
      const [only, ...others] = mirrors;
      if (only !== undefined && others.length === 0 && !flags.all) {
        const found = status(only.root, only);
        if (flags.json) printJson(found);
        else printStatus(found);
        if (!found.isHealthy) context.setExitCode(EXIT_CODES.UNHEALTHY);
        return;
      }
      const found = statusOfSeveral(mirrors);
      const names = mirrors.map(({ root, name }) => name ?? root);
      if (flags.json) printJson(found.map(jsonOf));
      else printStatuses(found, names);
      context.setExitCode(Math.max(0, ...found.map(exitCodeOf)));
    });
}

interface MeantMirror {
  root: string;
  /** What the configuration calls it. */
  name?: string | undefined;
  maxAgeMs?: number | undefined;
}

/** The mirrors of the command line, with what the configuration says of each. */
async function meantMirrors(
  roots: readonly string[],
  { all = false, maxAge }: Flags,
  context: CommandContext,
): Promise<MeantMirror[]> {
  if (all && roots.length > 0) {
    throw new MirrorlatchError('USAGE', '--all cannot be combined with a mirror', {
      hint: 'Leave one of the two out.',
    });
  }
  const configuration = await context.configuration();
  const configured = [...configuration.read().mirrors.values()];
  const meant = all ? configured.map(({ root }) => root) : roots;
  if (meant.length === 0) {
    const problem = configuration.problem();
    if (all && problem !== undefined) throw problem;
    throw new MirrorlatchError(
      'USAGE',
      all ? 'the configuration has no mirror' : 'MIRROR is missing',
      {
        hint: 'Name one or several mirrors: mirrorlatch status MIRROR... Those of the configuration are --all.',
      },
    );
  }
  return meant.map((root) => ({
    root,
    name: configuration.named(root).mirror?.name,
    maxAgeMs: maxAge ?? (configuration.flagsFor(root)['maxAge'] as number | undefined),
  }));
}

function contradiction(): MirrorlatchError {
  return new MirrorlatchError('USAGE', '--prometheus cannot be combined with --json', {
    hint: 'Leave one of the two out.',
  });
}

function exitCodeOf(one: StatusOfOne): number {
  if ('error' in one) return one.error.exitCode;
  return one.status.isHealthy ? 0 : EXIT_CODES.UNHEALTHY;
}

function jsonOf(one: StatusOfOne): object {
  if ('status' in one) return one.status;
  return { root: one.root, error: describedError(one.error, one.error.exitCode) };
}

/** @param names what each mirror is called. */
function printStatuses(found: readonly StatusOfOne[], names: readonly string[]): void {
  const head = ['MIRROR', 'STATE', 'FRESH', 'WHOLE', 'SYNCED', 'CURRENT', 'AGE', 'READERS', 'LOCK'];
  printTable(
    [...head, 'WHY'],
    found.map((one, at) => [names[at] ?? one.root, ...cellsOf(one)]),
  );
}

function cellsOf(one: StatusOfOne): Part[] {
  if ('error' in one) return [bad('unknown'), ...Array(7).fill('?'), one.error.message];
  const { isHealthy, isFresh, isWhole, syncedAt, current, snapshots, lock, problems } = one.status;
  return [
    isHealthy ? good('healthy') : bad('attention'),
    isFresh === null ? '-' : yesOrNo(isFresh),
    yesOrNo(isWhole),
    syncedAt === null ? 'never' : showAge(syncedAt),
    current === null ? '-' : nameOfTree(current.id),
    current === null ? '-' : showAge(current.publishedAt),
    countReaders(snapshots),
    wordForLock(lock.state),
    problems.join('; '),
  ];
}

function yesOrNo(is: boolean): Part {
  return is ? 'yes' : bad('no');
}

function wordForLock(lock: LockState): string {
  if (lock.kind !== 'held' && lock.kind !== 'foreign') return lock.kind;
  const { owner, progress } = lock;
  const share = progress?.done === undefined ? '' : ` ${Math.floor(progress.done * 100)} %`;
  return owner === undefined ? lock.kind : `${owner.command}${share}`;
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
  for (const channel of status.channels) row('channel', describeChannel(channel));
  if (status.served !== null) row('serves', describeServed(status.served));
  row('shrink', describeShrink(status.shrink, rsyncOptions));
  for (const line of describeProbe(status.probe)) row('probe', line);
  for (const line of describeCheck(status.check)) row('check', line);
  for (const one of status.current?.checked?.excepted ?? [])
    row('check', `of what is current, ${describeExcepted(one)}`);
  const isOrphaned = lock.state.kind === 'orphans';
  const end = isOrphaned ? `; end them with: ${syncThatEnds(root)}` : '';
  row('lock', lock.state.kind === 'free' ? 'free' : `${lock.message}${end}`);
  row('last', describeSync(lastSync));
  for (const { at, message } of status.hookFailures)
    row('hook', `${showSince(at)}: ${oneLine(message)}`);
  row('age', syncedAt === null ? 'no sync has succeeded yet' : `synced ${showSince(syncedAt)}`);
  if (closedMode !== null)
    row('access', `not every user may read the current tree, which has mode ${closedMode}`);
  const verified = status.current?.verified;
  if (verified) row('verified', `${describeVerified(verified)}, ${showSince(verified.at)}`);
  const { leftOut = [], writableByAll } = status.current ?? {};
  if (writableByAll && writableByAll.count > 0) row('access', describeWritable(writableByAll));
  if (damagedHistoryLines.length > 0) row('history', describeDamage(root, damagedHistoryLines));
  if (status.unreadableMarks !== null) row('marks', status.unreadableMarks);
  for (const one of leftOut) row('left out', describeLeftOut(one));
  for (const line of describeFindings(layoutOf(root), findings, isOrphaned)) row('left', line);
  if (unseen.length > 0) row('left', `? (only its owner sees what is in ${unseen.join(' and ')})`);
  printLine();
  printSnapshots(snapshots);
}

function describeSync(entry: Ended | null): string {
  switch (entry?.event) {
    case 'published':
      return `published ${nameOfTree(entry.id)}, ${showSince(entry.at)}`;
    case 'unchanged':
      return `found nothing to do${entry.look === undefined ? '' : FOUND_BY[entry.look]}, ${showSince(entry.at)}`;
    case 'failed':
      return `failed, ${showSince(entry.at)}: ${oneLine(entry.message)}`;
    case undefined:
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
