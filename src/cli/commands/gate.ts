import { type Command, Option } from 'commander';
import type { GateOptions, GateStatus } from '../../operations/gate.ts';
import type { CommandContext } from '../context.ts';
import { helpAfter } from '../help.ts';
import { MirrorArgument } from '../mirror-names.ts';
import { addOptions } from '../options/group.ts';
import { LOCK, type LockFlags } from '../options/lock.ts';
import { printJson, printLine } from '../output.ts';
import { createReporter } from '../terminal.ts';

interface Flags extends LockFlags {
  reason?: string;
  clean?: boolean;
  json?: boolean;
}

export function addGate(program: Command, context: CommandContext): void {
  const gate = program
    .command('gate')
    .summary('show, open or close the gate of an in-place mirror')
    .description('Shows, opens or closes the gate of an in-place mirror.');
  const add = (
    name: string,
    summary: string,
    options: readonly Option[],
    act: (root: string, flags: Flags) => Promise<GateStatus>,
  ): void => {
    const command = gate.command(name).description(summary).addArgument(new MirrorArgument());
    addOptions(command, ...options)
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
  const reason = new Option('--reason <text>', 'the reason, as shown to readers that wait');
  const optionsOf = (root: string, flags: Flags): GateOptions => ({
    root,
    lock: LOCK.read(flags),
    reason: flags.reason,
    signal: context.signal(),
    onEvent: createReporter(flags.json ? 'quiet' : 'normal').onEvent,
  });
  add('status', 'Shows the state of the gate and the number of readers inside.', [], async (root) =>
    (await operations()).gateStatus(root),
  );
  const clean = new Option('--clean', 'declare the tree whole; look at it first');
  add(
    'open',
    'Opens the gate. A tree that may not be whole stays dirty, and guarded readers wait.',
    [...LOCK.options, clean],
    async (root, flags) =>
      (await operations()).openGate({ ...optionsOf(root, flags), isClean: flags.clean }),
  );
  add(
    'close',
    'Closes the gate until it is opened with gate open.',
    [...LOCK.options, reason],
    async (root, flags) => (await operations()).closeGate(optionsOf(root, flags)),
  );
}

function operations() {
  return import('../../operations/gate.ts');
}

function sentenceFor({ root, obstacle, readers, hint }: GateStatus): string {
  const inside =
    readers === 1 ? '1 guarded reader is inside' : `${readers} guarded readers are inside`;
  return `${root} ${obstacle ?? 'is open'}; ${inside}${hint === null ? '' : `. ${hint}`}`;
}
