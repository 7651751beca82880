import type { Entry } from './itemize.ts';

type Named = Pick<Entry, 'name' | 'type'>;

/** The directories in which `rsync --delay-updates` collects new files (rsync(1)). */
export const DELAYED = '.~tmp~';

/**
 * A temporary file of rsync is called `.NAME.XXXXXX`; X is a letter or a digit (mkstemp(3)). Hardly
 * anything else has a suffix with a small letter and, not at its beginning, a capital one:
 * `.index.sha256`, `.README.Static` and `.sums.SHA512` are files of the source.
 */
const CERTAIN_NAME = /^\..*\.(?=.*[a-z])(?=.+[A-Z])[a-zA-Z0-9]{6}$/s;

/** Whether an entry is one of them, or lies in one. */
export function isDelayed({ name, type }: Named): boolean {
  const parts = name.split('/');
  return (type === 'directory' ? parts : parts.slice(0, -1)).includes(DELAYED);
}

/** Whether an upstream's own rsync left this entry behind, or is still working on it. */
export function isTemporary(entry: Named): boolean {
  const { name, type } = entry;
  const own = name.slice(name.lastIndexOf('/') + 1);
  return isDelayed(entry) || (type !== 'directory' && CERTAIN_NAME.test(own));
}

/** ftpsync(1) keeps a file of such a name at the top of its tree as long as it updates that. */
export const UPDATE_MARK = 'Archive-Update-in-Progress-';

/**
 * Whether the upstream says by this entry that it is being updated.
 *
 * @param others names of entries by which it says so, too.
 */
export function isUpdateMark({ name, type }: Named, others: readonly string[] = []): boolean {
  if (others.some((mark) => `${name}/`.startsWith(`${mark}/`))) return true;
  return type === 'file' && name.startsWith(UPDATE_MARK) && !name.includes('/');
}

/**
 * The files on one of which a killed rsync may have been at work in the file of this name. It writes `D/NAME` as
 * `D/.NAME.XXXXXX`, without a second dot if the name begins with one, and collects it as `D/.~tmp~/NAME`.
 */
export function mayBeMadeFor(name: string): string[] {
  const collected = name.replace(/(^|\/)\.~tmp~\/(?=[^/]+$)/, '$1');
  if (collected !== name) return [collected];
  const [, above = '', own] = /^(.*\/)?\.([^/]+)\.[a-zA-Z0-9]{6}$/s.exec(name) ?? [];
  return own === undefined ? [] : [`${above}${own}`, `${above}.${own}`];
}
