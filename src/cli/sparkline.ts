const BARS = [...'▁▂▃▄▅▆▇█'];
const ASCII = [...'_.-~=+*#'];

/**
 * Numbers as bars of one character each: the highest for the largest, the lowest for nothing. Pure.
 *
 * @param values not negative.
 * @param isUtf8 whether the terminal shows more than ASCII.
 */
export function sparkline(values: readonly number[], isUtf8: boolean): string {
  const bars = isUtf8 ? BARS : ASCII;
  const largest = Math.max(...values, Number.MIN_VALUE);
  return values.map((value) => bars[Math.ceil((value / largest) * (bars.length - 1))]).join('');
}

/** Whether a terminal shows UTF-8, by what locale(7) goes by. */
export function isUtf8Terminal({ LC_ALL, LC_CTYPE, LANG, TERM }: NodeJS.ProcessEnv): boolean {
  return TERM !== 'dumb' && /utf-?8/i.test(LC_ALL || LC_CTYPE || LANG || '');
}
