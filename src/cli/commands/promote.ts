import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { ChannelResult } from '../../operations/promote.ts';
import { quoteForSh } from '../../system/quote.ts';
import type { CommandContext } from '../context.ts';
import { helpAfter } from '../help.ts';
import { MirrorArgument } from '../mirror-names.ts';
import { showRule } from '../options/channels.ts';
import { addOptions } from '../options/group.ts';
import { HOOKS, type HookFlags } from '../options/hooks.ts';
import { LOCK, type LockFlags } from '../options/lock.ts';
import { printJson, printLine } from '../output.ts';
import { createReporter } from '../terminal.ts';

interface Flags extends LockFlags, HookFlags {
  to: string;
  remove?: boolean;
  hold?: string;
  json?: boolean;
}

export function addPromote(program: Command, context: CommandContext): void {
  const command = program
    .command('promote')
    .summary('let a channel name a snapshot')
    .description(
      'Lets a channel, which is a symlink beside current, name a snapshot, in one rename. Machines that read the channel see that snapshot until it is moved again.',
    )
    .addArgument(new MirrorArgument())
    .argument('[ID]', 'the snapshot, by id or path, current (default), previous, or a channel')
    .requiredOption('--to <channel>', 'the channel, such as production; it is made if it is new')
    .option('--remove', 'take the channel away')
    .option('--hold <reason>', 'let no rule move it until rollback --channel CHANNEL --release');
  addOptions(command, LOCK, HOOKS)
    .option('--json', 'print one object about the result')
    .addHelpText(
      'after',
      helpAfter(
        [
          'mirrorlatch promote /srv/mirror/debian --to testing',
          'mirrorlatch promote /srv/mirror/debian testing --to production',
          'mirrorlatch promote /srv/mirror/debian 20261122T030000Z --to production',
          'mirrorlatch promote /srv/mirror/debian --to production --remove',
        ],
        ['USAGE', 'NO_MIRROR', 'HOOK_FAILED', 'BUSY', 'PERMISSION', 'CONFIGURATION', 'IO'],
      ),
    )
    .action(async (root: string, id: string | undefined, flags: Flags) => {
      const { promote } = await import('../../operations/promote.ts');
      const { onEvent } = createReporter(flags.json ? 'quiet' : 'brief');
      const { to, remove, hold } = flags;
      const lock = LOCK.read(flags);
      const hooks = HOOKS.read(flags);
      const signal = context.signal();
      const result = await promote({ root, id, to, remove, hold, lock, hooks, signal, onEvent });
      if (flags.json) printJson(result);
      else printChannel(result, resolve(root));
    });
}

/** @param root as a line to paste names it. */
export function printChannel(result: ChannelResult, root: string): void {
  const { channel, id, previous, hold, rule } = result;
  if (id === null) {
    printLine(`${channel} is no channel any more; it was ${previous}`);
    return;
  }
  if (id === previous) printLine(`${channel} is already ${id}`);
  else if (previous === null) printLine(`${channel} is now ${id}; it is new`);
  else printLine(`${channel} is now ${id}; it was ${previous}`);
  const of = `mirrorlatch rollback ${quoteForSh(root)} --channel ${channel}`;
  if (hold !== null)
    printLine(`it is held: ${hold}; it stays until the hold is released with: ${of} --release`);
  else if (rule !== null)
    printLine(
      `its rule, ${showRule(rule)}, moves it on after the next sync or prune; to stay here: ${of} ${id} --hold 'the reason'`,
    );
}
