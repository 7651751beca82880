/** What people are told of a mirror, without being asked. */
export type NoticeKind = 'failed' | 'stale' | 'recovered';

/** What is wrong with a mirror at one moment, as far as people are told of it. */
export interface Condition {
  readonly kind: 'failed' | 'stale';
  /** What tells it from others of its kind: the code of an error. */
  readonly code: string;
  /** When it came to be; ms since the epoch. */
  readonly since: number;
}

/** What was told, as it is remembered; times are in ms since the epoch. */
export interface Told {
  /** By kind and code: when it was told last. */
  readonly last: Readonly<Record<string, number>>;
  /** What is wrong as far as people know, by kind and code, and since when. */
  readonly open: Readonly<Record<string, number>>;
}

export interface PlannedNotice {
  readonly kind: NoticeKind;
  /** For a recovery, that of what is over. */
  readonly code: string;
  /** Since when it is so; for a recovery, since when it was not. */
  readonly since: number;
}

export const NOTHING_TOLD: Told = { last: {}, open: {} };

const HOUR = 3_600_000;

/** Whoever was told that a mirror is stale is reminded each day. */
const REMINDER = 24 * HOUR;

/**
 * What to tell of a mirror now. Pure. The same is never told twice within an hour; a failure is told again
 * if another sync has failed since; and a recovery is told of what was told.
 *
 * @param now ms since the epoch.
 * @returns also what is told once these are sent.
 */
export function planNotices(
  told: Told,
  conditions: readonly Condition[],
  now: number,
): { notices: PlannedNotice[]; told: Told } {
  const notices: PlannedNotice[] = [];
  // A time to come is that of a clock that was wrong: what was told then may be told again.
  const last = Object.fromEntries(Object.entries(told.last).filter(([, at]) => at <= now));
  const open: Record<string, number> = {};
  const tell = (key: string, notice: PlannedNotice): boolean => {
    const before = last[key];
    if (before !== undefined && now - before < HOUR) return false;
    notices.push(notice);
    last[key] = now;
    return true;
  };
  const wasFailing = Object.keys(told.open).some((key) => key.startsWith('failed '));
  for (const condition of conditions) {
    const { kind, code, since } = condition;
    const key = `${kind} ${code}`;
    const known = told.open[key];
    const before = last[key];
    const isNews =
      known === undefined ||
      before === undefined ||
      (kind === 'failed' ? since > before : now - before >= REMINDER);
    const isTold = isNews && tell(key, condition);
    // A failure that takes the place of another, and was told within the hour, is known, too.
    const takesPlace = kind === 'failed' && wasFailing;
    if (isTold || known !== undefined || takesPlace) open[key] = known ?? since;
  }
  // What gave way to another failure is not over.
  const isFailing = conditions.some(({ kind }) => kind === 'failed');
  for (const [key, since] of Object.entries(told.open)) {
    const [kind = '', code = ''] = key.split(' ');
    const isOver = open[key] === undefined && !(kind === 'failed' && isFailing);
    if (isOver && !tell(`recovered ${key}`, { kind: 'recovered', code, since })) open[key] = since;
  }
  return { notices, told: { last: recent(last, now), open } };
}

/** What lies further back decides nothing any more. */
function recent(last: Readonly<Record<string, number>>, now: number): Record<string, number> {
  return Object.fromEntries(Object.entries(last).filter(([, at]) => now - at < 2 * REMINDER));
}
