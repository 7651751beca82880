import type { Facts } from '../../operations/explain.ts';
import type { Schedule } from '../schedule-here.ts';
import { type Answer, answer } from './answer.ts';
import { channelAnswer } from './channel-answer.ts';
import { lockAnswer } from './lock-answer.ts';
import { scheduleAnswer } from './schedule-answer.ts';
import {
  accessAnswers,
  askedAnswers,
  damageAnswer,
  exceptedAnswer,
  keptAnswer,
} from './snapshot-answers.ts';
import {
  failureAnswer,
  freshAnswer,
  gateAnswer,
  hookAnswer,
  nextSyncAnswer,
} from './sync-answers.ts';

/**
 * The answers to all questions that there are about a mirror, or about one of its snapshots. Pure but for the clock.
 *
 * @param schedule undefined for a mirror that the configuration does not name.
 */
export function answersTo(facts: Facts, schedule?: Schedule): Answer[] {
  const { asked, status } = facts;
  if (asked !== null) return askedAnswers(facts, asked);
  return [
    healthAnswer(facts),
    ...lockAnswer(facts),
    ...gateAnswer(facts),
    ...failureAnswer(facts, schedule?.isFilled),
    ...hookAnswer(facts),
    ...damageAnswer(facts, schedule?.isFilled),
    ...exceptedAnswer(facts),
    freshAnswer(facts, schedule?.isFilled),
    ...(schedule === undefined ? [] : [scheduleAnswer(schedule, status)]),
    nextSyncAnswer(facts, schedule?.isFilled),
    ...channelAnswer(facts),
    ...keptAnswer(facts),
    ...(status.current === null ? [] : accessAnswers(facts, status.current, status.closedMode)),
  ];
}

function healthAnswer({ status: { problems } }: Facts): Answer {
  return answer('Is it healthy?', problems.length === 0 ? ['Yes'] : [`No: ${problems.join('; ')}`]);
}
