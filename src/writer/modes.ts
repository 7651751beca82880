import { publicationOf, readHistory } from '../mirror/history/history.ts';
import { LIVE } from '../mirror/layout.ts';
import { readGate } from '../mirror/locks/gate.ts';
import type { PlanFigures } from '../mirror/plan/plan.ts';
import { isPrivate, modeIfClosed } from '../mirror/trees/tree-mode.ts';
import { describeWritable } from '../mirror/trees/writable.ts';
import type { Writer } from './writer.ts';

/** The command that makes a change of modes (chmod(1)) in the tree from now on. */
export type Mend = (change: 'o-w' | 'a+rx') => string;

/**
 * Warns of what is new or changed with a mode that lets every user change it, in a published snapshot
 * and in its neighbours that share it (I2). `--quiet` does not hide the first time: cron may know no other
 * call.
 */
export function warnOfWritable(
  writer: Writer,
  { writableByAll }: Pick<PlanFigures, 'writableByAll'>,
  mend: Mend,
): void {
  if (writableByAll.count === 0) return;
  const kind = hasWritable(writer) ? 'warning' : 'problem';
  warn(writer, kind, describeWritable(writableByAll), mend('o-w'));
}

/** Whether that is known of the current tree, so that it has been said. */
function hasWritable({ layout, before }: Writer): boolean {
  if (before === undefined) return false;
  const known = publicationOf(readHistory(layout), before)?.writableByAll;
  return known !== undefined && known.count > 0;
}

/**
 * Whether the current tree keeps some users out before the work begins, so that it has been said. Of an
 * in-place tree that is not whole, it may be what an unfinished pass has done.
 */
export function isClosedAlready({ layout, before }: Writer): boolean {
  if (before === undefined || (before === LIVE && readGate(layout).state !== 'open')) return false;
  return modeIfClosed(layout.snapshot(before)) !== undefined;
}

/**
 * Warns of a tree that only some users may enter: bare readers need its top directory. `--quiet` does not
 * hide the first time. In a mirror that only its owner may enter nobody misses it, unless the tree is
 * served elsewhere.
 *
 * @param wasClosed what `isClosedAlready` said.
 * @param origin where its mode comes from, such as ` as its source`; else empty.
 */
export function warnOfClosed(
  writer: Writer,
  tree: string,
  wasClosed: boolean,
  mend: Mend,
  origin = '',
): void {
  const { layout, settings } = writer;
  const mode = modeIfClosed(tree);
  if (mode === undefined) return;
  if (isPrivate(layout.root) && settings.serveAt === undefined) return;
  const what = `not every user may read ${tree}, which has mode ${mode}${origin}`;
  warn(writer, wasClosed ? 'warning' : 'problem', what, mend('a+rx'));
}

function warn(
  { onEvent }: Writer,
  kind: 'warning' | 'problem',
  what: string,
  command: string,
): void {
  onEvent({ kind, message: `${what}; to change that: ${command}` });
}
