const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const SECONDS = { from: 0, unit: SECOND, name: 'second', short: 's' };

/** The units of an age, and from how much on each of them is used. */
const UNITS = [
  { from: 2 * DAY, unit: DAY, name: 'day', short: 'd' },
  { from: 100 * MINUTE, unit: HOUR, name: 'hour', short: 'h' },
  { from: 100 * SECOND, unit: MINUTE, name: 'minute', short: 'min' },
  SECONDS,
];

/** `45 seconds`, `3 minutes`, `12 hours`, `5 days`. @param ms 0 for a time that lies in the future. */
export function ageInWords(ms: number): string {
  const { count, name } = inUnits(ms);
  return plural(count, name);
}

/** `45 s`, `3 min`, `12 h`, `5 d`. */
export function shortAge(ms: number): string {
  const { count, short } = inUnits(ms);
  return `${count} ${short}`;
}

function inUnits(ms: number): { count: number; name: string; short: string } {
  const age = Math.max(0, ms);
  const { unit, ...names } = UNITS.find(({ from }) => age >= from) ?? SECONDS;
  return { count: Math.floor(age / unit), ...names };
}

/** `1 file`, `1,204 files`. */
export function plural(count: number, name: string): string {
  return `${grouped(count)} ${name}${count === 1 ? '' : 's'}`;
}

/** `1,234,567` */
export function grouped(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, ',');
}

/** `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`. */
export function durationInWords(seconds: number): string {
  if (seconds < 10) return `${Math.round(seconds * 10) / 10} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return joined(Math.floor(whole / 60), 'min', whole % 60, 's');
  return joined(Math.floor(whole / 3600), 'h', Math.floor((whole % 3600) / 60), 'min');
}

function joined(count: number, unit: string, rest: number, restUnit: string): string {
  return rest === 0 ? `${count} ${unit}` : `${count} ${unit} ${rest} ${restUnit}`;
}
