import { statSync } from 'node:fs';
import { asMirrorlatchError, errnoOf, MirrorlatchError } from '../errors.ts';
import { checkKeyring } from '../mirror/settings/keyring.ts';
import { HOOK_PHASES } from '../mirror/settings/policy.ts';
import { cronFields } from '../scheduling/calendar.ts';
import { runProgram } from '../system/process.ts';
import { quoteForSh } from '../system/quote.ts';
import type { Configuration, ConfigurationProblem } from './configuration.ts';
import type { Key, MirrorTable } from './schema.ts';

/** What a mirror is told of this host: each throws a `MirrorlatchError` where the host does not have it. */
const LOOKS: readonly (readonly [Key, (table: MirrorTable) => unknown])[] = [
  ['check-keyring', (table) => table['check-keyring'] && checkKeyring(table['check-keyring'])],
  ['check-command', (table) => lookForProgramOfShell(table['check-command'])],
  ...(['fill', ...HOOK_PHASES] as const).map(
    (key) => [key, (table: MirrorTable) => lookForProgram(table[key])] as const,
  ),
  ['schedule', (table) => askSystemd(table.schedule)],
];

/**
 * What a configuration names and this host does not have: keys of a keyring, programs of hooks, and the time
 * zone or day of a schedule. Each is named once where several mirrors share it.
 */
export async function notOnThisHost({ mirrors }: Configuration): Promise<ConfigurationProblem[]> {
  const problems = new Map<unknown, ConfigurationProblem>();
  for (const { table, places } of mirrors.values()) {
    for (const [key, look] of LOOKS) {
      const place = places.get(key);
      if (place === undefined || problems.has(place)) continue;
      try {
        await look(table);
      } catch (error) {
        const { message, hint = '' } = asMirrorlatchError(error);
        problems.set(place, { place, message, hint });
      }
    }
  }
  return [...problems.values()];
}

function lookForProgram(words: readonly string[] | undefined): void {
  const [program = '', option, line] = words ?? [];
  if (program === '/bin/sh' && option === '-c') lookForProgramOfShell(line);
  else lookForFile(program);
}

/** A line with anything but plain words may know what to do without its program. */
function lookForProgramOfShell(line = ''): void {
  if (/^\s*\/[\w./+-]+(\s[^|&;<>()$`"'\\\n#]*)?$/.test(line))
    lookForFile(line.trim().split(/\s/)[0] ?? '');
}

/** Whoever runs `config check` may see and run less than the user of a sync, so only what no user can run counts. */
function lookForFile(program: string): void {
  if (!program.startsWith('/') || isProgramOrHidden(program)) return;
  throw new MirrorlatchError('CONFIGURATION', `there is no program ${program}`, {
    hint: `Look for it with: ls -ld ${quoteForSh(program)}`,
  });
}

function isProgramOrHidden(path: string): boolean {
  try {
    const file = statSync(path);
    return file.isFile() && (file.mode & 0o111) !== 0;
  } catch (error) {
    return !['ENOENT', 'ENOTDIR', 'ELOOP'].includes(errnoOf(error) ?? '');
  }
}

/** The calendar events of systemd, where it is installed; those that cron has, too, are known here. */
async function askSystemd(event = 'never'): Promise<void> {
  if (event === 'never' || cronFields(event, '') !== undefined) return;
  const words = ['calendar', '--', event.trim()];
  const answer = await runProgram('systemd-analyze', words).catch(() => undefined);
  if (answer === undefined || !/^Failed to parse calendar/m.test(answer.stderr)) return;
  throw new MirrorlatchError(
    'CONFIGURATION',
    `systemd knows no calendar event ${JSON.stringify(event)}`,
    { hint: `See what it says: systemd-analyze calendar ${quoteForSh(event.trim())}` },
  );
}
