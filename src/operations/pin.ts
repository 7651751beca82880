import { setTimeout as sleep } from 'node:timers/promises';
import { MirrorlatchError } from '../errors.ts';
import { takeLease } from '../mirror/lease.ts';
import { currentId } from '../mirror/publication.ts';
import { openMirror } from './mirror.ts';

export interface PinOptions {
  root: string;
  /** Another snapshot than the current one. */
  id?: string | undefined;
  signal?: AbortSignal | undefined;
}

/** One snapshot that stays as long as it is held. */
export interface Pin {
  id: string;
  /** The snapshot's own path: read through this, never through `current`. */
  path: string;
  /** A descriptor for children to inherit, which then hold the snapshot too. */
  descriptor: number;
  release: () => void;
}

const PATIENCE_MS = 10;

/**
 * Resolves `current` once and holds what it names.
 *
 * @throws MirrorlatchError NO_MIRROR when nothing has been published yet, or no snapshot has `id`.
 */
export async function pin({ root, id: wanted, signal }: PinOptions): Promise<Pin> {
  const { layout } = openMirror(root);
  for (;;) {
    signal?.throwIfAborted();
    const id = wanted ?? currentId(layout);
    const lease = id === undefined ? undefined : takeLease(layout, id);
    if (id !== undefined && lease !== undefined) {
      return {
        id,
        path: layout.snapshot(id),
        descriptor: lease.descriptor,
        release: lease.release,
      };
    }
    if (wanted !== undefined || id === undefined) {
      const what =
        wanted === undefined ? 'no snapshot yet' : `no snapshot named ${JSON.stringify(wanted)}`;
      throw new MirrorlatchError('NO_MIRROR', `${layout.root} has ${what}`, {
        hint: `See what there is with: mirrorlatch list ${layout.root}`,
      });
    }
    // `current` went on and its old snapshot was removed, all since it was read: look again.
    await sleep(PATIENCE_MS);
  }
}
