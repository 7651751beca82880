import type { Command } from 'commander';
import { printable } from '../../mirror/names.ts';
import type { CommandContext } from '../context.ts';
import type { Answer } from '../explanation/answer.ts';
import { helpAfter } from '../help.ts';
import { MirrorArgument } from '../mirror-names.ts';
import { printJson, printLine } from '../output.ts';
import { withPasteableCommands } from '../proposals.ts';
import { duration } from '../values.ts';

interface Flags {
  /** ms */
  maxAge?: number;
  json?: boolean;
}

export function addExplain(program: Command, context: CommandContext): void {
  program
    .command('explain')
    .summary('say why a mirror is as it is, and what the next sync will do')
    .description(
      'Says why a mirror is locked, why its last sync failed, why old snapshots are still there, what syncs it and when, and what the next sync will do, each with the command that helps. With ID, it says why that snapshot was not pruned. Changes nothing, and takes no lock.',
    )
    .addArgument(new MirrorArgument())
    .argument('[ID]', 'a snapshot: its id, current, previous or a channel')
    .option(
      '--max-age <duration>',
      'the mirror is stale if no sync has succeeded for longer',
      duration,
    )
    .option('--json', 'print one object with the answers')
    .addHelpText(
      'after',
      helpAfter(
        [
          'mirrorlatch explain /srv/mirror/debian',
          'mirrorlatch explain /srv/mirror/debian previous',
        ],
        ['USAGE', 'NO_MIRROR', 'PERMISSION', 'CONFIGURATION', 'IO'],
      ),
    )
    .action(async (root: string, id: string | undefined, { maxAge, json }: Flags) => {
      const { explain } = await import('../../operations/explain.ts');
      const { answersTo } = await import('../explanation/explanation.ts');
      const { scheduleHere } = await import('../schedule-here.ts');
      const facts = explain(root, id, { maxAgeMs: maxAge });
      const configuration = await context.configuration();
      const { mirror } = configuration.named(facts.status.root);
      const isAsked = mirror !== undefined && facts.asked === null;
      const schedule = isAsked ? await scheduleHere(mirror, configuration.given) : undefined;
      const answers = answersTo(facts, schedule).map(withPasteable);
      if (json)
        printJson({
          root: facts.status.root,
          id: facts.asked?.id ?? null,
          answers,
        });
      else printAnswers(answers, await breakerOfLines());
    });
}

function withPasteable(one: Answer): Answer {
  const command = one.command && withPasteableCommands(one.command);
  return { ...one, answer: withPasteableCommands(one.answer), command };
}

/** On a terminal, sentences are broken between words; what is quoted or can be pasted is not. */
async function breakerOfLines(): Promise<(text: string) => readonly string[]> {
  const { isTTY, columns } = process.stdout;
  if (!isTTY || columns < NARROWEST) return (text) => [text];
  const { wrappedLines } = await import('../markdown.ts');
  return (text) => wrappedLines(printable(text), columns - 2);
}

/** In fewer columns, or none that are known, broken lines are no easier to read. */
const NARROWEST = 20;

function printAnswers(
  answers: readonly Answer[],
  linesOf: (text: string) => readonly string[],
): void {
  answers.forEach(({ question, answer, quoted, command }, at) => {
    if (at > 0) printLine();
    printLine(question);
    if (answer !== '') for (const line of linesOf(answer)) printLine(` ${line}`);
    for (const line of quoted) printLine(`   ${line}`);
    if (command !== null) printLine(`   $ ${command}`);
  });
}
