import { quoteForSh } from '../system/quote.ts';
import { cronFields } from './calendar.ts';
import {
  followWords,
  ownWords,
  type ProgramPlace,
  type ScheduledMirror,
  searchPath,
  syncWords,
} from './scheduled.ts';

/**
 * The lines of a file for /etc/cron.d that sync these mirrors.
 *
 * @param withUser for /etc/cron.d; the crontab of a user does not name one.
 * @returns also the mirrors that cron cannot do, by name.
 */
export function crontabFor(
  mirrors: readonly ScheduledMirror[],
  place: ProgramPlace,
  { withUser }: { withUser: boolean },
): { lines: string[]; refused: ScheduledMirror[] } {
  const refused: ScheduledMirror[] = [];
  const jobs = mirrors.flatMap((mirror) => {
    const { name, schedule, user, after, isWatched } = mirror;
    const whose = withUser ? `  ${user}` : '';
    const telling = isWatched
      ? [`*/15 * * * *${whose}  ${inCrontab(ownWords(place, 'notify', name))}`]
      : [];
    if (after !== undefined)
      return [`@reboot${whose}  ${inCrontab(followWords(place, mirror, after))}`, ...telling];
    if (schedule === 'never') return telling;
    const fields = cronFields(schedule, name);
    if (fields === undefined) {
      refused.push(mirror);
      return telling;
    }
    return [`${fields}${whose}  ${inCrontab(syncWords(place, mirror))}`, ...telling];
  });
  return { lines: [`PATH=${searchPath(place)}`, ...jobs], refused };
}

/** A percent sign ends the command of a line, see crontab(5). */
function inCrontab(words: readonly string[]): string {
  return words.map(quoteForSh).join(' ').replaceAll('%', String.raw`\%`);
}
