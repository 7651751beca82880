import { problemOfConfiguration } from '../../mirror/settings/configured.ts';
import { runProgram } from '../../system/process.ts';
import { bad, type Check, ok, skipped, unlessRefused, type Verdict, warning } from './check.ts';

/** What a process is started with, and what else runs on this host. */
export const SURROUNDINGS: readonly Check<void>[] = [
  { title: 'configuration', look: lookAtConfiguration },
  { title: 'umask', look: lookAtUmask },
  { title: 'clock', look: lookAtClock },
  { title: 'systemd', look: lookAtUnits },
];

function lookAtConfiguration(): Verdict {
  const problem = problemOfConfiguration();
  return unlessRefused(() => {
    if (problem !== undefined) throw problem;
  }, 'nothing in it is wrong');
}

/** Reading and entering, by others than the owner. */
const READ_BY_OTHERS = 0o055;

function lookAtUmask(): Verdict {
  const mask = process.umask(0o077);
  process.umask(mask);
  const shown = mask.toString(8).padStart(3, '0');
  if ((mask & READ_BY_OTHERS) === 0) return ok(shown);
  return warning(
    `${shown}, as cron may have it: others cannot read what a command of lock makes, or rsync without --perms`,
    'In the crontab or the script, before mirrorlatch: umask 022',
  );
}

async function lookAtClock(): Promise<Verdict> {
  const synchronized = await say('timedatectl', ['show', '--property=NTPSynchronized', '--value']);
  switch (synchronized?.trim()) {
    case 'yes':
      return ok('synchronised');
    case 'no':
      return warning(
        'not synchronised: snapshots may be kept too long or too short',
        'As root: timedatectl set-ntp true',
      );
    default:
      return skipped('no timedatectl says here whether it is synchronised');
  }
}

async function lookAtUnits(): Promise<Verdict> {
  const running = await say('systemctl', ['is-system-running'], { anyway: true });
  if (running === undefined || /^(offline|unknown)?$/.test(running.trim()))
    return skipped('it does not run here');
  const ours = ['--no-legend', '--plain', 'mirrorlatch*'];
  const [failed] = unitsIn(await say('systemctl', ['list-units', '--state=failed', ...ours]));
  if (failed !== undefined)
    return bad(`${failed} has failed`, `See why with: systemctl status ${failed}`);
  const installed = unitsIn(await say('systemctl', ['list-unit-files', '--type=timer', ...ours]));
  const [first] = installed;
  if (first === undefined) return ok('no timer of mirrorlatch is installed');
  const active = unitsIn(await say('systemctl', ['list-units', '--type=timer', ...ours]));
  if (active.length > 0) return ok(active.join(', '));
  const unit = first.replace('@.', '@NAME.');
  return warning(
    `${first} is installed, but no timer of mirrorlatch runs`,
    `As root: systemctl enable --now ${unit}`,
  );
}

function unitsIn(table = ''): string[] {
  return table.split('\n').flatMap((line) => /^\s*(\S+@?\S*\.\w+)\s/.exec(line)?.[1] ?? []);
}

/** What a program prints; undefined if it is not there or fails. @param anyway even if it fails. */
async function say(
  program: string,
  args: readonly string[],
  { anyway = false } = {},
): Promise<string | undefined> {
  try {
    const { exitCode, stdout } = await runProgram(program, args);
    return exitCode === 0 || anyway ? stdout : undefined;
  } catch {
    return undefined;
  }
}
