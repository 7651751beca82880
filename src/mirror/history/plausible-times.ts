/**
 * Times that were written one after the other, made plausible: a clock may have been wrong for a night,
 * but the order is certain. As few as possible are doubted. Those are spread evenly between their
 * neighbours, so that each still has a day of its own if there was one. Pure.
 *
 * The time now is no part of it: what a wrong clock says now must not cost a snapshot.
 *
 * @param times in the order in which they were written; ms.
 * @returns as many, of which none is less than that before it.
 */
export function plausibleTimes(times: readonly number[]): number[] {
  const believed = longestInOrder(times);
  const first = times[believed[0] ?? 0] ?? 0;
  const plausible: number[] = [];
  [...believed, times.length].forEach((end) => {
    const begin = plausible.length;
    const low = plausible.at(-1) ?? first;
    const high = times[end] ?? low;
    const step = (high - low) / (end - begin + 1);
    for (let at = begin; at < end; at += 1) plausible.push(low + step * (at - begin + 1));
    if (end < times.length) plausible.push(high);
  });
  return plausible;
}

/**
 * The places of the most values that do not decrease. Where there is a choice, they span the shortest time:
 * a wrong clock is off by years, more often than not.
 */
function longestInOrder(values: readonly number[]): number[] {
  const best: Sequence[] = [];
  values.forEach((value, at) => {
    let longest: Sequence = { at, length: 1, span: 0 };
    for (const before of best) {
      const step = value - (values[before.at] ?? value);
      const { length, span } = before;
      const longer = { at, length: length + 1, span: span + step, before };
      if (step >= 0 && isBetter(longer, longest)) longest = longer;
    }
    best.push(longest);
  });
  const places: number[] = [];
  let last = best.reduce<Sequence | undefined>(
    (found, one) => (found === undefined || isBetter(one, found) ? one : found),
    undefined,
  );
  for (; last !== undefined; last = last.before) places.push(last.at);
  return places.reverse();
}

/** Some values in order: the place of the last, how many, and from the first to the last. */
interface Sequence {
  readonly at: number;
  readonly length: number;
  readonly span: number;
  readonly before?: Sequence;
}

/** The later, if there is nothing to choose between them. */
function isBetter(one: Sequence, other: Sequence): boolean {
  return one.length > other.length || (one.length === other.length && one.span <= other.span);
}
