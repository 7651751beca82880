interface Count {
  requests: number;
  /** Of bodies, as far as they were sent. */
  bytes: number;
}

/** Counts the answers of a server by the class of their status: `2xx`, `3xx`, … */
export class RequestCounts {
  readonly #counts = new Map<string, Count>();

  /** @param bytes of the body, as far as it was sent. */
  count(status: number, bytes: number): void {
    const name = `${Math.floor(status / 100)}xx`;
    const count = this.#counts.get(name) ?? { requests: 0, bytes: 0 };
    count.requests += 1;
    count.bytes += bytes;
    this.#counts.set(name, count);
  }

  all(): Iterable<readonly [string, Count]> {
    return this.#counts;
  }
}
