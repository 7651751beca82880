import { closest, distance } from 'fastest-levenshtein';

/** The name that was probably meant; undefined when none is close. */
export function nearestName(given: string, names: readonly string[]): string | undefined {
  if (names.length === 0) return undefined;
  const name = closest(given, names);
  // A name is close if at most half of its letters differ.
  return distance(given, name) * 2 <= Math.max(given.length, name.length) ? name : undefined;
}
