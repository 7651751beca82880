/** So many directories are told apart while findings are counted. */
const MOST_COUNTED = 500;

/** How many directories findings lie in: near the top if they are in many. */
export class Places {
  #counts = new Map<string, number>();
  #depth = Number.POSITIVE_INFINITY;

  /** @param name of an entry. */
  add(name: string): void {
    this.#count(name.split('/').slice(0, -1), 1);
    if (this.#counts.size > MOST_COUNTED) this.#gather(MOST_COUNTED);
  }

  /** The directories and how much is in each, the most first. @param most how many there may be. */
  within(most: number): { directory: string; count: number }[] {
    this.#gather(most);
    const counts = [...this.#counts].map(([directory, count]) => ({ directory, count }));
    return counts.sort((one, other) => other.count - one.count);
  }

  #count(parts: readonly string[], count: number): void {
    const directory = parts.slice(0, this.#depth).join('/') || '.';
    this.#counts.set(directory, (this.#counts.get(directory) ?? 0) + count);
  }

  /** Counts directories by those above them, until there are few enough. */
  #gather(most: number): void {
    while (this.#counts.size > most) {
      const before = [...this.#counts];
      const deepest = Math.max(...before.map(([directory]) => depthOf(directory)));
      this.#depth = Math.min(this.#depth, deepest) - 1;
      this.#counts = new Map();
      for (const [directory, count] of before)
        this.#count(directory === '.' ? [] : directory.split('/'), count);
    }
  }
}

function depthOf(directory: string): number {
  return directory === '.' ? 0 : directory.split('/').length;
}
