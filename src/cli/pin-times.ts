import { showDuration } from '../config/values.ts';
import { MirrorlatchError } from '../errors.ts';
import { DEFAULT_PINS, type PinPolicy } from '../http/pins/run-rules.ts';

/** The options of `serve` that say when the run of a client ends. */
const FLAGS = { gapMs: '--pin-gap', quietMs: '--pin-quiet', maxAgeMs: '--pin-max-age' } as const;

type Time = keyof typeof FLAGS;

/** Of each pair, the first may not be longer than the second. */
const ORDERS: readonly (readonly [Time, Time])[] = [
  ['gapMs', 'quietMs'],
  ['gapMs', 'maxAgeMs'],
  ['quietMs', 'maxAgeMs'],
];

/**
 * Refuses times that contradict each other: one of them would never count.
 *
 * @param given ms; without those that were not given.
 * @throws MirrorlatchError USAGE
 */
export function refuseContradictions(given: Partial<Pick<PinPolicy, Time>>): void {
  const policy = { ...DEFAULT_PINS, ...given };
  for (const [shorter, longer] of ORDERS) {
    // The quiet time is for clients that rest, the maximum age for those that never do: one alone leaves the other as it is.
    const isOneAlone = shorter === 'quietMs' && !(shorter in given && longer in given);
    if (isOneAlone || policy[shorter] <= policy[longer]) continue;
    throw contradiction(shown(shorter, given), shown(longer, given));
  }
  for (const time of ['quietMs', 'maxAgeMs'] as const) {
    if (policy[time] <= policy.limitMs) continue;
    const limit = showDuration(policy.limitMs);
    throw contradiction(shown(time, given), `any run of a client (${limit})`);
  }
}

function shown(time: Time, given: Partial<Pick<PinPolicy, Time>>): string {
  const length = showDuration(given[time] ?? DEFAULT_PINS[time]);
  return `${FLAGS[time]} (${length}${time in given ? '' : ' by default'})`;
}

function contradiction(shorter: string, longer: string): MirrorlatchError {
  return new MirrorlatchError('USAGE', `${shorter} is longer than ${longer}`, {
    hint: 'Give --pin-gap the shortest time and --pin-max-age the longest, up to a day.',
  });
}
