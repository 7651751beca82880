import { existsSync, readdirSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { isExecutable } from '../../system/file-access.ts';
import { ifAllowed, ifThere, lstatIfThere, readTextIfThere } from '../../system/files.ts';
import { programsInPath } from '../../system/own-program.ts';
import { quoteForSh } from '../../system/quote.ts';
import { bad, type Check, ok, skipped, type Verdict } from './check.ts';
import { type CronJob, jobsIn } from './crontab.ts';

export const CRON: readonly Check<void>[] = [{ title: 'cron', look: lookAtCron }];

/** Crontabs of the system, and directories of those of users, by Debian and by Red Hat. */
const OF_SYSTEM = ['/etc/crontab', '/etc/cron.d'];
const OF_USERS = ['/var/spool/cron/crontabs', '/var/spool/cron'];

export interface Job extends CronJob {
  file: string;
}

function lookAtCron(): Verdict {
  const jobs = crontabs().flatMap(jobsOf);
  if (jobs.length === 0) {
    const unseen = process.geteuid?.() === 0 ? '' : ', as far as this user may see';
    return skipped(`no crontab starts mirrorlatch${unseen}`);
  }
  const [problem] = jobs.flatMap((job) => problemOf(job) ?? []);
  return problem ?? ok(jobs.map(({ file, line }) => `${file}, line ${line}`).join('; '));
}

function jobsOf({ file, text, hasUser }: Crontab): Job[] {
  return jobsIn(text, { hasUser }).map((job) => ({ ...job, file }));
}

/** The jobs of cron on this host that sync one of these mirrors, or all, as far as this user may see them. */
export function jobsFor(mirrors: readonly string[]): Job[] {
  return crontabs()
    .flatMap(jobsOf)
    .filter(({ words }) => {
      const named = [...mirrors, '--all'];
      return (
        words.some((word) => ['sync', 'lock'].includes(word)) &&
        words.some((word) => named.includes(word))
      );
    });
}

interface Crontab {
  readonly file: string;
  readonly text: string;
  /** A user stands before each command. */
  readonly hasUser: boolean;
}

/** The crontabs of this host, as far as this user may see them. */
export function crontabs(): Crontab[] {
  const below = (hasUser: boolean) => (place: string) =>
    filesAt(place).map((file) => {
      const text = ifAllowed(() => readTextIfThere(file)) ?? '';
      return { file, text, hasUser };
    });
  return [...OF_SYSTEM.flatMap(below(true)), ...OF_USERS.flatMap(below(false))];
}

/** The file, or the files of the directory, as far as this user may see them. */
function filesAt(place: string): string[] {
  const found = ifAllowed(() => lstatIfThere(place));
  if (found?.isFile()) return [place];
  const names = ifAllowed(() => ifThere(() => readdirSync(place))) ?? [];
  return names
    .map((name) => join(place, name))
    .filter((path) => ifAllowed(() => lstatIfThere(path))?.isFile());
}

function problemOf({ file, line, program, searchPath }: Job): Verdict | undefined {
  const where = `${file}, line ${line}`;
  const missing = missingProgram(program, searchPath);
  if (missing !== undefined) {
    const path = [...directoriesOf(missing), searchPath].join(':');
    return bad(
      `${where}: cron does not find ${missing} in its PATH, which is ${searchPath}`,
      `Write at the top of that file: PATH=${path}`,
    );
  }
  if (!isPassedOver(file)) return undefined;
  const shown = quoteForSh(file);
  return bad(
    `${where}: cron passes over a file there that is not root's alone, or whose name has a dot`,
    `As root: chown root:root ${shown} && chmod 644 ${shown} && mv ${shown} ${quoteForSh(file.replaceAll(/\.(?!d\/)/g, '-'))}`,
  );
}

/** Of the program and Node, by which it runs, the one that cron does not find. */
function missingProgram(program: string, searchPath: string): string | undefined {
  const [found] = program.startsWith('/')
    ? [program].filter(isExecutable)
    : programsInPath(program, searchPath);
  if (found === undefined) return program;
  return programsInPath('node', searchPath).length > 0 || hasOwnNode(found) ? undefined : 'node';
}

/** Whether it is that of a package which carries its own Node. */
function hasOwnNode(program: string): boolean {
  return existsSync(join(dirname(realpathSync(program)), '..', 'node', 'bin', 'node'));
}

/** Where this process finds it; what is named by its path has to be put there. */
function directoriesOf(program: string): string[] {
  const [found] = programsInPath(program);
  return found === undefined ? [] : [dirname(found)];
}

/** Debian's cron(8). */
function isPassedOver(file: string): boolean {
  if (!existsSync('/etc/debian_version') || dirname(file) !== '/etc/cron.d') return false;
  const found = lstatIfThere(file);
  if (found === undefined) return false;
  return found.uid !== 0n || (found.mode & 0o022n) !== 0n || !/\/[\w-]+$/.test(file);
}
