import { closest, distance } from 'fastest-levenshtein';

/** The names that are most like one that was given, the most alike first. */
export function nearestNames(given: string, names: readonly string[], count: number): string[] {
  const distances = new Map(names.map((name) => [name, distance(given, name)]));
  return [...names]
    .sort((a, b) => (distances.get(a) ?? 0) - (distances.get(b) ?? 0))
    .slice(0, count);
}

/** The name that was probably meant; undefined when none is close. */
export function nearestName(given: string, names: readonly string[]): string | undefined {
  if (names.length === 0) return undefined;
  const name = closest(given, names);
  // A name is close if at most half of its letters differ.
  return distance(given, name) * 2 <= Math.max(given.length, name.length) ? name : undefined;
}
