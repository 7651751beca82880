import type { Source } from './source.ts';

/** What a mirror wants of rsync, by the name that turns it off (`--without NAME`). */
export const DEFAULT_NAMES = [
  'archive',
  'delete',
  'nanoseconds',
  'safe-links',
  'timeout',
  'temp-excludes',
] as const;

export type DefaultName = (typeof DEFAULT_NAMES)[number];

export interface Transfer {
  source: Source;
  /** The defaults that are turned off. */
  without: ReadonlySet<DefaultName>;
  /** The user's own options, checked. */
  options: readonly string[];
}

/**
 * The mark before each line that `--out-format` prints, which tells it from rsync's messages. No
 * file name can begin a line, as rsync escapes control characters in them.
 */
export const ENTRY_MARK = '@|';

/** What changed, size in bytes, modification time and name: see `parseEntry`. */
const OUT_FORMAT = `--out-format=${ENTRY_MARK}%i|%l|%M|%n`;

/** Lists what a sync into `target` would do, entry by entry, and changes nothing. */
export function planArguments(transfer: Transfer, target: string): string[] {
  return [
    '--dry-run',
    // The names that a filter hides now may be in the target from before it was given.
    '--delete',
    '--delete-excluded',
    ...common(transfer),
    '--stats',
    // Tells of each unsafe symlink that is ignored.
    '--info=name1',
    '--',
    transfer.source.argument,
    `${target}/`,
  ];
}

export interface ApplyOptions {
  /** Absolute directories to link or copy unchanged files from, the nearest first. */
  from: readonly string[];
  how: 'link' | 'copy';
  /** Absolute directory for what an interrupted transfer leaves of a file. */
  partial: string;
}

/** A file for `--files-from` with `--from0`: each name has its prefix, and a NUL behind it. */
export interface TransferList {
  path: string;
  /** It holds a name that the source does not have, for only the top directory is meant. */
  namesNoEntry: boolean;
}

/**
 * Where the names of a list start from, and what stands before each of them (latin1). A daemon of
 * rsync 3.5.0 without chroot finds no listed file below a directory of its module: so its names
 * start from the module, and `/./` tells where the part that counts begins (rsync(1), --relative).
 */
export function listedFrom(source: Source): { argument: string; prefix: string } {
  if (source.kind !== 'daemon' || source.path === '') {
    return { argument: source.argument, prefix: './' };
  }
  const path = Buffer.from(source.path).toString('latin1');
  return { argument: source.module, prefix: `./${path}/././` };
}

/**
 * Transfers the entries that `list` names, and the top directory, into `target`, and looks at no
 * other. `--files-from` alone does not keep rsync from recursing into a listed directory, nor does
 * it bring the top along where implied directories are off: both are said last, so that they win
 * over the user's.
 */
export function applyArguments(
  transfer: Transfer,
  target: string,
  list: TransferList,
  options: ApplyOptions,
): string[] {
  return [
    ...common(transfer),
    ...transferring(transfer, options),
    // Twice: tell of what is only linked from elsewhere, too, for it was planned as well.
    '-ii',
    '--no-recursive',
    '--dirs',
    '--implied-dirs',
    '--from0',
    `--files-from=${list.path}`,
    ...(list.namesNoEntry ? ['--ignore-missing-args'] : []),
    '--',
    listedFrom(transfer.source).argument,
    `${target}/`,
  ];
}

/** rsync's own single pass over the whole tree, into a `target` that holds nothing shared. */
export function wholePassArguments(
  transfer: Transfer,
  target: string,
  options: ApplyOptions,
): string[] {
  return [
    '--delete',
    '--delete-excluded',
    ...common(transfer),
    ...transferring(transfer, options),
    '--stats',
    '--',
    transfer.source.argument,
    `${target}/`,
  ];
}

/**
 * rsync's single pass into the tree that readers use: new files come together at the end, so that
 * the tree is a mix for as short as can be (rsync(1), --delay-updates).
 */
export function inPlaceArguments(transfer: Transfer, target: string): string[] {
  return [
    '--delete',
    '--delete-excluded',
    ...common(transfer),
    '--info=progress2',
    ...(transfer.source.kind === 'local' ? [] : ['--fuzzy']),
    '--delay-updates',
    '--stats',
    '--',
    transfer.source.argument,
    `${target}/`,
  ];
}

function common({ source, without, options }: Transfer): string[] {
  const wanted = (name: DefaultName, ...args: string[]) => (without.has(name) ? [] : args);
  return [
    '--no-human-readable',
    OUT_FORMAT,
    ...(without.has('archive') ? ['--recursive'] : ['--archive']),
    ...wanted('nanoseconds', '--modify-window=-1'),
    ...wanted('safe-links', '--safe-links'),
    ...wanted('timeout', '--timeout=600', ...(source.kind === 'daemon' ? ['--contimeout=60'] : [])),
    ...wanted('temp-excludes', `--exclude=${DELAYED}/`, ...TEMPORARY_FILES),
    ...options,
  ];
}

function transferring({ source }: Transfer, { from, how, partial }: ApplyOptions): string[] {
  return [
    '--info=progress2',
    `--partial-dir=${partial}`,
    // Twice: look for the old version of a renamed file in `from` as well (rsync(1), --fuzzy).
    ...(source.kind === 'local' ? [] : ['--fuzzy', '--fuzzy']),
    ...from.map((directory) => `--${how}-dest=${directory}`),
  ];
}

/** What `rsync --delay-updates` puts new files into (rsync(1)). */
export const DELAYED = '.~tmp~';

/** Whether an entry is one that only an interrupted rsync leaves: what `temp-excludes` keeps out. */
export function isTemporary(name: string): boolean {
  const parts = name.split('/');
  const last = parts.at(-1) ?? '';
  return parts.includes(DELAYED) || (/^\..*\.\w{6}$/.test(last) && /[A-Z0-9]\w*$/.test(last));
}

/**
 * rsync's own temporary files, `.name.XXXXXX`, where each X is a letter or a digit (mkstemp(3)).
 * At least one of them is a capital or a digit here: `.name.backup` may be a file that is meant.
 */
const TEMPORARY_FILES = [0, 1, 2, 3, 4, 5].map((capitalAt) => {
  const suffix = [0, 1, 2, 3, 4, 5].map((at) => (at === capitalAt ? '[A-Z0-9]' : '[a-zA-Z0-9]'));
  return `--exclude=.*.${suffix.join('')}`;
});
