import type { PlanFigures } from '../mirror/plan.ts';
import { modeIfClosed } from '../mirror/tree-mode.ts';
import type { Writer } from './writer.ts';

/** The command that makes a change of modes (chmod(1)) in the tree from now on. */
export type Mend = (change: 'o-w' | 'a+rx') => string;

/**
 * Warns of what is new or changed with a mode that lets every user change it, in a published snapshot
 * and in its neighbours that share it (I2).
 */
export function warnOfWritable(writer: Writer, { writableByAll }: PlanFigures, mend: Mend): void {
  const { count, names } = writableByAll;
  if (count === 0) return;
  const more = count > names.length ? ` and ${count - names.length} more` : '';
  const shown = names.map((name) => (name === '.' ? 'the top directory of the tree' : name));
  warn(writer, `every user may write to ${shown.join(', ')}${more}`, mend('o-w'));
}

/**
 * Warns of a tree that only some users may enter: bare readers need its top directory.
 *
 * @param origin where its mode comes from, such as ` as its source`; else empty.
 */
export function warnOfClosed(writer: Writer, tree: string, mend: Mend, origin = ''): void {
  const mode = modeIfClosed(tree);
  if (mode === undefined) return;
  warn(writer, `not every user may read ${tree}, which has mode ${mode}${origin}`, mend('a+rx'));
}

function warn({ onEvent }: Writer, what: string, command: string): void {
  onEvent({ kind: 'warning', message: `${what}; to change that: ${command}` });
}
