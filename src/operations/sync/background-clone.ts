import { renameSync } from 'node:fs';
import { type CloneMethod, cloneMethodsFor, cloneTree } from '../../mirror/clone.ts';
import { discard } from '../../mirror/discard.ts';
import { stagedClone } from '../../mirror/staging.ts';
import { lstatIfThere } from '../../system/files.ts';
import { type FreeSpace, freeSpaceAt } from '../../system/mounts.ts';
import type { Writer } from '../../writer/writer.ts';
import type { CloneChoice } from './context.ts';

/**
 * The clone of `current`, made while the plan is still being made. It begins with the first
 * difference: a sync that finds none never clones.
 */
export class BackgroundClone {
  /** The method that worked, once the clone is finished. */
  method: CloneMethod | undefined;
  /** What was free before the clone began. */
  readonly freeBefore: FreeSpace;
  readonly #writer: Writer;
  readonly #base: string;
  readonly #path: string;
  readonly #methods: CloneMethod[];
  readonly #stop = new AbortController();
  #running: Promise<CloneMethod> | undefined;

  constructor(writer: Writer, base: string, id: string, preference: CloneChoice) {
    this.#writer = writer;
    this.#base = base;
    this.#path = stagedClone(writer.layout, id);
    this.#methods = cloneMethodsFor(base, preference);
    this.freeBefore = freeSpaceAt(writer.layout.staging);
  }

  /** The method that will most likely work. */
  get expected(): CloneMethod {
    return this.#methods[0] ?? 'copy';
  }

  start(): void {
    if (this.#running !== undefined) return;
    const { inherit, signal } = this.#writer;
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

  /** Ends and discards what `moveTo` did not take. */
  async abandon(): Promise<void> {
    if (this.#running === undefined || this.method !== undefined) return;
    this.#stop.abort();
    await this.#running.catch(() => {});
    if (lstatIfThere(this.#path)) discard(this.#writer.layout, this.#path);
  }
}
