/**
 * Answers what `completion` asks at a TAB. The first line says what the shell offers by its own means (see
 * `Offers`), followed by ` =` if the word begins with an option that stays. Then comes a line for each word;
 * for zsh and fish with a tab and its description.
 */
import { Argument, type Command } from 'commander';
import { parseBashLine } from '../completion/bash-line.ts';
import {
  type LoadCommands,
  type Offers,
  offersAt,
  type ReadMirrors,
} from '../completion/offers.ts';
import { COMPLETED_SHELLS, type CompletedShell } from '../completion-script.ts';
import type { CommandContext } from '../context.ts';
import { printCode } from '../output.ts';

/** Hidden, because only completions ask. */
export function addComplete(program: Command, context: CommandContext, load: LoadCommands): void {
  program
    .command('complete', { hidden: true })
    .description('Answers completions, which ask at a TAB.')
    .addArgument(new Argument('<SHELL>').choices(COMPLETED_SHELLS))
    .argument('[BREAKS]', 'of bash: COMP_WORDBREAKS')
    .usage('SHELL [BREAKS] -- WORD...')
    .action(async (shell: CompletedShell, breaks = '') => {
      const ask = (words: readonly string[]) => offersAt(words, { load, readMirrors });
      if (shell !== 'bash') {
        printCode(linesFor(await ask(context.operands)).join('\n'));
        return;
      }
      const [line = ''] = context.operands;
      const { words, kept } = parseBashLine(line, breaks, process.env['HOME']);
      const found = await ask(words.slice(1));
      printCode(linesForBash(found, words.at(-1) ?? '', kept).join('\n'));
    });
}

/** Also of a configuration of which a part is wrong. */
const readMirrors: ReadMirrors = async (file) => {
  const { openConfiguration } = await import('../../config/source.ts');
  const given = file ?? process.env['MIRRORLATCH_CONFIG'];
  const { mirrors } = (await openConfiguration(given, process.env)).read();
  return new Map([...mirrors].map(([name, { root }]) => [name, root]));
};

function linesFor({ byShell, offers, before }: Offers): string[] {
  const lines = offers.map(({ value, description }) => `${value}\t${description}`);
  return [before === '' ? byShell : `${byShell} =`, ...lines];
}

/** bash neither leaves out what does not fit nor knows what of the word it does not replace. */
function linesForBash({ byShell, offers, before }: Offers, word: string, kept: number): string[] {
  const values = offers
    .map(({ value }) => before + value)
    .filter((value) => value.startsWith(word))
    .map((value) => value.slice(kept));
  return [byShell, ...values];
}
