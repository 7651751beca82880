import { asMirrorlatchError, MirrorlatchError, NOTHING_PUBLISHED } from '../errors.ts';
import { LIVE } from '../mirror/layout.ts';
import { isLackOfSpace } from '../mirror/reserve.ts';
import { serveDirectory, servedDirectory } from '../mirror/served/served-directory.ts';
import { emptyTrash } from '../mirror/trash.ts';
import { quoteForSh } from '../system/quote.ts';
import { pruneQuietly } from './pruning.ts';
import type { Writer } from './writer.ts';

/**
 * Brings the served directory, where the mirror has one, up to the snapshot that is current. If that
 * fails time and again, old snapshots go all the same; on a full disk they may make the room for it.
 *
 * @param name what the user gives to `rollback` to bring the directory up later.
 */
export async function serve(writer: Writer, id: string, name = 'current'): Promise<void> {
  const { layout, lock, policy, signal } = writer;
  if (id === LIVE) return;
  const { graceMs } = policy.retention;
  const bringUp = () => serveDirectory(layout, lock, id, { graceMs, signal });
  try {
    const kept = await bringUp().catch(async (error: unknown) => {
      if (writer.mayPrune && lock.isHeld) pruneQuietly(writer);
      if (!isLackOfSpace(error)) throw error;
      await emptyTrash(layout, lock).catch(() => {});
      return await bringUp();
    });
    for (const message of kept) writer.onEvent({ kind: 'problem', message });
  } catch (error) {
    throw notServed(writer, id, name, error);
  }
}

/** The error when `current` names a snapshot that the served directory does not hold. */
function notServed(writer: Writer, id: string, name: string, cause: unknown): MirrorlatchError {
  const { layout, lock, failure, signal } = writer;
  const error = asMirrorlatchError(lock.causeOf(cause), failure);
  const served = servedDirectory(layout);
  if (error.code === 'LOCK_LOST' || served === undefined || served.id === id) return error;
  const { code, message, hint, details } = error;
  const other = served.id === null ? 'does not hold it' : `still serves ${served.id}`;
  const again = `mirrorlatch rollback ${[layout.root, name].map(quoteForSh).join(' ')}`;
  const why = message.replace(NOTHING_PUBLISHED, '');
  // What the transfer of an interrupted sync left is of no use here.
  const more = hint === undefined || signal.aborted ? '' : `. ${hint}`;
  return new MirrorlatchError(code, `${id} is current, but ${served.path} ${other}: ${why}`, {
    hint: `Once that is mended, run: ${again}${more}`,
    cause,
    details,
  });
}
