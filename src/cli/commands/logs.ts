import type { Command } from 'commander';
import { MirrorlatchError } from '../../errors.ts';
import { showBytes } from '../../mirror/units.ts';
import type { LogInfo } from '../../reader/logs.ts';
import { quoteForSh } from '../../system/quote.ts';
import type { CommandContext } from '../context.ts';
import { helpAfter } from '../help.ts';
import { MirrorArgument } from '../mirror-names.ts';
import { bad, good, type Part, printBytes, printJson, printLine } from '../output.ts';
import { printTable } from '../table.ts';
import { printWarning } from '../terminal.ts';
import { showAge } from '../units.ts';

interface Flags {
  follow?: boolean;
  path?: boolean;
  json?: boolean;
}

export function addLogs(program: Command, context: CommandContext): void {
  program
    .command('logs')
    .summary('show what rsync said in a sync')
    .description(
      'Prints what rsync said in one sync, or lists the logs that are there. Only the owner of the mirror may read them.',
    )
    .addArgument(new MirrorArgument())
    .argument('[ID]', 'the sync: the id of its snapshot, last, or failed for the last that failed')
    .option('-f, --follow', 'print the log of the running sync, until that ends')
    .option('--path', 'print only where the log is; without ID that of the last sync')
    .option('--json', 'print an array of the logs, or with ID one object; not what is in them')
    .addHelpText(
      'after',
      helpAfter(
        [
          'mirrorlatch logs /srv/mirror/debian failed',
          'mirrorlatch logs /srv/mirror/debian --follow',
          'less "$(mirrorlatch logs /srv/mirror/debian --path)"',
        ],
        ['USAGE', 'NO_MIRROR', 'UNAVAILABLE', 'PERMISSION', 'CONFIGURATION', 'IO'],
        'Logs are kept for the snapshots that are there, and of other syncs for the last 20. A sync that found\nnothing new keeps none.',
      ),
    )
    .action(async (root: string, id: string | undefined, flags: Flags) => {
      const { findLog, followLog, logs, readLog } = await import('../../reader/logs.ts');
      if (flags.follow) {
        refuseName(root, id);
        const signal = context.signal();
        await printBytes(followLog({ root, signal, onWarning: printWarning }));
        if (signal.reason instanceof MirrorlatchError) context.setExitCode(signal.reason.exitCode);
        return;
      }
      const name = id ?? (flags.path ? 'last' : undefined);
      if (name === undefined) {
        printLogs(logs(root), flags);
        return;
      }
      const log = findLog(root, name);
      if (flags.json) printJson(log);
      else if (flags.path) printLine(log.path);
      else await printBytes(readLog(log));
    });
}

/** The running sync has no id for people yet. */
function refuseName(root: string, id: string | undefined): void {
  if (id === undefined || id === 'last') return;
  throw new MirrorlatchError('USAGE', `--follow is for the running sync, not for ${id}`, {
    hint: `Leave one of them out: mirrorlatch logs ${quoteForSh(root)} ${quoteForSh(id)}`,
  });
}

function printLogs(found: readonly LogInfo[], { json }: Flags): void {
  if (json) printJson(found);
  else if (found.length === 0) printLine('there is no log yet');
  else printTable(['SYNC', 'OUTCOME', 'WRITTEN', 'SIZE'], found.map(cellsOf));
}

function cellsOf({ id, outcome, writtenAt, bytes }: LogInfo): Part[] {
  return [id, shown(outcome), `${showAge(writtenAt)} ago`, showBytes(bytes)];
}

function shown(outcome: LogInfo['outcome']): Part {
  switch (outcome) {
    case null:
      return '?';
    case 'failed':
      return bad(outcome);
    case 'running':
      return good(outcome);
    default:
      return outcome;
  }
}
