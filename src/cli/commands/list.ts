import type { Command } from 'commander';
import { wasPublishedAnyway } from '../../mirror/history/history-index.ts';
import { showBytes } from '../../mirror/units.ts';
import type { SnapshotInfo } from '../../operations/list.ts';
import { helpAfter } from '../help.ts';
import { MirrorArgument } from '../mirror-names.ts';
import { good, printJson, printLine } from '../output.ts';
import { describeReaders, unseenReaders } from '../readers.ts';
import { printTable } from '../table.ts';
import { showAge } from '../units.ts';

export function addList(program: Command): void {
  program
    .command('list')
    .summary('list the snapshots of a mirror and their readers')
    .description('Lists the snapshots of a mirror, with their age, size and readers.')
    .addArgument(new MirrorArgument())
    .option('--json', 'print an array of snapshots')
    .addHelpText(
      'after',
      helpAfter(
        ['mirrorlatch list /srv/mirror/debian'],
        ['USAGE', 'NO_MIRROR', 'PERMISSION', 'CONFIGURATION', 'IO'],
        'FILES and SIZE are those of the whole tree; NEW is the content that came from the source for this\nsnapshot, without what earlier tries had brought; LEFT OUT counts what the source has and the snapshot lacks.\nMARKS, if there are any: pinned, tags, and what was published anyway.',
      ),
    )
    .action(async (root: string, flags: { json?: boolean }) => {
      const { list } = await import('../../operations/list.ts');
      const snapshots = list(root);
      if (flags.json) printJson(snapshots);
      else printSnapshots(snapshots);
    });
}

export function printSnapshots(snapshots: readonly SnapshotInfo[]): void {
  if (snapshots.length === 0) {
    printLine('there is no snapshot yet');
    return;
  }
  const isAnythingLeftOut = snapshots.some(({ leftOut }) => leftOut.length > 0);
  const isAnyMarked = snapshots.some((snapshot) => describeMarks(snapshot) !== NO_MARKS);
  const ifMarked = (cell: string) => (isAnyMarked ? [cell] : []);
  const ifLeftOut = (cell: string) => (isAnythingLeftOut ? [cell] : []);
  printTable(
    [
      'SNAPSHOT',
      '',
      'AGE',
      'FILES',
      ...ifLeftOut('LEFT OUT'),
      'SIZE',
      'NEW',
      ...ifMarked('MARKS'),
      'READERS',
    ],
    snapshots.map((snapshot) => [
      snapshot.id,
      snapshot.isCurrent ? good(names(snapshot)) : names(snapshot),
      showAge(snapshot.publishedAt),
      snapshot.files === null ? '?' : String(snapshot.files),
      ...ifLeftOut(String(snapshot.leftOut.reduce((sum, { count }) => sum + count, 0))),
      showBytes(snapshot.bytes),
      showBytes(snapshot.newBytes),
      ...ifMarked(describeMarks(snapshot)),
      describeReaders(snapshot.readers, snapshot.leases) || (seesAllProcesses() ? '-' : '?'),
    ]),
  );
  if (!seesAllProcesses()) printLine('only root sees the readers of other users');
}

const NO_MARKS = '-';

/** Whether a person published it although it is wrong, or pinned it, and its tags; `?` if these cannot be made out. */
function describeMarks({ tags, pin, checked }: SnapshotInfo): string {
  const marks = [
    ...(wasPublishedAnyway(checked) ? ['published anyway'] : []),
    ...(pin === null ? [] : ['pinned']),
    ...(tags ?? ['?']),
  ];
  return marks.length === 0 ? NO_MARKS : marks.join(', ');
}

/** By what names it can be read. */
function names({ isCurrent, isPrevious, channels }: SnapshotInfo): string {
  const links = [...(isCurrent ? ['current'] : []), ...(isPrevious ? ['previous'] : [])];
  return [...links, ...channels].join(', ');
}

/** proc(5): the descriptors and the working directory of a process are for its user and root only. */
function seesAllProcesses(): boolean {
  return process.geteuid?.() === 0;
}

/** How many read one of these snapshots, as far as this user may see them. */
export function countReaders(snapshots: readonly SnapshotInfo[]): string {
  const counts = snapshots.map(
    ({ readers, leases }) => readers.length + unseenReaders(readers, leases),
  );
  const sum = counts.reduce((all, count) => all + count, 0);
  return sum === 0 && !seesAllProcesses() ? '?' : String(sum);
}
