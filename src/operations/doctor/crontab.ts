/** A line of a crontab that starts mirrorlatch. */
export interface CronJob {
  /** Of the file, from 1. */
  line: number;
  /** When, and as which user where one is named. */
  time: string;
  /** With its path, or by its name alone. */
  program: string;
  /** Of its command, without their quotes. */
  words: string[];
  /** Where cron looks for programs then. */
  searchPath: string;
}

/** That of crontab(5) where it says nothing else. */
const DEFAULT_PATH = '/usr/bin:/bin';

/** The name of the program, with or without a path, where a shell would look for a command. */
const OURS = /(?:^|[\s;&|(!])((?:\/\S*\/)?mirrorlatch)(?=\s|$)/;

/** `NAME = VALUE`, either in quotes. */
const ASSIGNMENT = /^\s*(?:["'](\w+)["']|([A-Za-z_]\w*))\s*=\s*(.*?)\s*$/;

/**
 * The jobs of mirrorlatch in a crontab (crontab(5)). One that sets PATH by itself is left out.
 *
 * @param hasUser whether a user stands before each command, as in /etc/crontab and /etc/cron.d.
 */
export function jobsIn(crontab: string, { hasUser }: { hasUser: boolean }): CronJob[] {
  const jobs: CronJob[] = [];
  let searchPath = DEFAULT_PATH;
  for (const [at, line] of crontab.split('\n').entries()) {
    const [, quoted, bare, value = ''] = ASSIGNMENT.exec(line) ?? [];
    const name = quoted ?? bare;
    if (name !== undefined) {
      // Nothing is expanded in it.
      if (name === 'PATH') searchPath = value.replace(/^(["'])(.*)\1$/, '$2');
      continue;
    }
    const fields = hasUser ? 6 : 5;
    const time = `(?:@\\w+(?:\\s+\\S+){${fields - 5}}|\\S+(?:\\s+\\S+){${fields - 1}})`;
    const [, when = '', command = ''] = new RegExp(`^\\s*(?!#)(${time})\\s+(.*)$`).exec(line) ?? [];
    if (/\bPATH=/.test(command)) continue;
    const program = OURS.exec(command)?.[1];
    if (program === undefined) continue;
    const words = command.split(/[\s;&|]+/).map((word) => word.replaceAll(/["']/g, ''));
    jobs.push({ line: at + 1, time: when.replaceAll(/\s+/g, ' '), program, words, searchPath });
  }
  return jobs;
}
