import { renameSync } from 'node:fs';
import { basename } from 'node:path';
import { asMirrorlatchError } from '../../errors.ts';
import { type Chain, chainFrom } from '../../mirror/changes.ts';
import { type CloneMethod, cloneMethodsFor, cloneTree, type MadeBy } from '../../mirror/clone.ts';
import { discard } from '../../mirror/discard.ts';
import { arrivalOf } from '../../mirror/history/snapshot-times.ts';
import type { PlanFigures } from '../../mirror/plan/plan.ts';
import { hasChangedSince, recycle } from '../../mirror/recycle.ts';
import { findSpare, type Spare, takeSpare } from '../../mirror/spare.ts';
import { stagedClone } from '../../mirror/staging.ts';
import { lstatIfThere } from '../../system/files.ts';
import { type FreeSpace, freeSpaceAt } from '../../system/mounts.ts';
import { keepRecycled } from '../../writer/recycling.ts';
import { heedSpace } from '../../writer/room.ts';
import type { Writer } from '../../writer/writer.ts';
import type { CloneChoice } from './context.ts';

/**
 * The clone of `current`, made while the plan is still being made. It begins with the first
 * difference: a sync that finds none never clones.
 *
 * Where an earlier sync has kept an old snapshot for it, that is recycled. This begins with the plan, and what
 * is not needed then is kept for the next sync.
 */
export class BackgroundClone {
  /** The method that worked, once the clone is finished. */
  method: MadeBy | undefined;
  readonly #writer: Writer;
  readonly #base: string;
  readonly #path: string;
  readonly #methods: CloneMethod[];
  readonly #recyclable: (Spare & { chain: Chain }) | undefined;
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  /** What was free before the clone began. */
  readonly #freeBefore: FreeSpace;
  #recycling: Promise<boolean> | undefined;
  #running: Promise<MadeBy> | undefined;
  #baseChanged: Promise<boolean> | undefined;

  constructor(writer: Writer, base: string, id: string, preference: CloneChoice) {
    const { layout, signal } = writer;
    this.#writer = writer;
    this.#base = base;
    this.#path = stagedClone(layout, id);
    this.#methods = cloneMethodsFor(base, preference);
    const spare = this.#methods[0] === 'hardlink' ? findSpare(layout) : undefined;
    const chain = spare && chainFrom(layout, spare);
    this.#recyclable = spare && chain && { ...spare, chain };
    this.#signal = AbortSignal.any([signal, this.#stop.signal]);
    this.#freeBefore = freeSpaceAt(layout.staging);
  }

  /** Recycles what is not yet up to date. */
  prepare(): void {
    if (this.#recycling !== undefined || !this.#recyclable?.chain.length) return;
    this.#recycling = this.#recycle();
  }

  start(): void {
    if (this.#running !== undefined) return;
    // `isBaseChanged` reports a failure.
    this.isBaseChanged().catch(() => {});
    this.#recycling ??= this.#recycle();
    this.#running = this.#make(this.#recycling);
    // `moveTo` reports a failure; until then it must not end the process.
    this.#running.catch(() => {});
  }

  /**
   * Whether somebody has changed the current snapshot by hand: then what differs from it is not all that
   * differs from what was published. Where nothing is recycled, that is of no account.
   */
  isBaseChanged(): Promise<boolean> {
    if (this.#methods[0] !== 'hardlink') return Promise.resolve(true);
    const { layout, inherit } = this.#writer;
    this.#baseChanged ??= hasChangedSince(
      this.#base,
      arrivalOf(layout, basename(this.#base)),
      'anywhere',
      { inherit, signal: this.#signal },
    );
    return this.#baseChanged;
  }

  /**
   * Waits for the clone and gives it its name, by which the next sync knows that it is whole. Room is made
   * for what is planned, if there seems to be too little.
   */
  async moveTo(tree: string, plan: PlanFigures): Promise<void> {
    const writer = this.#writer;
    this.start();
    writer.enter('cloning');
    // What only the old snapshot had is free by then.
    if (await this.#recycling) await heedSpace(writer, plan, 'recycle');
    else await heedSpace(writer, plan, this.#methods[0] ?? 'copy', this.#freeBefore);
    const method = await this.#running;
    renameSync(this.#path, tree);
    this.method = method;
  }

  /** Ends what `moveTo` did not take, and keeps what is recycled. */
  async abandon(): Promise<void> {
    if (this.#recycling === undefined || this.method !== undefined) return;
    if (await this.#recycling) {
      await this.#putBack();
    } else {
      this.#stop.abort();
      await this.#running?.catch(() => {});
    }
    if (this.#writer.lock.isHeld) this.#discard();
  }

  async #make(recycling: Promise<boolean>): Promise<MadeBy> {
    if (await recycling) return 'recycle';
    this.#signal.throwIfAborted();
    this.#writer.lock.assertHeld();
    this.#discard();
    return cloneTree(this.#base, this.#path, {
      methods: this.#methods,
      inherit: this.#writer.inherit,
      signal: this.#signal,
      onRefused: (method, why) => this.#writer.reportRefusedClone(method, why),
    });
  }

  /** @returns whether that could be done. */
  async #recycle(): Promise<boolean> {
    if (this.#recyclable === undefined || !this.#writer.lock.isHeld) return false;
    const { layout, inherit } = this.#writer;
    const { chain } = this.#recyclable;
    const options = { inherit, signal: this.#signal };
    try {
      takeSpare(layout, this.#path);
      const changed = await this.#findChanged(this.#recyclable);
      if (changed !== undefined) {
        this.#tellWhyNot(`somebody has changed ${changed}`);
        return false;
      }
      await recycle(layout, this.#path, this.#base, { chain, ...options });
      return true;
    } catch (error) {
      // Be it for want of room, or because a file has as many names as it can have.
      this.#tellWhyNot(reasonOf(error));
      return false;
    }
  }

  /**
   * What somebody has changed by hand of the old snapshot would come back in the new one. What somebody has
   * changed of the current one is what the plan is made against, but not what the records lead to.
   */
  async #findChanged({ since, top }: Spare): Promise<string | undefined> {
    const options = { inherit: this.#writer.inherit, signal: this.#signal };
    const [isOld, isBase] = await Promise.all([
      hasChangedSince(this.#path, since, 'below the top', options),
      this.isBaseChanged(),
    ]);
    if (isOld || lstatIfThere(this.#path)?.mtimeNs !== top) return 'it';
    return isBase ? basename(this.#base) : undefined;
  }

  async #putBack(): Promise<void> {
    try {
      await keepRecycled(this.#writer, this.#path, basename(this.#base));
    } catch (error) {
      this.#tellWhyNot(reasonOf(error));
    }
  }

  #tellWhyNot(why: string): void {
    if (this.#signal.aborted) return;
    this.#writer.notice(`the kept tree of ${this.#recyclable?.id} is not recycled: ${why}`);
  }

  #discard(): void {
    if (lstatIfThere(this.#path)) discard(this.#writer.layout, this.#path);
  }
}

function reasonOf(error: unknown): string {
  return asMirrorlatchError(error, 'something has gone wrong').message;
}
