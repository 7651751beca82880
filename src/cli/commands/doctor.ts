import type { Command } from 'commander';
import { EXIT_CODES } from '../../errors.ts';
import type { Examination } from '../../operations/doctor/check.ts';
import type { CommandContext } from '../context.ts';
import { helpAfter } from '../help.ts';
import { MirrorArgument } from '../mirror-names.ts';
import { bad, doubtful, good, type Part, printJson, printLine } from '../output.ts';

export function addDoctor(program: Command, context: CommandContext): void {
  program
    .command('doctor')
    .summary('find what keeps mirrorlatch from its work, and the way out')
    .description(
      'Looks at this host, and at mirrors, for what keeps mirrorlatch from its work: a line each, with what to do. ' +
        'Changes nothing. Exits with 69 if something is bad.',
    )
    .addArgument(new MirrorArgument('[MIRROR...]'))
    .option('--json', 'print one object')
    .addHelpText(
      'after',
      helpAfter(
        [
          'mirrorlatch doctor',
          'mirrorlatch doctor /srv/mirror/debian /srv/mirror/fedora',
          'mirrorlatch doctor --json | jq \'.system[] | select(.state == "bad")\'',
        ],
        ['USAGE', 'NO_MIRROR', 'UNHEALTHY', 'PERMISSION', 'IO'],
      ),
    )
    .action(async (roots: string[], flags: { json?: boolean }) => {
      const { doctor } = await import('../../operations/doctor/doctor.ts');
      const report = await doctor(roots);
      if (flags.json) printJson(report);
      else {
        printGroup('this host', report.system);
        for (const { root, examinations } of report.mirrors) {
          printLine();
          printGroup(root, examinations);
        }
      }
      if (!report.isSound) context.setExitCode(EXIT_CODES.UNHEALTHY);
    });
}

const WORDS: Record<Examination['state'], (text: string) => Part> = {
  ok: good,
  skipped: (text) => text,
  warning: doubtful,
  bad,
};

/** As wide as the longest state. */
const STATE_WIDTH = 'warning'.length;
const TITLE_WIDTH = 'tools of a guard'.length;

function printGroup(name: string, examinations: readonly Examination[]): void {
  printLine(name);
  for (const { state, title, found, remedy } of examinations) {
    const word = WORDS[state](state === 'skipped' ? '-' : state);
    const gap = ' '.repeat(STATE_WIDTH - (state === 'skipped' ? 1 : state.length));
    printLine(' ', word, `${gap} ${title.padEnd(TITLE_WIDTH)}  ${found}`);
    if (remedy !== null) printLine(' '.repeat(STATE_WIDTH + 4), remedy);
  }
}
