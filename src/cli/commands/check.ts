import type { Command } from 'commander';
import { describeCounts, MOST_FINDINGS, OF_CONTENT } from '../../checks/finding.ts';
import { EXIT_CODES } from '../../errors.ts';
import { LIVE } from '../../mirror/layout.ts';
import { showBytes } from '../../mirror/units.ts';
import type { CheckResult } from '../../operations/check.ts';
import { quoteForSh } from '../../system/quote.ts';
import type { CommandContext } from '../context.ts';
import { helpAfter } from '../help.ts';
import { unlessInterrupted } from '../interrupt.ts';
import { MirrorArgument } from '../mirror-names.ts';
import { CHECK, type CheckFlags } from '../options/check.ts';
import { addOptions } from '../options/group.ts';
import { bad, doubtful, good, printJson, printLine } from '../output.ts';
import { printTable } from '../table.ts';
import { createReporter, printWarning } from '../terminal.ts';
import { showFiles } from '../units.ts';

interface Flags extends CheckFlags {
  json?: boolean;
}

export function addCheck(program: Command, context: CommandContext): void {
  const command = program
    .command('check')
    .summary('check a repository by its own hashes, sizes and signatures')
    .description(
      'Checks a snapshot of a mirror, by default the current one, or any directory, by what the repositories in it say of their files. Changes nothing.',
    )
    .addArgument(new MirrorArgument('<ROOT>'))
    .argument('[ID]', 'a snapshot: its id, current (default), previous or a channel');
  addOptions(command, CHECK)
    .option('--json', 'print one object about the result')
    .addHelpText(
      'after',
      helpAfter(
        [
          'mirrorlatch check /srv/mirror/debian',
          'mirrorlatch check /srv/upstream --check apt --check-content',
        ],
        ['USAGE', 'CHECK_FAILED', 'NO_MIRROR', 'UNAVAILABLE', 'BUSY', 'CONFIGURATION', 'IO'],
        'Without --check it is what the mirror remembers, or auto. ROOT may be a directory that is no mirror. It also ends with 69 if the tree says nothing of itself.',
      ),
    )
    .action(async (path: string, id: string | undefined, flags: Flags) => {
      const { check } = await import('../../operations/check.ts');
      const reporter = createReporter(flags.json ? 'quiet' : 'normal');
      const signal = context.signal();
      const how = { path, id, check: CHECK.read(flags), signal, onEvent: reporter.onEvent };
      const checking = check(how).finally(reporter.stop);
      const result = await unlessInterrupted(checking, signal, context.setExitCode);
      if (result === undefined) return;
      if (flags.json) printJson(result);
      else printResult(result, path);
      if (!result.isRight) context.setExitCode(EXIT_CODES.CHECK_FAILED);
      else if (isNothing(result)) context.setExitCode(EXIT_CODES.UNAVAILABLE);
    });
}

/** A list that is longer begins with how much there is of what. */
const FEW = 10;

function printCounts(counts: CheckResult['counts']): void {
  printLine(describeCounts(counts));
  printLine();
}

/** Whether the tree says nothing of itself. */
function isNothing({ kinds, asked }: CheckResult): boolean {
  return kinds.length === 0 && !asked;
}

/** @param path as the user named the mirror. */
function printResult(result: CheckResult, path: string): void {
  const { tree, id, isRight, kinds, files, read, leftOut, findings, count, counts, notes } = result;
  if (findings.length > 0) {
    if (count > FEW) printCounts(counts);
    printTable(
      ['NAME', 'FINDING', 'EXPECTED', 'FOUND', 'SAID BY'],
      findings.map(({ name, kind, expected, found, by }) => [name, kind, expected, found, by]),
    );
    if (count > findings.length) printLine(`only the first ${MOST_FINDINGS} are listed`);
    printLine();
  }
  for (const note of notes) printWarning(note);
  if (isNothing(result) && isRight) {
    printLine(tree, doubtful('unknown:'), 'it says nothing of itself that could be checked');
    return;
  }
  const parts = [
    ...(count > 0 ? [`${count} wrong`] : []),
    ...kinds.map(({ kind, found }) => `${kind} (${found})`),
    showFiles(files),
    `read ${showFiles(read.files)}, ${showBytes(read.bytes)}`,
    ...(leftOut > 0 ? [`${showFiles(leftOut)} left out on purpose`] : []),
  ];
  printLine(tree, isRight ? good('right:') : bad('wrong:'), parts.join('; '));
  if (id === null || isRight || !counts.kinds.some(({ kind }) => OF_CONTENT.includes(kind))) return;
  const words = id === LIVE ? [path] : [path, id];
  const command = `mirrorlatch verify ${words.map(quoteForSh).join(' ')} --bitrot`;
  printLine(`To see whether it was so when it was published: ${command}`);
}
