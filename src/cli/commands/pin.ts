import type { Command } from 'commander';
import { helpAfter } from '../help.ts';
import { MirrorArgument } from '../mirror-names.ts';
import { printJson, printLine } from '../output.ts';

const CODES = ['USAGE', 'NO_MIRROR', 'BUSY', 'PERMISSION', 'CONFIGURATION', 'IO'] as const;

export function addPin(program: Command): void {
  program
    .command('pin')
    .summary('keep a snapshot for ever')
    .description(
      'Keeps a snapshot until it is unpinned, whatever the retention rules say. Does not wait for a sync.',
    )
    .addArgument(new MirrorArgument())
    .argument('[ID]', 'the snapshot, by id or path, current (default), or previous')
    .option('--reason <text>', 'why, for those who find it')
    .option('--json', 'print one object about the result')
    .addHelpText(
      'after',
      helpAfter(
        [
          "mirrorlatch pin /srv/mirror/debian --reason 'what the release 2.1 was built with'",
          'mirrorlatch pin /srv/mirror/debian 20261122T030000Z',
        ],
        [...CODES],
      ),
    )
    .action(async (root: string, id: string | undefined, flags: PinFlags) => {
      const { pinSnapshot } = await import('../../operations/mark.ts');
      const pinned = pinSnapshot({ root, id, reason: flags.reason });
      if (flags.json) printJson(pinned);
      else printLine(`${pinned.id} is pinned, and stays until it is unpinned`);
    });
}

interface PinFlags {
  reason?: string;
  json?: boolean;
}

export function addUnpin(program: Command): void {
  program
    .command('unpin')
    .summary('let the retention rules decide about a pinned snapshot')
    .description('Lets the retention rules decide about a snapshot again that was pinned.')
    .addArgument(new MirrorArgument())
    .argument('<ID>', 'the snapshot, by id or path, current, or previous')
    .option('--json', 'print one object about the result')
    .addHelpText(
      'after',
      helpAfter(['mirrorlatch unpin /srv/mirror/debian 20261122T030000Z'], [...CODES]),
    )
    .action(async (root: string, id: string, flags: { json?: boolean }) => {
      const { unpinSnapshot } = await import('../../operations/mark.ts');
      const unpinned = unpinSnapshot({ root, id });
      if (flags.json) printJson(unpinned);
      else printLine(`${unpinned.id} is not pinned; the rules decide about it`);
    });
}
