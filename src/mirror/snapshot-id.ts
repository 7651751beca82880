import { MirrorlatchError } from '../errors.ts';
import { LIVE } from './layout.ts';

/**
 * A file name that is safe in a shell word, a URL and a log line. The reserved endings are those of
 * trees in staging.
 */
const PATTERN = /^[A-Za-z0-9][A-Za-z0-9._+-]{0,99}$/;
const RESERVED = /\.(clone|foreign|command)$/;

export function isSnapshotId(text: string): boolean {
  return PATTERN.test(text) && !RESERVED.test(text) && text !== LIVE;
}

/** What commands call other things. There may be older snapshots of these names. */
const TAKEN = ['current', 'previous'];

/**
 * Checks the name that a user gave a new snapshot.
 *
 * @throws MirrorlatchError USAGE when `text` cannot name a snapshot.
 */
export function parseSnapshotId(text: string): string {
  if (isSnapshotId(text) && !TAKEN.includes(text)) return text;
  throw new MirrorlatchError('USAGE', `${JSON.stringify(text)} cannot name a snapshot`, {
    hint: 'Use 1 to 100 letters, digits and . _ + - that begin with a letter or a digit and do not end in .clone, .foreign or .command. The names current, previous and live are reserved.',
  });
}

/** The UTC time as `YYYYMMDDTHHMMSSZ` (ISO 8601, basic format). */
export function timestampId(time: Date): string {
  return time.toISOString().replace(/[-:]|\.\d+/g, '');
}

const TIMESTAMP = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z(?:-\d+)?$/;

/** Whether an id has been made of a time: no snapshot after it has the same. */
export function isTimestampId(id: string): boolean {
  return TIMESTAMP.test(id);
}

/** The time of which an id has been made; ms since the epoch. Undefined for any other. */
export function timeOfId(id: string): number | undefined {
  const time = Date.parse(id.replace(TIMESTAMP, '$1-$2-$3T$4:$5:$6Z'));
  return isTimestampId(id) && !Number.isNaN(time) ? time : undefined;
}

/** `timestampId(time)`, with `-2`, `-3`, … appended if that name is taken. */
export function freshId(time: Date, isTaken: (id: string) => boolean): string {
  const base = timestampId(time);
  for (let count = 1; ; count += 1) {
    const id = count === 1 ? base : `${base}-${count}`;
    if (!isTaken(id)) return id;
  }
}
