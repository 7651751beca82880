import { readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Publisher } from './publisher.ts';

/** Points `current` and `current.json` to the next snapshot at intervals, as a publication does. */
export class Flipper implements Publisher {
  readonly #root: string;
  readonly #ids: readonly string[];
  readonly #timer: NodeJS.Timeout;
  #flips = 0;

  /** Starts flipping. @param everyMs the time between two flips. */
  constructor(root: string, ids: readonly string[], everyMs: number) {
    this.#root = root;
    this.#ids = ids;
    this.#timer = setInterval(() => this.#flip(), everyMs);
  }

  get publications(): number {
    return this.#flips;
  }

  stop(): Promise<void> {
    clearInterval(this.#timer);
    return Promise.resolve();
  }

  #flip(): void {
    const id = this.#ids[this.#flips % this.#ids.length];
    const made = join(this.#root, '.mirrorlatch', 'flip');
    const record = join(this.#root, 'current.json');
    const before = JSON.parse(readFileSync(record, 'utf8'));
    writeFileSync(made, JSON.stringify({ ...before, id, path: `snapshots/${id}/` }));
    renameSync(made, record);
    symlinkSync(`snapshots/${id}`, made);
    renameSync(made, join(this.#root, 'current'));
    this.#flips += 1;
  }
}
