import { execa } from 'execa';
import type { RepositoryMirror } from './mirror.ts';
import type { Publisher } from './publisher.ts';

/** The channel that `Promotions` moves. */
export const CHANNEL = 'production';

/** Moves a channel to the next snapshot of its mirror, again and again, as fast as it can. */
export class Promotions implements Publisher {
  #publications = 0;
  #stopped = false;
  /** Resolves when the channel is there. */
  readonly first: Promise<void>;
  readonly #end: Promise<void>;

  /** Starts. */
  constructor(mirror: RepositoryMirror) {
    this.first = this.#promote(mirror);
    this.#end = this.first.then(() => this.#promoteUntilStopped(mirror));
    // A failed promotion is reported by `stop`.
    this.#end.catch(() => {});
  }

  get publications(): number {
    return this.#publications;
  }

  stop(): Promise<void> {
    this.#stopped = true;
    return this.#end;
  }

  async #promoteUntilStopped(mirror: RepositoryMirror): Promise<void> {
    while (!this.#stopped) await this.#promote(mirror);
  }

  async #promote({ root, ids, program }: RepositoryMirror): Promise<void> {
    const id = ids[this.#publications % ids.length] ?? '';
    await execa(program, ['promote', root, id, '--to', CHANNEL]);
    this.#publications += 1;
  }
}
