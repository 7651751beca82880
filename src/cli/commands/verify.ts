import { type Command, Option } from 'commander';
import { EXIT_CODES } from '../../errors.ts';
import { LIVE } from '../../mirror/layout.ts';
import { findMirror } from '../../mirror/open.ts';
import { rememberedBy } from '../../mirror/settings/settings.ts';
import { MOST_LISTED } from '../../mirror/sums/compare.ts';
import { showBytes } from '../../mirror/units.ts';
import type { Damage, VerifiedTree, VerifyResult } from '../../operations/verify/verified.ts';
import { quoteForSh } from '../../system/quote.ts';
import type { CommandContext } from '../context.ts';
import { helpAfter } from '../help.ts';
import { MENDED_BY_ITS_FILLER } from '../mending.ts';
import { MirrorArgument } from '../mirror-names.ts';
import { addOptions } from '../options/group.ts';
import { LOCK, type LockFlags } from '../options/lock.ts';
import { bad, good, printJson, printLine } from '../output.ts';
import { printTable } from '../table.ts';
import { createReporter, nameOfTree, printWarning } from '../terminal.ts';
import { showFiles } from '../units.ts';
import { count } from '../values.ts';

interface Flags extends LockFlags {
  all?: boolean;
  bitrot?: boolean;
  record?: boolean;
  jobs?: number;
  idle?: boolean;
  json?: boolean;
}

export function addVerify(program: Command, context: CommandContext): void {
  const command = program
    .command('verify')
    .summary('compare a snapshot with what it was when it was published')
    .description(
      'Compares a snapshot, by default the current one, with what was recorded when it was published: that every entry is there with its type, size, time and mode, and nothing else.',
    )
    .addArgument(new MirrorArgument())
    .argument('[ID]', 'a snapshot: its id, current (default), previous or a channel')
    .option('--all', 'all snapshots; a file that several share is read once')
    .option('--bitrot', 'read all content, too, and compare its checksums')
    .option(
      '--record',
      'also read what has no checksum yet, and record what is found; nothing damaged is recorded as right',
    )
    .addOption(
      new Option('--jobs <n>', 'how many files are read at a time (default: 2)').argParser(
        count(1),
      ),
    )
    .option('--idle', 'read only when no other program wants the processor or the disk');
  addOptions(command, LOCK)
    .option('--json', 'print one object about the result')
    .addHelpText(
      'after',
      helpAfter(
        [
          'mirrorlatch verify /srv/mirror/debian',
          'mirrorlatch verify /srv/mirror/debian --all --bitrot --idle',
        ],
        ['USAGE', 'DAMAGED', 'NO_MIRROR', 'UNAVAILABLE', 'BUSY', 'PERMISSION', 'IO'],
        'Checksums are those by which rsync has compared the files of a transfer. A file that came otherwise has none\nbefore --record, and is held against what a repository in the tree says of it. The wait for the lock is for what is written at the end.',
      ),
    )
    .action(async (root: string, id: string | undefined, flags: Flags) => {
      const { verify } = await import('../../operations/verify/verify.ts');
      const reporter = createReporter(flags.json ? 'quiet' : 'normal');
      const result = await verify({
        ...{ root, id, all: flags.all, bitrot: flags.bitrot, record: flags.record },
        ...{ jobs: flags.jobs, idle: flags.idle, lock: LOCK.read(flags) },
        signal: context.signal(),
        onEvent: reporter.onEvent,
      }).finally(reporter.stop);
      if (flags.json) printJson(result);
      else printResult(result);
      if (!result.isWhole) context.setExitCode(EXIT_CODES.DAMAGED);
      else if (result.trees.some(isUnknown)) context.setExitCode(EXIT_CODES.UNAVAILABLE);
    });
}

/** Whether nothing can be said of a tree. */
function isUnknown(tree: VerifiedTree): boolean {
  const { isRecordedNow, checked, damaged } = tree;
  return isUnrecorded(tree) && !isRecordedNow && checked + damaged === 0;
}

/** Whether nothing of it was recorded when it was published. */
function isUnrecorded({ recordedAt, recordDamage }: VerifiedTree): boolean {
  return recordedAt === null && recordDamage === null;
}

function printResult(result: VerifyResult): void {
  const { trees, damage, read } = result;
  if (damage.length > 0) {
    printTable(
      ['SNAPSHOT', 'NAME', 'DAMAGE', 'EXPECTED', 'FOUND', 'ALSO IN'],
      damage.map((one) => [
        nameOfTree(one.id),
        one.name,
        one.kind,
        one.by === '' ? one.expected : `${one.expected} (${one.by})`,
        one.found,
        describeSharers(one),
      ]),
    );
    if (damage.length >= MOST_LISTED) printLine(`only the first ${MOST_LISTED} are listed`);
    printLine();
  }
  for (const tree of trees) {
    const isWell = tree.damaged === 0 && tree.recordDamage === null;
    const verdict = isUnknown(tree) ? 'unknown:' : isWell ? good('whole:') : bad('not whole:');
    printLine(nameOfTree(tree.id), verdict, describeTree(tree, read !== null));
  }
  if (read !== null) {
    const rate = read.seconds > 0 ? `, ${showBytes(Math.round(read.bytes / read.seconds))}/s` : '';
    printLine(
      `read ${showFiles(read.files)}, ${showBytes(read.bytes)} in ${read.seconds} s${rate}`,
    );
  }
  for (const line of waysOut(result)) printWarning(line);
}

/** A file in the current tree has most of them. */
function describeSharers({ alsoIn }: Damage): string {
  const more = alsoIn.length > 2 ? ` and ${alsoIn.length - 2} more` : '';
  return alsoIn.slice(0, 2).join(', ') + more;
}

function describeTree(tree: VerifiedTree, hasRead: boolean): string {
  const { entries, files, unknown, checked, damaged, recordDamage } = tree;
  if (isUnknown(tree)) return NOTHING_RECORDED;
  const unsaid = unknown - checked;
  const recorded = `${damaged > 0 ? `${files - damaged} of ` : ''}its ${showFiles(files)}`;
  const parts = [
    ...(damaged > 0 ? [`${damaged} damaged`] : []),
    ...(recordDamage === null ? [] : [recordDamage]),
    ...(isUnrecorded(tree) ? [] : [`${entries} entries compared`]),
    ...(isUnrecorded(tree) && !tree.isRecordedNow ? [NOTHING_RECORDED] : []),
    ...(hasRead && !isUnrecorded(tree) ? [`the content of ${showFiles(files - unknown)}`] : []),
    ...(checked > 0 ? [`${showFiles(checked)} held against what its repositories say`] : []),
    ...(tree.isRecordedNow ? [`nothing had been recorded of it; by now it is of ${recorded}`] : []),
    ...(hasRead && unsaid > 0 ? [`no checksum was known of ${unsaid}`] : []),
    ...(tree.isRecordedLate ? [`with what was recorded later, ${tree.recordedAt}`] : []),
  ];
  return parts.join(', ');
}

const NOTHING_RECORDED = 'nothing was recorded when it was published';

/** Whether a sync fills the mirror. */
function hasSource(root: string): boolean {
  const settings = findMirror(root)?.settings;
  return settings !== undefined && rememberedBy(settings).source !== undefined;
}

/** What can be done, a line each. */
function waysOut({ root, trees, isProbed }: VerifyResult): string[] {
  const shown = quoteForSh(root);
  const whole = isProbed ? ' --probe-max-age 0' : '';
  const damaged = trees.filter((tree) => tree.damaged > 0);
  const lines: string[] = [];
  if (damaged.some(({ isCurrent }) => isCurrent))
    lines.push(
      hasSource(root)
        ? `to transfer anew what is damaged in the current tree: mirrorlatch sync ${shown}${whole} -- --checksum`
        : MENDED_BY_ITS_FILLER,
    );
  if (damaged.some(({ isCurrent }) => !isCurrent))
    lines.push(
      'a snapshot that was published is never written to: one that is not current stays as it is until it is pruned',
    );
  for (const { id, unknown, recordDamage, ...tree } of trees) {
    const record = `mirrorlatch verify --record ${shown}${id === LIVE ? '' : ` ${quoteForSh(id)}`}`;
    if (recordDamage !== null || isUnknown({ id, unknown, recordDamage, ...tree }))
      lines.push(`to record what ${nameOfTree(id)} is now: ${record}`);
  }
  return lines;
}
