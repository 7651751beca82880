import { pause } from '../../system/pause.ts';

export interface Snapshot {
  readonly id: string;
  /** The real path of its directory. */
  readonly tree: string;
  /** Of a tree that no lease keeps: whether another one is in its place, or none. */
  readonly isReplaced?: () => boolean;
}

/** A snapshot that stays as long as it is held. */
export interface Hold extends Snapshot {
  release(): void;
}

/** Takes a snapshot from the disk; undefined when it is gone. */
export type Take = (id: string) => Promise<Hold | undefined>;

interface Shared {
  readonly taken: Promise<Hold | undefined>;
  users: number;
}

/**
 * Shares one lease of each snapshot among all who hold it in this process, so that thousands of pins cost one
 * descriptor. The lease is released with the last of them.
 */
export class Holds {
  readonly #take: Take;
  readonly #shared = new Map<string, Shared>();

  constructor(take: Take) {
    this.#take = take;
  }

  /** The ids that are held. */
  get ids(): string[] {
    return [...this.#shared.keys()];
  }

  /** @returns undefined when the snapshot is gone. */
  async hold(id: string): Promise<Hold | undefined> {
    const shared = this.#shared.get(id) ?? { taken: this.#take(id), users: 0 };
    this.#shared.set(id, shared);
    shared.users += 1;
    let hold: Hold | undefined;
    try {
      hold = await shared.taken;
    } finally {
      if (hold === undefined) this.#leave(id, shared, undefined);
    }
    if (hold === undefined) return undefined;
    const { tree } = hold;
    let isHeld = true;
    const release = (): void => {
      if (isHeld) this.#leave(id, shared, hold);
      isHeld = false;
    };
    return { id, tree, release };
  }

  #leave(id: string, shared: Shared, hold: Hold | undefined): void {
    shared.users -= 1;
    if (shared.users > 0) return;
    if (this.#shared.get(id) === shared) this.#shared.delete(id);
    hold?.release();
  }
}

const TRIES = 50;
const PAUSE_MS = 20;

/**
 * Holds what is current. Between the look at `current` and the hold another may have been published, and the
 * first pruned: then it looks again.
 *
 * @returns undefined when nothing has been published, or what `current` names cannot be held.
 */
export async function holdCurrent(
  currentId: () => string | undefined,
  hold: (id: string) => Promise<Hold | undefined>,
): Promise<Hold | undefined> {
  for (let tries = 0; tries < TRIES; tries += 1) {
    const id = currentId();
    if (id === undefined) return undefined;
    const held = await hold(id);
    if (held !== undefined) return held;
    await pause(PAUSE_MS);
  }
  return undefined;
}
