import { shownName, splitOptions } from './options.ts';

/** The options without those that a mirror does not need. Pure. */
export function passedOptions(options: readonly string[]): string[] {
  return splitOptions(options)
    .filter(({ meaning }) => typeof meaning !== 'object')
    .flatMap(({ words }) => words);
}

/**
 * One line on the options of a call that a mirror does not need, so that rsync does not get them, with the
 * reasons. Pure.
 *
 * @param known options of which the user has been told before.
 * @returns undefined if there is nothing new to tell.
 */
export function describeNotPassed(
  given: readonly string[],
  known: readonly string[],
): string | undefined {
  const told = new Set(splitOptions(known).map(({ name }) => name));
  const byReason = new Map<string, Set<string>>();
  for (const { name, words, meaning } of splitOptions(given)) {
    if (typeof meaning !== 'object' || !('leftOut' in meaning) || told.has(name)) continue;
    const shown = byReason.get(meaning.leftOut) ?? new Set();
    byReason.set(meaning.leftOut, shown.add(shownName(words)));
  }
  if (byReason.size === 0) return undefined;
  const reasons = [...byReason].map(([why, shown]) => `${[...shown].join(', ')} (${why})`);
  return `rsync runs without ${reasons.join('; ')}`;
}
