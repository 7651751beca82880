import { renameSync } from 'node:fs';
import { type CloneMethod, cloneMethodsFor, cloneTree, type MadeBy } from '../../mirror/clone.ts';
import { discard } from '../../mirror/discard.ts';
import { hasSpare, keepSpare, takeSpare } from '../../mirror/spare.ts';
import { stagedClone } from '../../mirror/staging.ts';
import { lstatIfThere } from '../../system/files.ts';
import { type FreeSpace, freeSpaceAt } from '../../system/mounts.ts';
import type { Writer } from '../../writer/writer.ts';
import type { CloneChoice } from './context.ts';

/**
 * The clone of `current`, made while the plan is still being made. It begins with the first
 * difference: a sync that finds none never clones. One that an earlier sync has prepared is there at once.
 */
export class BackgroundClone {
  /** The method that worked, once the clone is finished. */
  method: MadeBy | undefined;
  /** What was free before the clone began. */
  readonly freeBefore: FreeSpace;
  readonly #writer: Writer;
  readonly #base: string;
  readonly #path: string;
  readonly #methods: CloneMethod[];
  readonly #stop = new AbortController();
  readonly #isSpare: boolean;
  #running: Promise<MadeBy> | undefined;

  constructor(writer: Writer, base: string, id: string, preference: CloneChoice) {
    this.#writer = writer;
    this.#base = base;
    this.#path = stagedClone(writer.layout, id);
    this.#methods = cloneMethodsFor(base, preference);
    this.#isSpare = this.#methods[0] === 'hardlink' && hasSpare(writer.layout);
    this.freeBefore = freeSpaceAt(writer.layout.staging);
  }

  /** The method that will most likely work. */
  get expected(): MadeBy {
    return this.#isSpare ? 'recycle' : (this.#methods[0] ?? 'copy');
  }

  start(): void {
    if (this.#running !== undefined) return;
    const { layout, inherit, signal } = this.#writer;
    if (this.#isSpare) {
      takeSpare(layout, this.#path);
      this.#running = Promise.resolve('recycle');
      return;
    }
    this.#running = cloneTree(this.#base, this.#path, {
      methods: this.#methods,
      inherit,
      signal: AbortSignal.any([signal, this.#stop.signal]),
      onRefused: (method, why) => this.#writer.reportRefusedClone(method, why),
    });
    // `moveTo` reports a failure; until then it must not end the process.
    this.#running.catch(() => {});
  }

  /** Waits for the clone and gives it its name, by which the next sync knows that it is whole. */
  async moveTo(tree: string): Promise<void> {
    this.start();
    const method = await this.#running;
    renameSync(this.#path, tree);
    this.method = method;
  }

  /** Ends and discards what `moveTo` did not take; a spare is kept. */
  async abandon(): Promise<void> {
    if (this.#running === undefined || this.method !== undefined) return;
    const { layout, lock } = this.#writer;
    if (this.#isSpare) {
      if (lock.isHeld) keepSpare(layout, this.#path);
      return;
    }
    this.#stop.abort();
    await this.#running.catch(() => {});
    if (lstatIfThere(this.#path)) discard(layout, this.#path);
  }
}
