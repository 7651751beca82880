import { MirrorlatchError } from '../errors.ts';
import { previousId } from '../mirror/current.ts';
import { isFlip, readHistory } from '../mirror/history.ts';
import type { Layout } from '../mirror/layout.ts';
import { openMirrorWithSnapshots } from '../mirror/open.ts';
import type { Given, LockPolicy } from '../mirror/policy.ts';
import { snapshotIds } from '../mirror/survey.ts';
import { quoteForSh } from '../system/quote.ts';
import type { OnEvent } from '../writer/events.ts';
import { publishAgain } from '../writer/publishing.ts';
import { withWriter } from '../writer/session.ts';

export interface RollbackOptions {
  root: string;
  /** The snapshot to go to; by default what `current` named before. */
  id?: string | undefined;
  lock?: Given<LockPolicy> | undefined;
  signal?: AbortSignal | undefined;
  onEvent?: OnEvent | undefined;
}

export interface RollbackResult {
  id: string;
  /** What `current` named until now. */
  previous: string;
}

/**
 * Points `current` at an earlier snapshot, by the same flip that publishes.
 *
 * @throws MirrorlatchError BUSY while a sync runs, USAGE when there is no such snapshot.
 */
export async function rollback(options: RollbackOptions): Promise<RollbackResult> {
  const { root, lock, signal, onEvent } = options;
  const { layout } = openMirrorWithSnapshots(root);
  const failure = `the rollback of ${layout.root} failed`;
  const session = { command: 'rollback', failure, lock, signal, onEvent };
  const { result } = await withWriter(layout, session, async (writer) => {
    const id = options.id ?? earlierSnapshot(layout, writer.before, onEvent);
    if (writer.before === undefined || id === undefined || !snapshotIds(layout).includes(id)) {
      throw noSnapshot(layout, id);
    }
    await publishAgain(writer, id);
    return { id, previous: writer.before };
  });
  return result;
}

/** What `previous` names. If that is gone, the latest of the others that was current. */
function earlierSnapshot(
  layout: Layout,
  current: string | undefined,
  onEvent: OnEvent = () => {},
): string | undefined {
  const previous = previousId(layout);
  if (previous !== undefined) return previous;
  const ids = snapshotIds(layout).filter((id) => id !== current);
  const last = readHistory(layout)
    .filter(isFlip)
    .findLast(({ id }) => ids.includes(id));
  if (last === undefined) return undefined;
  const message = `the previous snapshot is gone; ${last.id} is the latest other one that was current`;
  onEvent({ kind: 'notice', message });
  return last.id;
}

function noSnapshot({ root }: Layout, id: string | undefined): MirrorlatchError {
  const what = id === undefined ? 'earlier snapshot' : `snapshot named ${JSON.stringify(id)}`;
  return new MirrorlatchError('USAGE', `${root} has no ${what}`, {
    hint: `See what there is with: mirrorlatch list ${quoteForSh(root)}`,
  });
}
