import { showTime } from '../../mirror/units.ts';
import type { MirrorStatus } from '../../operations/status.ts';
import type { Schedule } from '../schedule-here.ts';
import { showAge, showSince } from '../units.ts';
import { type Answer, answer } from './answer.ts';

/** What syncs it without a person, when next, and when a sync last ran. */
export function scheduleAnswer(
  { schedule, after, starter, jobs, install }: Schedule,
  { lastSync }: MirrorStatus,
): Answer {
  const isByHand = after === undefined && schedule === 'never';
  const plan = isByHand
    ? 'its schedule is never, so nothing syncs it by itself'
    : after === undefined
      ? `its schedule is ${schedule}`
      : `it is synced after each publication of ${after}`;
  const next =
    starter?.next == null ? '' : `, next ${showAge(starter.next)} (${showTime(starter.next)})`;
  const starts = [
    ...(starter === undefined ? [] : [`${starter.unit} is active${next}`]),
    ...(jobs.length === 0 ? [] : [`cron starts it: ${jobs.join('; ')}`]),
  ];
  const isLeftAlone = !isByHand && starts.length === 0;
  return answer(
    'When is it synced?',
    [
      plan,
      ...starts,
      ...(isLeftAlone ? ['No timer of systemd and no crontab that is seen here starts it'] : []),
      lastSync === null
        ? 'no sync has run yet'
        : `a sync last ran ${showSince(lastSync.at)}, and ${OUTCOMES[lastSync.event]}`,
    ],
    { command: isLeftAlone ? install : null },
  );
}

const OUTCOMES = {
  published: 'published',
  unchanged: 'found nothing new',
  failed: 'failed',
} as const;
