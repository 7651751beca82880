import { join } from 'node:path';
import { execa } from 'execa';
import type { RepositoryMirror } from './mirror.ts';
import type { Publisher } from './publisher.ts';

/**
 * Syncs a mirror to the next snapshot of another one, again and again, as fast as it can, and
 * prunes all but the last two.
 */
export class Syncs implements Publisher {
  #publications = 0;
  #stopped = false;
  /** Resolves at the first publication. */
  readonly first: Promise<void>;
  readonly #end: Promise<void>;

  /** Starts. @param root the mirror, which the first sync makes. */
  constructor(from: RepositoryMirror, root: string) {
    this.first = this.#sync(from, root);
    this.#end = this.first.then(() => this.#syncUntilStopped(from, root));
    // A failed sync is reported by `stop`.
    this.#end.catch(() => {});
  }

  get publications(): number {
    return this.#publications;
  }

  stop(): Promise<void> {
    this.#stopped = true;
    return this.#end;
  }

  async #syncUntilStopped(from: RepositoryMirror, root: string): Promise<void> {
    while (!this.#stopped) await this.#sync(from, root);
  }

  async #sync({ root: source, ids, program }: RepositoryMirror, root: string): Promise<void> {
    const options = [
      '--keep-last',
      '2',
      '--grace',
      '0s',
      '--allow-shrink',
      '--other-source',
      '--quiet',
    ];
    const id = ids[this.#publications % ids.length] ?? '';
    await execa(program, ['sync', `${join(source, 'snapshots', id)}/`, root, ...options]);
    this.#publications += 1;
  }
}
