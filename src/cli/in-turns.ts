/**
 * Does one thing for each item, several at once, but never two of one group.
 *
 * @param groupOf the group of an item; undefined for none.
 * @param act does not throw.
 * @returns the results, in the order of the items.
 */
export async function inTurns<Item, Result>(
  items: readonly Item[],
  { atOnce, groupOf }: { atOnce: number; groupOf: (item: Item) => string | undefined },
  act: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const waiting = items.map((item, at) => ({ item, at, group: groupOf(item) }));
  const busy = new Set<string>();
  const results: Result[] = [];
  const work = async (): Promise<void> => {
    for (;;) {
      const next = waiting.findIndex(({ group }) => group === undefined || !busy.has(group));
      const [job] = next === -1 ? [] : waiting.splice(next, 1);
      // Those that wait for a group are done by the one that is busy with it.
      if (job === undefined) return;
      if (job.group !== undefined) busy.add(job.group);
      results[job.at] = await act(job.item);
      if (job.group !== undefined) busy.delete(job.group);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  return results;
}
