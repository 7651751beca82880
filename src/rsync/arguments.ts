import { randomUUID } from 'node:crypto';
import { FILTER_RULES, parseRsyncOptions, withoutOption, withoutOptions } from './options.ts';
import type { Source } from './source.ts';
import { DELAYED } from './temporary-names.ts';

/** What rsync does for a mirror by default, by the name that turns it off (`--without NAME`). */
export const DEFAULT_NAMES = [
  'archive',
  'delete',
  'nanoseconds',
  'safe-links',
  'timeout',
  'temp-excludes',
  'update-marks',
  'settle',
] as const;

export type DefaultName = (typeof DEFAULT_NAMES)[number];

export interface Transfer {
  source: Source;
  /** The defaults that are turned off. */
  without: ReadonlySet<DefaultName>;
  /** The user's own options, as `parseRsyncOptions` returns them. */
  options: readonly string[];
  /** Names of entries that the source has while it is being updated, one character per byte (latin1). */
  marks?: readonly string[];
}

/**
 * Marks each line that `--out-format` prints, to distinguish it from rsync's messages, some of which
 * begin with a file name. Nobody who names a file can know it.
 */
export const ENTRY_MARK = `@${randomUUID()}|`;

/** The change, the size in bytes, the modification time, the mode and the name: see `parseEntry`. */
export const OUT_FORMAT = `--out-format=${ENTRY_MARK}%i|%l|%M|%B|%n`;

/** What precedes a checksum, where what a hard link leads to could be. */
export const SUM_MARK = '#';

/** The same, and the checksum of a file that was transferred; without one there are spaces. */
export const SUM_FORMAT = `${OUT_FORMAT}${ENTRY_MARK}${SUM_MARK}%C`;

/** The same, and what a hard link leads to, behind a second mark: names may hold any other separator. */
const LINK_FORMAT = `${OUT_FORMAT}${ENTRY_MARK}%L`;

export interface PlanOptions {
  /**
   * What the user's rules exclude, and the target may have from before they were given; rsync itself
   * keeps it unless `--delete-excluded` is given. By default it is deleted.
   */
  excluded?: 'deleted' | 'kept';
  /** Say of each new hard link of `--hard-links` what it leads to. */
  namesLinks?: boolean;
  /** Know all names before the first is looked at, whatever the user's options say. */
  knowsAllNames?: boolean;
}

/**
 * Lists what a sync into `target` would do, entry by entry, without changing anything. So rsync's log
 * gets what is transferred, and nothing of a plan, and no basis is looked for.
 */
export function planArguments(
  transfer: Transfer,
  target: string,
  { excluded = 'deleted', namesLinks = false, knowsAllNames = false }: PlanOptions = {},
): string[] {
  return [
    '--dry-run',
    '--delete',
    ...deletingExcluded(excluded),
    // Else a new name that comes before all old ones of its file counts as a transfer (rsync(1),
    // --hard-links).
    ...(namesLinks ? ['--no-inc-recursive'] : []),
    ...common(
      { ...transfer, options: withoutIdle(transfer.options) },
      namesLinks ? LINK_FORMAT : OUT_FORMAT,
    ),
    '--stats',
    // Makes rsync name what it leaves out, see `parseLeftOut`. The other end is told of -v alone: an
    // rsync older than 3.1 does not know --info=name1, and the rest is nothing to it.
    '-v',
    '--info=flist0,nonreg1,skip1',
    ...(knowsAllNames ? ['--no-inc-recursive'] : []),
    '--',
    transfer.source.argument,
    `${target}/`,
  ];
}

export interface ApplyOptions {
  /**
   * Absolute directories to link or copy unchanged files from, in order of preference, and to take unchanged
   * parts of others from.
   */
  from: readonly string[];
  how: 'link' | 'copy';
  /** Absolute directory for the partial files of an interrupted transfer. */
  partial: string;
}

/** A file for `--files-from --from0`: each name follows its prefix and ends with a NUL. */
export interface TransferList {
  path: string;
  /** The only name on the list does not exist in the source: only the top directory is wanted. */
  namesNoEntry: boolean;
}

/**
 * The source argument that listed names are relative to, and the prefix of each name (latin1). An
 * rsync 3.5.0 daemon without chroot does not find listed files below a subdirectory of its module.
 * Names therefore start at the module, and `/./` marks where the copied path begins (rsync(1),
 * --relative).
 */
export function listedFrom(source: Source): { argument: string; prefix: string } {
  if (source.kind !== 'daemon' || source.path === '') {
    return { argument: source.argument, prefix: './' };
  }
  const path = Buffer.from(source.path).toString('latin1');
  return { argument: source.module, prefix: `./${path}/././` };
}

/**
 * Transfers only the entries on `list`, and the top directory, into `target`. With `--files-from`
 * alone rsync may still recurse into a listed directory, and leaves out the top directory if
 * implied directories are off. The options that prevent this come last, to override the user's.
 */
export function applyArguments(
  transfer: Transfer,
  target: string,
  list: TransferList,
  options: ApplyOptions,
): string[] {
  const named = { ...transfer, options: withoutOptions(CHOOSING, transfer.options) };
  return [
    ...common(named, SUM_FORMAT),
    ...transferring(options),
    // Twice: also itemize entries that are only hard-linked. The plan counts those too.
    '-ii',
    '--no-recursive',
    '--dirs',
    '--implied-dirs',
    '--from0',
    `--files-from=${list.path}`,
    ...(list.namesNoEntry ? ['--ignore-missing-args'] : []),
    '--stats',
    '--',
    listedFrom(transfer.source).argument,
    `${target}/`,
  ];
}

/** A stamp is small. What is larger would fill the disk, or keep the source busy; bytes. */
export const LARGEST_STAMP = 256_000_000;

/**
 * Fetches single files, whose names come from standard input as in a `TransferList`, whatever their size
 * and time. Nothing but regular files comes, and directories without their attributes.
 *
 * @param target an empty directory; or, to only compare contents, a tree.
 */
export function stampArguments(
  transfer: Transfer,
  target: string,
  use: 'fetch' | 'compare',
): string[] {
  // Twice: also itemize what is the same.
  const comparing = use === 'compare' ? ['--dry-run', '--checksum', '-ii'] : [];
  return singleFileArguments(transfer, target, [...comparing, `--max-size=${LARGEST_STAMP}`]);
}

/** A list has some hundred bytes for each file of a source; bytes. */
const LARGEST_LIST = 8 * 1024 ** 3;

/**
 * Fetches a list of all files of the source in the same way.
 *
 * @param target an empty directory.
 * @param basis an absolute directory with an earlier list of that name: what is the same is not sent.
 */
export function fileListArguments(transfer: Transfer, target: string, basis: string): string[] {
  const options = ['--ignore-times', `--copy-dest=${basis}`, `--max-size=${LARGEST_LIST}`];
  return singleFileArguments(transfer, target, options);
}

function singleFileArguments(
  transfer: Transfer,
  target: string,
  options: readonly string[],
): string[] {
  return [
    ...common({ ...transfer, options: withoutOption('log-file', transfer.options) }),
    ...options,
    '--no-links',
    '--no-D',
    '--no-implied-dirs',
    '--no-recursive',
    '--dirs',
    '--chmod=Du+rwx,Fu+rw',
    '--ignore-missing-args',
    '--from0',
    '--files-from=-',
    // Makes rsync name what it skips, see `planArguments`.
    '-v',
    '--info=flist0,nonreg1,skip1',
    '--',
    listedFrom(transfer.source).argument,
    `${target}/`,
  ];
}

/**
 * rsync's own single pass over the whole tree, into a `target` that shares no inodes.
 *
 * @param excludeList a file for `--exclude-from`: what the plan leaves out, whatever the user's own
 *   filters say.
 */
export function wholePassArguments(
  transfer: Transfer,
  target: string,
  excludeList: string,
  options: ApplyOptions,
): string[] {
  return [
    '--delete',
    '--delete-excluded',
    `--exclude-from=${excludeList}`,
    ...common(transfer, SUM_FORMAT),
    ...transferring(options),
    '--stats',
    '--',
    transfer.source.argument,
    `${target}/`,
  ];
}

/**
 * rsync's single pass into the tree that readers use. All new files are renamed into place at the
 * end, which keeps the time in which the tree is a mix short (rsync(1), --delay-updates).
 *
 * @param hideList a file with the patterns of what the plan leaves out, whatever the user's own filters
 *   say. Only the sender heeds them, so that what the target has of such names goes.
 * @param excluded as for `planArguments`.
 * @param maxDelete how many entries rsync may try to delete: more than the plan says are the loss of a
 *   source that changed since then.
 * @param basis an absolute directory to take unchanged parts of new files from.
 */
export function inPlaceArguments(
  transfer: Transfer,
  target: string,
  hideList: string,
  excluded: 'deleted' | 'kept',
  maxDelete: number,
  basis?: string,
): string[] {
  const { source, without } = transfer;
  return [
    ...(without.has('delete')
      ? []
      : ['--delete', ...deletingExcluded(excluded), `--max-delete=${maxDelete}`]),
    // What a killed pass has collected there is where this one goes on from.
    ...(delaysUpdates(transfer) ? [`--filter=protect ${DELAYED}/`] : []),
    `--filter=merge,-s ${hideList}`,
    ...common(transfer, SUM_FORMAT),
    '--info=progress2',
    ...(basis === undefined ? [] : [`--copy-dest=${basis}`]),
    ...(delaysUpdates(transfer) ? ['--delay-updates'] : []),
    '--stats',
    '--',
    source.argument,
    `${target}/`,
  ];
}

/**
 * It takes directories of a name for its own, which are content of the source if nothing temporary is
 * left out.
 */
export function delaysUpdates({ without }: Transfer): boolean {
  return !without.has('temp-excludes');
}

/** The options without those that do nothing for a plan, or nothing but take time. */
function withoutIdle(options: readonly string[]): string[] {
  return withoutOption('fuzzy', withoutOption('log-file', options));
}

function deletingExcluded(excluded: 'deleted' | 'kept'): string[] {
  return excluded === 'deleted' ? ['--delete-excluded'] : [];
}

/**
 * Options that choose entries by rules or by their neighbours. They have had their say in the plan, and do
 * harm to a list: rsync reads no rule file of a directory that it does not enter, and takes a listed
 * directory for an empty one.
 */
const CHOOSING: ReadonlySet<string> = new Set([...FILTER_RULES, 'cvs-exclude', 'prune-empty-dirs']);

function common({ source, without, options }: Transfer, format = OUT_FORMAT): string[] {
  const wanted = (name: DefaultName, ...args: string[]) => (without.has(name) ? [] : args);
  return [
    '--no-human-readable',
    format,
    ...(without.has('archive') ? ['--recursive'] : ['--archive']),
    ...wanted('nanoseconds', '--modify-window=-1'),
    ...wanted('safe-links', '--safe-links'),
    ...wanted(
      'timeout',
      '--timeout=600',
      ...(connects(source, options) ? ['--contimeout=60'] : []),
    ),
    // Each call says itself what is deleted. A list of entries must not get this option.
    ...withoutOption('delete-excluded', options),
  ];
}

/** Whether rsync itself connects to a server, which with `--rsh` it does not (rsync(1), --contimeout). */
function connects(source: Source, options: readonly string[]): boolean {
  if (source.kind !== 'daemon') return false;
  return !parseRsyncOptions(options).named.some(({ name }) => name === 'rsh');
}

function transferring({ from, how, partial }: ApplyOptions): string[] {
  return [
    '--info=progress2',
    `--partial-dir=${partial}`,
    ...from.map((directory) => `--${how}-dest=${directory}`),
  ];
}
