import type { Command } from 'commander';
import type { CommandContext } from '../context.ts';
import { helpAfter } from '../help.ts';
import { unlessInterrupted } from '../interrupt.ts';
import { MirrorArgument } from '../mirror-names.ts';
import { printJson, printLine, printNote } from '../output.ts';
import { printWarning } from '../terminal.ts';
import { channelName, duration } from '../values.ts';

interface Flags {
  channel?: string;
  forPublish?: boolean;
  timeout?: number;
  json?: boolean;
  quiet?: boolean;
}

export function addWait(program: Command, context: CommandContext): void {
  program
    .command('wait')
    .summary('wait until a mirror can be read, or for the next snapshot')
    .description(
      'Waits until there is a snapshot to read and no sync is publishing another at the moment.',
    )
    .addArgument(new MirrorArgument())
    .option('--channel <name>', 'wait for this channel in place of current', channelName)
    .option('--for-publish', 'wait until the next snapshot is published, and print its id')
    .option('--timeout <duration>', 'how long to wait at most (default: without limit)', duration)
    .option('--json', 'print one object: the snapshot, and how long the wait took')
    .option('--quiet', 'do not say what it waits for')
    .addHelpText(
      'after',
      helpAfter(
        [
          'mirrorlatch wait /srv/mirror/debian --timeout 10m && apt-get update',
          'mirrorlatch wait /srv/mirror/debian --for-publish',
        ],
        ['USAGE', 'NO_MIRROR', 'UNAVAILABLE', 'BUSY', 'PERMISSION', 'CONFIGURATION', 'IO'],
        'After --timeout it exits with 75, and prints what it was waiting for. If the writer of an in-place\nmirror was killed behind the gate, it exits with 69.',
      ),
    )
    .action(async (root: string, flags: Flags) => {
      const { wait } = await import('../../reader/wait.ts');
      const signal = context.signal();
      const waiting = wait({
        root,
        channel: flags.channel,
        forPublish: flags.forPublish,
        timeoutMs: flags.timeout,
        signal,
        onWarning: flags.json ? undefined : printWarning,
        onWait:
          flags.json || flags.quiet ? undefined : (message) => printNote(`waiting: ${message}`),
      });
      const result = await unlessInterrupted(waiting, signal, context.setExitCode);
      if (result === undefined) return;
      if (flags.json) printJson(result);
      else if (flags.forPublish) printLine(result.id);
    });
}
