/**
 * `mirrorlatch run` prints shell code, which the shell of src/launcher.sh evaluates. That shell then
 * becomes the reader and, in the end, COMMAND: no process stays between COMMAND and its caller, and
 * the words of COMMAND never pass through Node.
 */
import { type Command, Option } from 'commander';
import { MirrorlatchError } from '../../errors.ts';
import { isWebUrl } from '../../mirror/web-url.ts';
import { PINS, type PinKind } from '../../reader/guard.ts';
import type { RunOptions } from '../../reader/plan-run.ts';
import type { CommandContext } from '../context.ts';
import { helpOfGuard } from '../help.ts';
import { MirrorArgument, MirrorOption } from '../mirror-names.ts';
import { printCode } from '../output.ts';
import { channelName, duration, wholeSeconds } from '../values.ts';

/** What `run --http` needs beyond what `run` does. */
export interface UrlOptions extends RunOptions {
  urls: readonly string[];
  allowUnseen: boolean;
  pinSeconds: number | undefined;
}

/** Runs a command under the guard of `run --http`, which is no shell code. */
export type RunByUrl = (options: UrlOptions, context: CommandContext) => Promise<void>;

interface RunFlags {
  mirror?: string[];
  http?: string[];
  allowUnseen?: boolean;
  /** ms */
  pinTime?: number;
  pin?: PinKind;
  chdir?: 'yes' | 'no';
  channel?: string;
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

/** @param loadRunByUrl without it, there is no `--http`: the launcher starts the whole program for that. */
export function addRun(
  program: Command,
  context: CommandContext,
  loadRunByUrl?: () => Promise<RunByUrl>,
): void {
  program
    .command('run')
    .summary('run a command that sees one snapshot only')
    .description(
      'Runs a command that sees exactly one snapshot of a mirror, whatever is published meanwhile. ' +
        'Without a command, it starts a shell.',
    )
    .usage('[MIRROR] [options] [-- COMMAND [ARGUMENT]...]')
    .addArgument(new MirrorArgument('[MIRROR]'))
    .addOption(new MirrorOption('-m, --mirror <mirror>', 'pin this mirror too; may be repeated'))
    .option(
      '--http <url>',
      'pin the mirror that COMMAND reads at this URL; may be repeated',
      (url, all: string[] = []) => [...all, url],
    )
    .option(
      '--allow-unseen',
      'with --http: accept that COMMAND requests nothing of the mirror through the guard',
    )
    .option(
      '--pin-time <duration>',
      'with --http: how long the server holds the snapshot if mirrorlatch is killed (default: as the server has it)',
      duration,
    )
    .addOption(
      new Option(
        '--pin <kind>',
        "namespace: the mirror's own paths lead to this snapshot alone; cwd: the working directory is the snapshot; auto (default): namespace; where there is none, cwd if {snapshot} is used or MIRRORLATCH_FALLBACK=cwd, else fail",
      ).choices(PINS),
    )
    .addOption(
      new Option(
        '--chdir <yes|no>',
        'start in the snapshot (default), or keep the working directory',
      ).choices(['yes', 'no']),
    )
    .option(
      '--channel <name>',
      'pin the snapshot that this channel names, instead of the current one',
      channelName,
    )
    .option('--snapshot <id>', 'pin this snapshot, or `previous`, instead of the current one')
    .option('--or-current', 'pin the current snapshot if that one is gone')
    .option('--allow-dirty', 'read an in-place mirror even if its last sync did not finish cleanly')
    .option(
      '--wait <duration>',
      'how long to wait while there is nothing to read (default: without limit)',
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
      'release the snapshot when COMMAND ends, even if it leaves a daemon behind',
    )
    .option('--verbose', 'report what is pinned, and how')
    .addHelpText(
      'after',
      helpOfGuard([
        'mirrorlatch run /srv/mirror/debian -- apt-get update',
        'mirrorlatch run /srv/mirror/debian --sticky apt -- apt-get update',
        'mirrorlatch run /srv/mirror/debian --reuse apt -- apt-get install hello',
        'mirrorlatch run /srv/mirror/debian --channel production -- apt-get update',
        'mirrorlatch run -m /srv/mirror/debian -m /srv/mirror/security -- apt-get update',
        'mirrorlatch run --http http://mirror.example.org/debian/current/ -- apt-get update',
        'mirrorlatch run --http http://mirror.example.org/debian/production/ -- apt-get update',
      ]),
    )
    .action(async (mirror: string | undefined, flags: RunFlags) => {
      const roots = [...(mirror === undefined ? [] : [mirror]), ...(flags.mirror ?? [])];
      const urls = flags.http ?? [];
      refuseUrls(roots);
      refuseTwoSnapshots(flags);
      if (roots.length + urls.length === 0) {
        throw new MirrorlatchError('USAGE', 'no mirror was given', {
          hint: 'Name it before the command: mirrorlatch run MIRROR -- COMMAND',
        });
      }
      const options = {
        ...flags,
        roots,
        command: context.operands,
        waitSeconds: secondsOf(flags.wait),
        env: process.env,
      };
      const idle = { '--allow-unseen': flags.allowUnseen, '--pin-time': flags.pinTime };
      if (urls.length === 0) refuseIdle(idle);
      else {
        if (loadRunByUrl === undefined)
          throw new MirrorlatchError('INTERNAL', 'no proxy is at hand');
        const runByUrl = await loadRunByUrl();
        const pinSeconds = flags.pinTime === undefined ? undefined : wholeSeconds(flags.pinTime);
        const allowUnseen = flags.allowUnseen ?? false;
        await runByUrl({ ...options, urls, allowUnseen, pinSeconds }, context);
        return;
      }
      const { shellCodeFor } = await import('../../reader/plan-run.ts');
      printCode(shellCodeFor(options));
    });
}

/** @throws MirrorlatchError USAGE for an option that only `--http` has a use for. */
function refuseIdle(options: Readonly<Record<string, unknown>>): void {
  const [name] = Object.keys(options).filter((option) => options[option] !== undefined);
  if (name === undefined) return;
  throw new MirrorlatchError('USAGE', `${name} has no effect without --http`, {
    hint: 'It is about a mirror that COMMAND reads by HTTP. Leave it out.',
  });
}

/** @throws MirrorlatchError USAGE */
function refuseTwoSnapshots({ channel, snapshot }: RunFlags): void {
  if (channel === undefined || snapshot === undefined) return;
  throw new MirrorlatchError('USAGE', '--channel cannot be combined with --snapshot', {
    hint: 'A channel names one snapshot already. Leave one of them out.',
  });
}

/** @throws MirrorlatchError USAGE */
function refuseUrls(roots: readonly string[]): void {
  const url = roots.find(isWebUrl);
  if (url === undefined) return;
  throw new MirrorlatchError('USAGE', `${url} is a URL, not the path of a mirror`, {
    hint: `Pin what COMMAND reads there: mirrorlatch run --http ${url} -- COMMAND`,
  });
}

function secondsOf(wait: number | boolean | undefined): number | undefined {
  if (wait === false) return 0;
  return typeof wait === 'number' ? wholeSeconds(wait) : undefined;
}
