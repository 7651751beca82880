import type { Command } from 'commander';
import { showBytes } from '../../mirror/units.ts';
import type { MirrorUse, SnapshotUse } from '../../reader/du.ts';
import type { CommandContext } from '../context.ts';
import { helpAfter } from '../help.ts';
import { unlessInterrupted } from '../interrupt.ts';
import { MirrorArgument } from '../mirror-names.ts';
import { good, type Part, printJson, printLine } from '../output.ts';
import { printTable } from '../table.ts';
import { nameOfTree, printWarning } from '../terminal.ts';

const HELP = `SIZE adds up the sizes of files; DISK, what they take: blocks, so that holes and compression count. OWN is
what no other snapshot has: what the removal of this one alone would free. OLDER is what it would free
together with all above it, since what only they share belongs to none of them alone; current, previous,
channels and what is pinned stay, and come last. In the bar, # is
OWN and - is shared.`;

export function addDu(program: Command, context: CommandContext): void {
  program
    .command('du')
    .summary('show what a mirror takes on disk, and what each snapshot would free')
    .description(
      'Shows what each snapshot takes on disk, for itself and shared with others, and what else the mirror takes.',
    )
    .addArgument(new MirrorArgument())
    .option('--json', 'print one object; sizes are bytes')
    .addHelpText(
      'after',
      helpAfter(
        [
          'mirrorlatch du /srv/mirror/debian',
          'mirrorlatch du /srv/mirror/debian --json | jq .totalBytes',
        ],
        ['USAGE', 'NO_MIRROR', 'PERMISSION', 'CONFIGURATION', 'IO'],
        HELP,
      ),
    )
    .action(async (root: string, flags: { json?: boolean }) => {
      const { du } = await import('../../reader/du.ts');
      const signal = context.signal();
      const found = await unlessInterrupted(du({ root, signal }), signal, context.setExitCode);
      if (found === undefined) return;
      if (flags.json) printJson(found);
      else printUse(found);
    });
}

function printUse(use: MirrorUse): void {
  const { snapshots, parts, totalBytes, linkedElsewhereBytes } = use;
  if (snapshots.length === 0) printLine('there is no snapshot yet');
  else printSnapshots(snapshots);
  const shown = Object.entries(parts)
    .filter(([, bytes]) => bytes > 0)
    .map(([name, bytes]) => `${name} ${showBytes(bytes)}`);
  printLine(`${use.root}: ${showBytes(totalBytes)} on disk: ${shown.join(', ')}`);
  const removable = snapshots.filter(({ freedWithOlderBytes }) => freedWithOlderBytes !== null);
  const freed = removable.at(-1)?.freedWithOlderBytes ?? 0;
  if (removable.length > 0)
    printLine(
      `without the ${removable.length === 1 ? 'one snapshot' : `${removable.length} snapshots`} that may go it would be ${showBytes(freed)} less`,
    );
  if (linkedElsewhereBytes > 0)
    printLine(`${showBytes(linkedElsewhereBytes)} of it has names outside of the mirror, too`);
  if (use.hasSharedBlocks)
    printLine(
      'snapshots share blocks (reflinks), which count in each: less is on disk, and a removal frees less',
    );
  if (use.unreadDirectories > 0)
    printWarning(
      `this user may not look into ${use.unreadDirectories === 1 ? '1 directory' : `${use.unreadDirectories} directories`}, which count as empty`,
    );
}

function rolesOf({ isCurrent, isPrevious, isPinned, channels }: SnapshotUse): Part {
  if (isCurrent && channels.length === 0) return good('current');
  const roles = [
    ...(isCurrent ? ['current'] : isPrevious ? ['previous'] : []),
    ...channels,
    ...(isPinned ? ['pinned'] : []),
  ];
  return roles.join(', ');
}

/** The width of the longest bar; columns. */
const BAR = 24;

function printSnapshots(snapshots: readonly SnapshotUse[]): void {
  const most = Math.max(1, ...snapshots.map(({ diskBytes }) => diskBytes));
  printTable(
    ['SNAPSHOT', '', 'SIZE', 'DISK', 'OWN', 'OLDER', ''],
    snapshots.map((snapshot) => {
      const { diskBytes, ownBytes, freedWithOlderBytes } = snapshot;
      const whole = Math.round((diskBytes / most) * BAR);
      const own = Math.min(whole, Math.ceil((ownBytes / most) * BAR));
      return [
        nameOfTree(snapshot.id),
        rolesOf(snapshot),
        ...[snapshot.apparentBytes, diskBytes, ownBytes].map(showBytes),
        freedWithOlderBytes === null ? '-' : showBytes(freedWithOlderBytes),
        '#'.repeat(own) + '-'.repeat(whole - own),
      ];
    }),
  );
}
