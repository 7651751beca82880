import type { SyncFigures } from '../mirror/history/history.ts';
import { LIVE } from '../mirror/layout.ts';
import { refuseUnreplaceable } from '../mirror/served/served-directory.ts';
import type { ReceivedSums } from '../mirror/sums/received.ts';
import { TreeWatch } from '../mirror/trees/tree-watch.ts';
import { findWritable } from '../mirror/trees/writable.ts';
import { checkContent } from './checking.ts';
import type { HookSubject } from './hooks.ts';
import type { Writer } from './writer.ts';

/**
 * Checks a finished tree, and asks the hook whether to publish it. What the hook changes meanwhile, which it should
 * not, is checked as well.
 *
 * @param subject what hooks are told of it.
 * @param received what is known of the content of its files; what the hook changes is none of that any more.
 * @returns how it was made and checked.
 * @throws MirrorlatchError CHECK_FAILED, HOOK_FAILED; CONFIGURATION when the served directory cannot be replaced.
 */
export async function prove(
  writer: Writer,
  subject: HookSubject & { id: string; tree: string },
  figures: SyncFigures,
  received: ReceivedSums | undefined,
): Promise<SyncFigures> {
  const { layout, hooks, signal } = writer;
  const { id, tree } = subject;
  const examine = async (isOfHook: boolean): Promise<SyncFigures> => {
    signal.throwIfAborted();
    const checked = await checkContent(writer, id, tree, figures, isOfHook);
    signal.throwIfAborted();
    return { ...figures, ...checked };
  };
  const checked = await examine(false);
  if (id !== LIVE) await refuseUnreplaceable(layout, id, signal);
  const writableByAll = figures.writableByAll ?? (await findWritable(tree, writer));
  const made = { ...checked, writableByAll };
  if (!hooks.has('before-publish')) return made;
  const watch = await TreeWatch.begin(layout, signal);
  await hooks.before('before-publish', { ...subject, figures: made }, writer);
  const why = watch.isClockSetBack()
    ? 'the clock was set back while the hook before-publish ran, so the tree'
    : 'the hook before-publish has changed the tree, so it';
  let isAltered = false;
  await watch.find(tree, writer, (name) => {
    isAltered = true;
    received?.touch(name);
  });
  if (!isAltered) return made;
  writer.isAltered = true;
  writer.notice(`${why} is looked at again`);
  const again = await examine(true);
  return { ...again, writableByAll: await findWritable(tree, writer) };
}
