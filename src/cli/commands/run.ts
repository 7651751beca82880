import { type Command, Option } from 'commander';
import { MirrorlatchError } from '../../errors.ts';
import type { CommandContext } from '../context.ts';
import { helpOfGuard } from '../help.ts';
import { printLine } from '../output.ts';
import { duration } from '../values.ts';

interface RunFlags {
  mirror?: string[];
  pin?: 'auto' | 'namespace' | 'cwd';
  chdir?: 'yes' | 'no';
  snapshot?: string;
  orCurrent?: boolean;
  allowDirty?: boolean;
  /** ms; false for --no-wait. */
  wait?: number | boolean;
  sticky?: string;
  reuse?: string;
  preset?: boolean;
  releaseOnExit?: boolean;
  verbose?: boolean;
}

/** Prints shell code, which the launcher (src/launcher.sh) evaluates: it then becomes the command. */
export function addRun(program: Command, context: CommandContext): void {
  program
    .command('run')
    .summary('run a command that sees one snapshot only')
    .description(
      'Runs a command that sees one snapshot of a mirror and no other, whatever is published meanwhile. ' +
        'Without a command it opens a shell.',
    )
    .usage('[MIRROR] [options] [-- COMMAND [ARGUMENT]...]')
    .argument('[MIRROR]')
    .option(
      '-m, --mirror <mirror>',
      'pin this one too; may be given again',
      (mirror, all: string[] = []) => [...all, mirror],
    )
    .addOption(
      new Option(
        '--pin <kind>',
        'namespace: the paths of the mirror show this snapshot alone; cwd: the working directory is the snapshot',
      ).choices(['auto', 'namespace', 'cwd']),
    )
    .addOption(
      new Option(
        '--chdir <yes|no>',
        'start in the snapshot (default), or stay where you are',
      ).choices(['yes', 'no']),
    )
    .option('--snapshot <id>', 'pin this one instead of the current one, or `previous`')
    .option('--or-current', 'pin the current one where that snapshot is gone')
    .option('--allow-dirty', 'read a mirror in place although its last sync did not end well')
    .option(
      '--wait <duration>',
      'how long to wait for a mirror with nothing to read (default: without limit)',
      duration,
    )
    .option('--no-wait', 'do not wait')
    .option('--sticky <name>', 'remember the snapshot under this name')
    .option('--reuse <name>', 'pin the snapshot that is remembered under this name')
    .option(
      '--preset',
      'choose --sticky or --reuse by the command: apt-get update remembers, apt-get install reuses',
    )
    .option(
      '--release-on-exit',
      'let go of the snapshot when the command ends, also if it leaves a daemon behind',
    )
    .option('--verbose', 'say what was pinned, and how')
    .addHelpText(
      'after',
      helpOfGuard([
        'mirrorlatch run /srv/mirror/debian -- apt-get update',
        'mirrorlatch run /srv/mirror/debian --sticky apt -- apt-get update',
        'mirrorlatch run /srv/mirror/debian --reuse apt -- apt-get install hello',
        'mirrorlatch run -m /srv/mirror/debian -m /srv/mirror/security -- apt-get update',
      ]),
    )
    .action(async (mirror: string | undefined, flags: RunFlags) => {
      const { shellCodeFor } = await import('../../reader/plan-run.ts');
      const roots = [...(mirror === undefined ? [] : [mirror]), ...(flags.mirror ?? [])];
      if (roots.length === 0) {
        throw new MirrorlatchError('USAGE', 'no mirror was given', {
          hint: 'Such as: mirrorlatch run /srv/mirror/debian -- apt-get update',
        });
      }
      const code = shellCodeFor({
        ...flags,
        roots,
        command: context.operands,
        waitSeconds: secondsOf(flags.wait),
        env: process.env,
      });
      printLine(code);
    });
}

/** The reader waits by whole seconds. */
function secondsOf(wait: number | boolean | undefined): number | undefined {
  if (wait === false) return 0;
  return typeof wait === 'number' ? Math.ceil(wait / 1000) : undefined;
}
