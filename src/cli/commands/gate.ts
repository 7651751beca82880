import { type Command, Option } from 'commander';
import type { GateStatus } from '../../operations/gate.ts';
import type { CommandContext } from '../context.ts';
import { helpAfter } from '../help.ts';
import { printJson, printLine } from '../output.ts';
import { duration } from '../values.ts';

interface Flags {
  wait?: number;
  reason?: string;
  json?: boolean;
}

export function addGate(program: Command, context: CommandContext): void {
  const gate = program
    .command('gate')
    .summary('see, open or close the gate of an in-place mirror')
    .description('The gate of a mirror that is written in place.');
  const add = (
    name: string,
    summary: string,
    options: readonly Option[],
    act: (root: string, flags: Flags) => Promise<GateStatus>,
  ): void => {
    const command = gate.command(name).description(summary).argument('<ROOT>');
    for (const option of options) command.addOption(option);
    command
      .option('--json', 'print one object')
      .addHelpText(
        'after',
        helpAfter(
          [`mirrorlatch gate ${name} /srv/mirror/debian`],
          ['USAGE', 'NO_MIRROR', 'BUSY', 'PERMISSION', 'CONFIGURATION', 'IO'],
        ),
      )
      .action(async (root: string, flags: Flags) => {
        const found = await act(root, flags);
        if (flags.json) printJson(found);
        else printLine(sentenceFor(found));
      });
  };
  const wait = new Option('--wait <duration>', 'wait for a writer').argParser(duration);
  const reason = new Option('--reason <text>', 'what those are told who find it closed');
  add('status', 'Tells how the gate is, and who is inside.', [], async (root) =>
    (await operations()).gateStatus(root),
  );
  add('open', 'Opens the gate, and vouches for what lies behind it.', [wait], async (root, flags) =>
    (await operations()).openGate({ root, waitMs: flags.wait, signal: context.signal() }),
  );
  add('close', 'Closes the gate until it is opened by hand.', [wait, reason], async (root, flags) =>
    (await operations()).closeGateByHand({
      root,
      waitMs: flags.wait,
      reason: flags.reason,
      signal: context.signal(),
    }),
  );
}

function operations() {
  return import('../../operations/gate.ts');
}

function sentenceFor({ root, obstacle, readers }: GateStatus): string {
  const inside =
    readers === 1 ? '1 guarded reader is inside' : `${readers} guarded readers are inside`;
  return `${root} ${obstacle ?? 'is open'}; ${inside}`;
}
