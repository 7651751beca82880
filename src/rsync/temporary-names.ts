import type { Entry } from './itemize.ts';

/** The directories in which `rsync --delay-updates` collects new files (rsync(1)). */
export const DELAYED = '.~tmp~';

/**
 * A temporary file of rsync is called `.NAME.XXXXXX`; X is a letter or a digit (mkstemp(3)). Hardly
 * anything else has a suffix with a small letter and, not at its beginning, a capital one:
 * `.index.sha256`, `.README.Static` and `.sums.SHA512` are files of the source.
 */
const CERTAIN_NAME = /^\..*\.(?=.*[a-z])(?=.+[A-Z])[a-zA-Z0-9]{6}$/s;

/** Whether an upstream's own rsync left this entry behind, or is still working on it. */
export function isTemporary({ name, type }: Pick<Entry, 'name' | 'type'>): boolean {
  const parts = name.split('/');
  const above = type === 'directory' ? parts : parts.slice(0, -1);
  return above.includes(DELAYED) || (type !== 'directory' && CERTAIN_NAME.test(parts.at(-1) ?? ''));
}

/** ftpsync(1) keeps a file of such a name at the top of its tree as long as it updates that. */
export const UPDATE_MARK = 'Archive-Update-in-Progress-';

/** Whether the upstream says by this entry that it is being updated. */
export function isUpdateMark({ name, type }: Pick<Entry, 'name' | 'type'>): boolean {
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
