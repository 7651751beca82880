import { MirrorlatchError } from '../../errors.ts';
import type { Fingerprint } from '../../mirror/fingerprint.ts';
import type { Ending } from '../../rsync/failure.ts';
import { pause } from '../../system/pause.ts';
import type { PlanContext } from './context.ts';

/** Two looks at a file that changes in between differ, because rsync prints whole seconds; ms. */
const APART_MS = 1_100;

/** What a look at the source has found. */
export interface Look {
  readonly plan: { readonly isEmpty: boolean };
  readonly listener: { readonly fingerprint: Fingerprint };
}

/** How a tree has settled. */
export interface Settled<Found extends Look> {
  /** The last look: it found nothing, or what this filesystem cannot store as the source has it. */
  last: Found;
  /** How often something was transferred meanwhile. */
  rounds: number;
}

/**
 * Makes a tree that has just been transferred one state of its source (I16).
 *
 * The source may go on during a transfer. So after it, the whole source is looked at again. What is the
 * same in source and tree then was read before this look began, and has not changed in between: if
 * nothing differs, the tree is what the source was at the instant at which the look began. What does
 * differ is transferred, at once the first time and later as the retries allow, until a look finds no
 * difference.
 *
 * Some differences stay whatever is transferred, such as a time that the filesystem cannot store. So
 * two looks that find the same differences, with their transfer in between, agree as well.
 *
 * @param look finds out what differs between the source and the tree now.
 * @param transfer transfers that.
 * @throws MirrorlatchError UNAVAILABLE when the source goes on for longer than the retries last.
 */
export async function settle<Found extends Look>(
  { retries, signal }: Pick<PlanContext, 'retries' | 'signal'>,
  look: () => Promise<Found>,
  transfer: (found: Found) => Promise<void>,
): Promise<Settled<Found>> {
  let last = await look();
  let rounds = 0;
  while (!last.plan.isEmpty) {
    if (rounds > 0) await retries.again(sourceChanged());
    await transfer(last);
    rounds += 1;
    let next = await look();
    if (agree(last, next)) {
      await pause(APART_MS, signal);
      next = await look();
      if (agree(last, next)) return { last: next, rounds };
    }
    last = next;
  }
  return { last, rounds };
}

function agree(one: Look, other: Look): boolean {
  return one.listener.fingerprint.equals(other.listener.fingerprint);
}

function sourceChanged(): Exclude<Ending, { kind: 'clean' }> {
  const why = 'the source keeps changing while it is read';
  const hint = 'Try again when it is quiet, or with more patience: --retries 20 --retry-delay 1m';
  return { kind: 'retry', why, error: new MirrorlatchError('UNAVAILABLE', why, { hint }) };
}
