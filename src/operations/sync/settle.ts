import { MirrorlatchError } from '../../errors.ts';
import { readableName } from '../../mirror/names.ts';
import type { Plan } from '../../mirror/plan/plan.ts';
import type { Ending } from '../../rsync/failure.ts';
import { withoutOption } from '../../rsync/options.ts';
import { pause } from '../../system/pause.ts';
import { whileFlushing } from '../../writer/publishing.ts';
import type { Writer } from '../../writer/writer.ts';
import type { SyncContext } from './context.ts';
import type { Differences } from './differences.ts';
import { initWith } from './modes.ts';

/** Times are compared in whole seconds, which is how rsync prints them; ms. */
const NEXT_SECOND_MS = 1_100;

/** What a look at the source has found to differ from the tree. */
export interface Look {
  plan: Plan;
  listener: Differences;
}

/** How a tree has settled. */
export interface Settled<Found extends Look> {
  /** The last look: it found nothing, or only what cannot be stored here. */
  last: Found;
  /** How often something was transferred again. */
  rounds: number;
}

/**
 * Makes a tree that has just been transferred one state of its source (I16).
 *
 * The source may change during a transfer, so all of it is looked at again afterwards. What was
 * transferred was read before this look began. If the look finds no difference, nothing has changed
 * in between, and the tree is what the source was at the instant at which the look began. What does
 * differ is transferred, the first time at once, later with the pauses and the budget of the retries,
 * and then the source is looked at once more.
 *
 * Some differences remain whatever is transferred, for example a time that this filesystem cannot
 * store, or any time under `--no-times`. They are the same ones each time. So a tree has also settled
 * when three looks in a row find the same differences, although these were transferred after each look.
 * The last transfer begins in another second than the one before: a file that changes twice within a
 * second looks the same.
 *
 * @param first what differed before the transfer that has just been made.
 * @param look finds what differs between the source and the tree.
 * @param transfer transfers what a look has found.
 * @throws MirrorlatchError UNAVAILABLE if the source keeps changing; what `look` and `transfer` throw.
 */
export async function settle<Found extends Look>(
  context: SyncContext,
  first: Look,
  look: () => Promise<Found>,
  transfer: (found: Found) => Promise<unknown>,
): Promise<Settled<Found>> {
  const { writer, retries, signal } = context;
  const lookAgain = (): Promise<Found> => {
    writer.enter('settling');
    return look();
  };
  let last = await whileFlushing(writer, lookAgain);
  let rounds = 0;
  for (let repeats = agree(first, last) ? 1 : 0; !last.plan.isEmpty && repeats < 2; ) {
    if (repeats > 0) await pause(NEXT_SECOND_MS, signal);
    else if (rounds > 0) await retries.again(sourceChanged(writer, last.listener));
    await transfer(last);
    rounds += 1;
    const found = await lookAgain();
    repeats = agree(last, found) ? repeats + 1 : 0;
    last = found;
  }
  if (!last.plan.isEmpty) {
    const where = `the filesystem of ${writer.layout.root}, or an option of rsync,`;
    writer.notice(`${where} does not keep all attributes of ${nameSome(last.listener)}`);
  }
  return { last, rounds };
}

/**
 * Whether the stamps of the source show that it has not changed since the plan, while the tree is flushed.
 * Then no second look is needed to make sure that the tree is one state of it (I16), as far as its upstream
 * says. An upstream may write its stamp when all else is done, so this holds only of a transfer that
 * brought what had been planned, to each file's size and time.
 */
export async function stampsStayed(context: SyncContext, tree: string): Promise<boolean> {
  const { writer, stamps } = context;
  if (stamps === undefined) return false;
  writer.enter('probing');
  const why = await whileFlushing(writer, () => stamps.whyChanged(tree));
  if (why !== undefined) writer.notice(`looking at everything again: ${why}`);
  return why === undefined;
}

/** The context of a look after a transfer. `--ignore-times` would find every file in each look. */
export function forLook(context: SyncContext): SyncContext {
  const { transfer } = context;
  const options = withoutOption('ignore-times', transfer.options);
  return { ...context, transfer: { ...transfer, options } };
}

/** Whether two looks have found the same differences. */
export function agree(one: Look, other: Look): boolean {
  return one.listener.fingerprint.equals(other.listener.fingerprint);
}

function sourceChanged({ layout }: Writer, found: Differences): Exclude<Ending, { kind: 'clean' }> {
  const why = `the source keeps changing while it is read: ${nameSome(found)}`;
  const exclude = initWith(layout, ['--exclude=PATTERN']);
  const hint = `Try again when it is quiet, or with more patience: --retries 20 --retry-delay 1m. What always changes, such as a log, can be excluded: ${exclude}`;
  return { kind: 'retry', why, error: new MirrorlatchError('UNAVAILABLE', why, { hint }) };
}

function nameSome({ count, example }: Differences): string {
  const others = count > 1 ? ` and ${count - 1} more` : '';
  return `${readableName(example).name}${others}`;
}
