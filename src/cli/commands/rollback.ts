import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { RollbackResult } from '../../operations/rollback.ts';
import { quoteForSh } from '../../system/quote.ts';
import type { CommandContext } from '../context.ts';
import { helpAfter } from '../help.ts';
import { MirrorArgument } from '../mirror-names.ts';
import { addOptions } from '../options/group.ts';
import { HOOKS, type HookFlags } from '../options/hooks.ts';
import { LOCK, type LockFlags } from '../options/lock.ts';
import { printJson, printLine } from '../output.ts';
import { createReporter } from '../terminal.ts';
import { printChannel } from './promote.ts';

interface Flags extends LockFlags, HookFlags {
  channel?: string;
  hold?: string;
  release?: boolean;
  json?: boolean;
}

export function addRollback(program: Command, context: CommandContext): void {
  const command = program
    .command('rollback')
    .summary('point current at an earlier snapshot')
    .description(
      'Points current, or a channel, at an earlier snapshot, in one rename, as a sync does.',
    )
    .addArgument(new MirrorArgument())
    .argument('[ID]', 'the snapshot, by id or path, current, or previous (default, unless held)')
    .option('--channel <name>', 'move this channel, by default to what it named before')
    .option('--hold <reason>', 'let nothing be published, or no rule move it, until --release')
    .option('--release', 'end a hold, and leave current as it is');
  addOptions(command, LOCK, HOOKS)
    .option('--json', 'print one object about the result')
    .addHelpText(
      'after',
      helpAfter(
        [
          'mirrorlatch rollback /srv/mirror/debian',
          'mirrorlatch rollback /srv/mirror/debian 20261122T030000Z',
          "mirrorlatch rollback /srv/mirror/debian --hold 'libc6 is broken'",
          'mirrorlatch rollback /srv/mirror/debian --release',
          'mirrorlatch rollback /srv/mirror/debian --channel production',
        ],
        ['USAGE', 'NO_MIRROR', 'HOOK_FAILED', 'BUSY', 'PERMISSION', 'CONFIGURATION', 'IO'],
      ),
    )
    .action(async (root: string, id: string | undefined, flags: Flags) => {
      const { rollback } = await import('../../operations/rollback.ts');
      const { onEvent } = createReporter(flags.json ? 'quiet' : 'brief');
      const { channel, hold, release } = flags;
      const lock = LOCK.read(flags);
      const hooks = HOOKS.read(flags);
      const signal = context.signal();
      if (channel !== undefined) {
        const given = { root, channel, id, hold, release, lock, hooks, signal, onEvent };
        const moved = await rollback(given);
        if (flags.json) printJson(moved);
        else printChannel(moved, resolve(root));
        return;
      }
      const result = await rollback({ root, id, hold, release, lock, hooks, signal, onEvent });
      if (flags.json) {
        printJson(result);
        return;
      }
      // A line to paste must do so in any directory.
      const path = resolve(root);
      if (release) {
        const current = result.id ?? 'missing';
        printLine(
          `${path} is not held; current is ${current}, and the next sync follows the source`,
        );
        return;
      }
      if (result.id === result.previous) printLine(`current is already ${result.id}`);
      else printLine(`current is now ${result.id}; it was ${result.previous ?? 'lost'}`);
      printLine(whatFollows(result, quoteForSh(path)));
    });
}

function whatFollows({ id, hold }: RollbackResult, root: string): string {
  return hold === null
    ? `the next sync publishes what the source holds then; to stay here: mirrorlatch rollback ${root} ${id} --hold 'the reason'`
    : `it is held: ${hold}; it stays until the hold is released with: mirrorlatch rollback ${root} --release`;
}
