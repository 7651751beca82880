import { nearestName } from '../system/nearest.ts';

/**
 * When a mirror is synced, as systemd.time(7) writes calendar events; those that cron(8) can do as well are
 * read here.
 */

const WORDS: Readonly<Record<string, string>> = {
  minutely: '* * * * *',
  hourly: 'M * * * *',
  daily: 'M H * * *',
  weekly: 'M H * * 1',
  monthly: 'M H 1 * *',
  quarterly: 'M H 1 1,4,7,10 *',
  yearly: 'M H 1 1 *',
};

const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];

/**
 * The five fields of a crontab for a calendar event of systemd; undefined for one that cron cannot do.
 *
 * @param name spreads mirrors whose event names no minute: always the same for one name.
 */
export function cronFields(event: string, name: string): string | undefined {
  const text = event.trim();
  const word = WORDS[text.toLowerCase()];
  if (word !== undefined) {
    const minute = hash(name) % 60;
    // In the night, before people come.
    const hour = Math.floor(hash(name) / 60) % 6;
    return word.replace('M', String(minute)).replace('H', String(hour));
  }
  const [, days, hours = '', minutes = ''] =
    /^(?:([A-Za-z,.]+) +)?(?:\*-\*-\* +)?(\*|[\d,]+|\*\/\d+|0\/\d+):([\d,]+|\*|\*\/\d+|0\/\d+)(?::00?)?$/.exec(
      text,
    ) ?? [];
  const [minute, hour] = [field(minutes, 59), field(hours, 23)];
  const weekdays = days === undefined ? '*' : weekdaysOf(days);
  if (minute === undefined || hour === undefined || weekdays === undefined) return undefined;
  return `${minute} ${hour} * * ${weekdays}`;
}

/** `03` to `3`; `0/15` and, as cron has it, `*` with a step, to the latter. */
function field(text: string, largest: number): string | undefined {
  if (text === '*') return '*';
  const [, step] = /^(?:\*|0)\/(\d+)$/.exec(text) ?? [];
  if (step !== undefined) {
    const isStep = Number(step) > 0 && Number(step) <= largest;
    return isStep ? `*/${Number(step)}` : undefined;
  }
  if (!/^\d+(,\d+)*$/.test(text)) return undefined;
  const numbers = text.split(',').map(Number);
  return numbers.every((number) => number <= largest) ? numbers.join(',') : undefined;
}

/** `Mon..Fri`, `Sat,Sun` or `Monday`. */
function weekdaysOf(text: string): string | undefined {
  const parts = text.split(',').map((part) => {
    const ends = part.split('..').map((day) => DAYS.indexOf(day.slice(0, 3).toLowerCase()));
    const [first = -1, last = first] = ends;
    if (ends.includes(-1) || ends.length > 2) return undefined;
    if (first === last) return String(first);
    // The week of systemd ends with Sunday. That of cron begins with it, and a range there never turns back.
    if (last === 0) return first === 6 ? '6,0' : `${first}-6,0`;
    return first > 0 && first < last ? `${first}-${last}` : undefined;
  });
  return parts.includes(undefined) ? undefined : parts.join(',');
}

/** The other words of systemd for a whole event, some of them misspelt. */
const MORE_WORDS = [
  'annually',
  'anually',
  'semiannually',
  'semi-annually',
  'biannually',
  'bi-annually',
];

const DAY =
  '(?:mon(?:day)?|tue(?:sday)?|wed(?:nesday)?|thu(?:rsday)?|fri(?:day)?|sat(?:urday)?|sun(?:day)?)';

/** The parts of an event in their order, each of which may be left out; a date has a dash, a time a colon. */
const PARTS = [
  new RegExp(`^${DAY}(?:(?:,|-|\\.\\.)${DAY})*,?$`, 'i'),
  /^(?:@\d+|[\d*.,/]+[-~][\d*.,/~-]*(?:T[\d*.,/:]+Z?)?)$/,
  /^[\d*.,/]+:[\d*.,/:]*$/,
];

/**
 * Whether systemd may take a text for a calendar event. Only its words are looked at, so a wrong one is found
 * where there is no systemd; which numbers and time zones there are is left to systemd.
 */
export function mayBeCalendarEvent(text: string): boolean {
  const words = text.replaceAll(/^ +| +$/g, '').split(/ +/);
  const [first = ''] = words;
  let rest = words;
  if (isEventWord(first)) rest = words.slice(1);
  else for (const part of PARTS) if (part.test(rest[0] ?? '')) rest = rest.slice(1);
  const [zone, ...more] = rest;
  const endsWell = zone === undefined || /^[A-Za-z][A-Za-z0-9_+/-]*$/.test(zone);
  return rest.length < words.length && endsWell && more.length === 0;
}

function isEventWord(word: string): boolean {
  return [...Object.keys(WORDS), ...MORE_WORDS].includes(word.toLowerCase());
}

/** The word for an event that was probably meant by the first of a text; undefined when none is close. */
export function nearestEvent(text: string): string | undefined {
  const [first = ''] = text.trim().toLowerCase().split(/ +/);
  return nearestName(first, [...Object.keys(WORDS), 'annually', 'semiannually', 'never']);
}

/** A number that is always the same for one text. */
function hash(text: string): number {
  let sum = 0;
  for (const byte of Buffer.from(text)) sum = (sum * 31 + byte) % 1_000_003;
  return sum;
}
