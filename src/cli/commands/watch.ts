import { isUtf8 } from 'node:buffer';
import { readFileSync } from 'node:fs';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { MirrorlatchError } from '../../errors.ts';
import { describeVerified } from '../../mirror/describe-verified.ts';
import { nameOwner } from '../../mirror/locks/lock-state.ts';
import { SHORTEST_POLL_MS } from '../../mirror/settings/policy-rules.ts';
import { PINS } from '../../reader/guard.ts';
import type { CommandOptions } from '../../reader/snapshot-command.ts';
import type { WatchEvent } from '../../reader/watch.ts';
import { quoteForSh } from '../../system/quote.ts';
import type { CommandContext } from '../context.ts';
import { helpAfter } from '../help.ts';
import { MirrorArgument } from '../mirror-names.ts';
import { addOptions } from '../options/group.ts';
import { type RetryFlags, retryAfter } from '../options/retry.ts';
import { lossOfOutput, oneLine, printJson, printLine } from '../output.ts';
import { nameOfTree, printWarning } from '../terminal.ts';
import { channelName, duration } from '../values.ts';

interface Flags extends RetryFlags {
  channel?: string;
  initial?: boolean;
  pin?: CommandOptions['pin'];
  chdir?: CommandOptions['chdir'];
  poll?: number;
  json?: boolean;
}

const COMMAND_RETRY = retryAfter('COMMAND fails');

const COMMAND_HELP = `COMMAND runs for each new snapshot, and for the snapshot that a rollback returns to, pinned to it as by
mirrorlatch run. It never runs twice at once: of the snapshots published while it runs, only the newest
is next. The watch reports how COMMAND ended, and continues. If COMMAND fails, it runs again after a
pause, unless a newer snapshot comes first. If it cannot be executed (126) or is not found (127), the
watch ends with that code. COMMAND has no input and no terminal, and its output goes to standard error,
so that standard output contains only events. A signal that ends the watch is passed on to COMMAND
first; a second signal ends the watch at once.`;

export function addWatch(program: Command, context: CommandContext): void {
  const command = program
    .command('watch')
    .summary('print the events of a mirror, and run a command for each new snapshot')
    .description(
      'Prints a line for each publication, rollback, removal and failed sync, and when the lock is taken or released: from now on, each once and in order.',
    )
    .usage('[options] <MIRROR> [-- COMMAND [ARGUMENT...]]')
    .addArgument(new MirrorArgument())
    .option(
      '--channel <name>',
      'run COMMAND for each snapshot that this channel comes to name, instead of current',
      channelName,
    )
    .option('--initial', 'also run COMMAND for the snapshot that is current at the start')
    .addOption(new Option('--pin <how>', 'how to pin COMMAND, as by mirrorlatch run').choices(PINS))
    .addOption(
      new Option(
        '--chdir <yes|no>',
        'start COMMAND in the snapshot (default), or in the working directory',
      ).choices(['yes', 'no']),
    );
  addOptions(command, COMMAND_RETRY)
    .option(
      '--poll <duration>',
      'look this often, without relying on filesystem events (default: 1s on network filesystems and FUSE)',
      pollInterval,
    )
    .option('--json', 'print one object per line')
    .addHelpText(
      'after',
      helpAfter(
        [
          'mirrorlatch watch /srv/mirror/debian',
          'mirrorlatch watch /srv/mirror/debian --json | jq -r \'select(.event == "published").id\'',
          'mirrorlatch watch /srv/mirror/debian --initial -- rsync -a ./ backup:/srv/mirror/',
        ],
        ['USAGE', 'NO_MIRROR', 'UNAVAILABLE', 'PERMISSION', 'CONFIGURATION', 'IO'],
        COMMAND_HELP,
      ),
    )
    .action(async (root: string, flags: Flags) => {
      const { watch } = await import('../../reader/watch.ts');
      const signal = context.signal();
      const events = watch({
        root,
        channel: flags.channel,
        pollMs: flags.poll,
        command: commandOf(root, context.operands, flags),
        signal,
        onWarning: printWarning,
      });
      for await (const event of events) {
        if (flags.json) printJson(event);
        else printLine(`${event.at} ${describeEvent(event)}`);
        const loss = await lossOfOutput();
        if (loss !== undefined) throw loss;
      }
      if (signal.reason instanceof MirrorlatchError) {
        context.setExitCode(signal.reason.exitCode);
      }
    });
}

function commandOf(
  root: string,
  words: readonly string[],
  flags: Flags,
): CommandOptions | undefined {
  const { channel, initial, pin, chdir, retries, retryDelay, poll, json } = flags;
  const ofPin = given({ '--pin': pin, '--chdir': chdir });
  const others = given({
    '--initial': initial,
    '--retries': retries,
    '--retry-delay': retryDelay === undefined ? undefined : `${retryDelay}ms`,
  });
  const ofWatch = given({
    '--channel': channel,
    '--poll': poll === undefined ? undefined : `${poll}ms`,
    '--json': json,
  });
  if (words.length === 0) {
    const ofCommand = [...others, ...ofPin];
    if (ofCommand.length === 0) return undefined;
    const names = ofCommand.map(([name]) => name).join(' and ');
    const needs = ofCommand.length === 1 ? 'needs' : 'need';
    throw new MirrorlatchError('USAGE', `${names} ${needs} a command`, {
      hint: `Put the command after --: mirrorlatch watch ${quoteForSh(root)} ${typed([...ofCommand, ...ofWatch])} -- COMMAND`,
    });
  }
  // Node has replaced the invalid bytes.
  if (!isUtf8(readFileSync('/proc/self/cmdline'))) {
    throw new MirrorlatchError('USAGE', 'a word of the command line is not valid UTF-8', {
      hint: 'Put the command into a script, and run the script instead.',
    });
  }
  const retry = COMMAND_RETRY.read(flags);
  return { words, initial, pin, chdir, retry, typed: typed([...others, ...ofWatch]) };
}

type OptionWithValue = [name: string, value: unknown];

/** The options that were given; those that take no value have `true`. */
function given(options: Readonly<Record<string, unknown>>): OptionWithValue[] {
  return Object.entries(options).filter(([, value]) => value !== undefined);
}

function typed(options: readonly OptionWithValue[]): string {
  return options.map(([name, value]) => (value === true ? name : `${name} ${value}`)).join(' ');
}

function pollInterval(text: string): number {
  const ms = duration(text);
  if (ms >= SHORTEST_POLL_MS) return ms;
  throw new InvalidArgumentError(`Give a duration of at least ${SHORTEST_POLL_MS}ms.`);
}

function describeEvent(event: WatchEvent): string {
  switch (event.event) {
    case 'watching':
      if (event.id !== null) return `watching, ${event.channel ?? 'current'} is ${event.id}`;
      return event.channel === undefined
        ? 'watching, there is no snapshot yet'
        : `watching, there is no channel ${event.channel} yet`;
    case 'published':
      return `published ${nameOfTree(event.id)}${before(event.previous)}`;
    case 'rolled-back':
      return `rolled back to ${event.id}${before(event.previous)}`;
    case 'promoted':
      return `${event.channel} is now ${event.id}${before(event.previous)}`;
    case 'channel-removed':
      return `removed the channel ${event.channel}, which was ${event.previous}`;
    case 'pruned':
      return `pruned ${event.id}`;
    case 'prune-failed':
      return `could not prune ${event.id}: ${oneLine(event.message)}`;
    case 'hook-failed':
      return oneLine(event.message);
    case 'verified':
      return `verified ${nameOfTree(event.id)}: ${describeVerified(event)}`;
    case 'unchanged':
      return `unchanged${event.look === undefined ? '' : ` (${event.look.replace('-', ' ')})`}, current is ${event.current}`;
    case 'failed':
      return `failed: ${oneLine(event.message)}`;
    case 'lock-taken':
      return `lock taken: ${nameOwner(event.owner)}`;
    case 'lock-released':
      return `lock released: ${nameOwner(event.owner)}`;
    case 'lock-left':
      return `lock abandoned by ${nameOwner(event.owner)}`;
    case 'gate':
      return `gate ${event.state}${event.reason === '' ? '' : `: ${event.reason}`}`;
    case 'command-started':
      return `command started for ${event.id} (pid ${event.pid})`;
    case 'command-ended':
      return event.signal === null
        ? `command for ${event.id} ended with ${event.exitCode} after ${event.seconds} s`
        : `command for ${event.id} was ended by ${event.signal} after ${event.seconds} s`;
    case 'command-retry':
      return `command for ${event.id} runs again in ${event.seconds} s, try ${event.retry} of ${event.retries}`;
    case 'command-given-up':
      return event.retries === 0
        ? `command for ${event.id} failed and waits for the next snapshot`
        : `command for ${event.id} failed in all ${event.retries + 1} tries and waits for the next snapshot`;
  }
}

function before(previous: string | null): string {
  return previous === null ? '' : `, replacing ${previous}`;
}
