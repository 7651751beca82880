import type { PlanFigures } from '../../mirror/plan.ts';
import { readSettings, rememberedBy } from '../../mirror/settings.ts';
import { showOptions } from '../../rsync/join-options.ts';
import { lstatIfThere } from '../../system/files.ts';
import { quoteForSh } from '../../system/quote.ts';
import type { Writer } from '../../writer/writer.ts';

/** For search and reading by every user (inode(7)). */
const OPEN_TO_ALL = 0o005n;

/**
 * Warns of what is transferred with a mode that lets every user change it, in a published snapshot and
 * in its neighbours that share it (I2).
 */
export function warnOfWritable(writer: Writer, { writableByAll }: PlanFigures): void {
  const { count, names } = writableByAll;
  if (count === 0) return;
  const more = count > names.length ? ` and ${count - names.length} more` : '';
  warn(writer, `every user may write to ${names.join(', ')}${more}`, '--chmod=o-w');
}

/** Warns of a tree that only some users may enter: bare readers need its top directory. */
export function warnOfClosed(writer: Writer, tree: string): void {
  const mode = lstatIfThere(tree)?.mode;
  if (mode === undefined || (mode & OPEN_TO_ALL) === OPEN_TO_ALL) return;
  const octal = (mode & 0o7777n).toString(8).padStart(4, '0');
  warn(
    writer,
    `not every user may read ${tree}, which has mode ${octal} as its source`,
    '--chmod=Da+rx',
  );
}

/** @param option that of rsync which gives other modes. */
function warn({ layout, onEvent }: Writer, what: string, option: string): void {
  const settings = readSettings(layout);
  const remembered = settings === undefined ? [] : rememberedBy(settings).rsyncOptions;
  const command = `mirrorlatch init ${quoteForSh(layout.root)} -- ${showOptions([...remembered, option])}`;
  onEvent({ kind: 'warning', message: `${what}; to change that: ${command}` });
}
