import {
  accessSync,
  type BigIntStats,
  closeSync,
  constants,
  realpathSync,
  statSync,
} from 'node:fs';
import { asMirrorlatchError, errnoOf, MirrorlatchError } from '../../errors.ts';
import { judgeEnding } from '../../rsync/failure.ts';
import { type OptionLimits, withoutFaultyOptions } from '../../rsync/option-files.ts';
import { parseRsyncOptions } from '../../rsync/options.ts';
import type { Source } from '../../rsync/source.ts';
import { askVersion, compareVersions } from '../../rsync/version.ts';
import { ifAllowed, ifThere, lstatIfThere, realPathToBe } from '../../system/files.ts';
import {
  areOnOneMount,
  type FreeSpace,
  isWithin,
  mountOf,
  refuseMountsWithin,
} from '../../system/mounts.ts';
import {
  openOwnFile,
  refuseOtherThanDirectory,
  refuseOtherThanFile,
} from '../../system/own-files.ts';
import { FIRST_INHERITED, runProgram } from '../../system/process.ts';
import { quoteForSh } from '../../system/quote.ts';
import { isShared } from '../../system/shared-filesystem.ts';
import { stateOfExt } from '../../system/superblock.ts';
import type { MadeBy } from '../clone.ts';
import { directoriesOf, type Layout, layoutOf } from '../layout.ts';
import { refuseUnsafeRoot } from '../locks/ownership.ts';
import { mirrorAround } from '../open.ts';
import type { Settings } from '../settings/records.ts';
import { refuseUnsealed } from '../staging.ts';
import { refuseTreesElsewhere } from '../trees-elsewhere.ts';
import { showBytes } from '../units.ts';
import type { PlanFigures } from './plan.ts';

/** The first version that compares nanoseconds (rsync(1), --modify-window). */
const OLDEST_RSYNC = [3, 1, 3] as const;

/** @throws MirrorlatchError UNAVAILABLE when rsync is missing or too old. */
export async function checkRsync(): Promise<void> {
  const version = await askVersion();
  if (version !== undefined && compareVersions(version, OLDEST_RSYNC) >= 0) return;
  const found = version === undefined ? 'of an unknown version' : version.join('.');
  throw new MirrorlatchError(
    'UNAVAILABLE',
    `rsync is too old: ${found}, ${OLDEST_RSYNC.join('.')} is needed`,
    {
      hint: 'Install a newer one, for example with: apt-get install rsync',
    },
  );
}

/**
 * Lets rsync itself look at the values of options, as far as it does without a transfer.
 *
 * @param options as `withAbsoluteFiles` returns them.
 * @throws MirrorlatchError USAGE
 */
export async function checkValues(options: readonly string[]): Promise<void> {
  // `checkOptions` refuses the others by name. Of a fifo, rsync would wait for the other end.
  const limits = { frozen: [], isLocal: false, isInPlace: true };
  const readable = parseRsyncOptions(withoutFaultyOptions(options, limits)).args;
  if (readable.length === 0) return;
  const { exitCode, stderr } = await runProgram('rsync', [...readable, '--version']);
  const ending = judgeEnding(exitCode, stderr);
  if (ending.kind === 'failed' && ending.error.code === 'USAGE') throw ending.error;
}

/**
 * What the places of a mirror mean for options of rsync.
 *
 * @param source undefined while nothing has named it.
 */
export function optionLimits(
  { root }: Layout,
  { mode, serveAt, adopted }: Pick<Settings, 'mode' | 'serveAt' | 'adopted'>,
  source: Source | undefined,
): OptionLimits {
  const isLocal = source?.kind === 'local';
  const places = [root, isLocal ? source.path : undefined, serveAt, adopted];
  return {
    frozen: places
      .filter((place) => place !== undefined)
      // Nor may rsync, run by this user, go where the user may not look.
      .map((place) => ifAllowed(() => realPathToBe(place)) ?? place),
    isLocal,
    isInPlace: mode === 'in-place',
  };
}

/**
 * Checks that a local source is a readable directory, and that neither the source nor the mirror, nor
 * the directory that it serves, contains the other, because the mirror would then copy itself.
 *
 * @throws MirrorlatchError as `checkSource`; USAGE when one contains the other.
 */
export function checkPlaces(source: Source, root: string, serveAt?: string): void {
  if (source.kind !== 'local') return;
  const path = checkSource(source, root);
  refuseOverlap(path, root);
  if (serveAt !== undefined) refuseServedOverlap(path, root, serveAt);
}

/**
 * @param path the real path of a local source.
 * @throws MirrorlatchError USAGE when the served directory lies in it, or contains it.
 */
export function refuseServedOverlap(path: string, root: string, serveAt: string): void {
  if (!isWithin(serveAt, path) && !isWithin(path, serveAt)) return;
  throw new MirrorlatchError(
    'USAGE',
    `the directory ${serveAt} of --serve-at and the source ${path} overlap: one lies inside the other`,
    {
      hint: `Serve one outside the source, or none: mirrorlatch init ${quoteForSh(root)} --no-serve-at`,
    },
  );
}

/**
 * @param path the real path of a local source.
 * @throws MirrorlatchError USAGE when the source or the mirror contains the other.
 */
export function refuseOverlap(path: string, root: string): void {
  const overlap = isWithin(root, path)
    ? `the mirror ${root} lies inside the source ${path}`
    : isWithin(path, root)
      ? `the source ${path} lies inside the mirror ${root}`
      : undefined;
  if (overlap === undefined) return;
  throw new MirrorlatchError('USAGE', overlap, {
    hint: 'Keep the mirror in a directory of its own, beside the source.',
  });
}

/**
 * Refuses a mirror of which a part is a mount of its own: trees are moved between its directories, and
 * rename(2) does not cross mounts, even of one filesystem. What is mounted over the others belongs to
 * somebody, and would be tidied up as the mirror's own (I13). So does what a symlink leads to.
 *
 * @throws MirrorlatchError CONFIGURATION
 */
export function refuseSplitMirror(layout: Layout): void {
  refuseTreesElsewhere(layout);
  const { root, state, lockDirectory, staging, snapshots, trash, leases, logs, ...more } = layout;
  const { reserve, superseded, changes } = more;
  const inUse = [state, lockDirectory, staging, snapshots, trash, leases, logs];
  const own = [...inUse, reserve, superseded, changes];
  // Symlinks in the place of the others are refused where those are used.
  const parts = own.filter((path) => lstatIfThere(path)?.isDirectory());
  // This is before the lock: whoever holds that may just remove one of them.
  const isApart = (path: string) => ifThere(() => !areOnOneMount(path, state)) ?? false;
  if (!parts.some(isApart)) return;
  const mounted = parts.filter((path) => ifThere(() => mountOf(path))?.mountPoint === path);
  throw new MirrorlatchError(
    'CONFIGURATION',
    `${root} lies on several mounts, and nothing is moved or removed across them: ${mounted.join(', ')}`,
    {
      hint: `Keep all of it on one mount. Unmount with: umount ${mounted.map(quoteForSh).join(' ')}`,
    },
  );
}

/**
 * Refuses a mirror that no writer may touch, whoever runs it. Looks only, so that `status` can foretell
 * what a writer would find.
 *
 * @throws MirrorlatchError CONFIGURATION; PERMISSION when other users could exchange what is in ROOT.
 */
export function refuseUnfit(layout: Layout, mode: Settings['mode']): void {
  refuseUnsafeRoot(layout);
  refuseSplitMirror(layout);
  const { state, staging, trash, superseded, changes, history, kernelLock } = layout;
  for (const directory of [state, ...directoriesOf(layout, mode), trash, superseded, changes])
    refuseOtherThanDirectory(directory);
  for (const file of [history, kernelLock]) refuseOtherThanFile(file);
  refuseUnsealed(layout);
  refuseMountsWithin(staging, 'used');
}

/**
 * Refuses a mirror that nobody can change, on any host. A filesystem that is mounted read-only here, but
 * is writable, may be another container's or another host's.
 *
 * @throws MirrorlatchError PERMISSION
 */
export function refuseUnchangeable(layout: Layout, mode: Settings['mode']): void {
  const { root, state, staging, history } = layout;
  const mount = mountOf(state);
  if (mount?.options.includes('ro') && !isShared(state)) {
    throw new MirrorlatchError('PERMISSION', `the filesystem of ${root} is read-only`, {
      hint: `See why with: dmesg. Then: mount -o remount,rw ${quoteForSh(mount.mountPoint)}`,
    });
  }
  const flipped = mode === 'in-place' ? [] : [root];
  const changed = [...flipped, state, staging, history, ...directoriesOf(layout, mode)];
  const immutable = changed.find(isImmutable);
  if (immutable === undefined) return;
  throw new MirrorlatchError('PERMISSION', `${immutable} is immutable`, {
    hint: `As root, take that away with: chattr -i ${quoteForSh(immutable)}`,
  });
}

/** To write to what is immutable, every user is refused with EPERM, and to all else, with EACCES. */
function isImmutable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return false;
  } catch (error) {
    return errnoOf(error) === 'EPERM';
  }
}

/**
 * Checks that a local source is a readable directory, and not a whole mirror.
 *
 * @param target where it is to be mirrored, as a command names it.
 * @returns its real path.
 * @throws MirrorlatchError NO_SOURCE, PERMISSION when it cannot be read, or USAGE for a mirror.
 */
export function checkSource(source: Extract<Source, { kind: 'local' }>, target: string): string {
  try {
    const path = realpathSync(source.path);
    if (!statSync(path).isDirectory()) {
      throw new MirrorlatchError('NO_SOURCE', `the source ${source.path} is not a directory`, {
        hint: 'Name the directory whose contents are to be mirrored.',
      });
    }
    accessSync(path, constants.R_OK | constants.X_OK);
    refuseMirrorAsSource(path, target);
    return path;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR' || errnoOf(error) === 'ELOOP') {
      throw new MirrorlatchError('NO_SOURCE', `the source ${source.path} does not exist`, {
        hint: 'Check the path. A source on another host is written host:path or rsync://host/module/path.',
        cause: error,
      });
    }
    if (errnoOf(error) === 'EACCES') {
      throw new MirrorlatchError('PERMISSION', `the source ${source.path} cannot be read`, {
        hint: 'Run it as a user that may read the source, or let this one enter it.',
        cause: error,
      });
    }
    throw asMirrorlatchError(error, `the source ${source.path} cannot be read`);
  }
}

/**
 * Of a mirror only one tree is a source: the rest is its locks, its history and all its snapshots.
 *
 * @param path real.
 * @param target as for `checkSource`.
 * @throws MirrorlatchError USAGE
 */
export function refuseMirrorAsSource(path: string, target: string): void {
  const isMirror = lstatIfThere(layoutOf(path).settings) !== undefined;
  const around = isMirror ? layoutOf(path) : mirrorAround(path);
  if (around === undefined) return;
  const { root, current, snapshots, gate, state } = around;
  if (![root, snapshots, gate].includes(path) && !isWithin(path, state)) return;
  throw new MirrorlatchError(
    'USAGE',
    `the source ${path} is ${path === root ? 'the root' : 'a part'} of a mirror, not a tree`,
    {
      hint: `Name what is current in it, ${current}, and hold that meanwhile with: mirrorlatch run ${quoteForSh(root)} --pin namespace -- mirrorlatch sync ${quoteForSh(current)} ${quoteForSh(target)}`,
    },
  );
}

/** Those of the time that is stored in `layout.timeProbe`. */
const NANOSECONDS = 123_456_789n;

/**
 * Stores a time with nanoseconds on the mirror's filesystem, for `keepsNanoseconds`. Only the holder
 * of the lock may call this. It is no failure if it cannot be done: the disk may be full.
 */
export async function storeNanoseconds({ timeProbe }: Layout): Promise<void> {
  if (hasNanoseconds(lstatIfThere(timeProbe))) return;
  let descriptor: number;
  try {
    descriptor = openOwnFile(timeProbe, 0o644);
  } catch {
    return;
  }
  try {
    const date = `--date=@1000000000.${NANOSECONDS}`;
    const file = `/proc/self/fd/${FIRST_INHERITED}`;
    await runProgram('touch', ['--no-create', date, file], { inherit: [descriptor] });
  } finally {
    closeSync(descriptor);
  }
}

/**
 * Whether the mirror's filesystem stores nanoseconds. If it does not, comparing them would find all
 * files changed at every sync. Times that the kernel has set are no proof: its clock advances in
 * ticks, so for a moment all of them may end in the same zeros. They have to do for a dry run of a
 * mirror that no sync has stored a time in yet.
 */
export function keepsNanoseconds(layout: Layout): boolean {
  const stored = lstatIfThere(layout.timeProbe);
  if (stored !== undefined) return hasNanoseconds(stored);
  const times = [layout.root, layout.state, layout.staging, layout.logs]
    .map((directory) => lstatIfThere(directory)?.mtimeNs)
    .filter((time) => time !== undefined);
  return times.length === 0 || times.some((time) => time % 100n !== 0n);
}

function hasNanoseconds(file: BigIntStats | undefined): boolean {
  return file !== undefined && file.mtimeNs % 1_000_000_000n === NANOSECONDS;
}

/**
 * What a planned snapshot lacks on the disk, in words; undefined if it fits. That is a guess: it counts
 * sparse files in full, each name of a file, and no compression.
 *
 * @param clone how the unchanged files get into the new tree.
 * @param free what was free before the clone began.
 */
export function spaceLacking(
  { source, transferBytes, newInodes }: PlanFigures,
  clone: MadeBy,
  free: FreeSpace,
): string | undefined {
  const bytes = BigInt(clone === 'copy' ? source.bytes : transferBytes);
  const clonedInodes: Record<MadeBy, number> = {
    none: 0,
    recycle: 0,
    btrfs: 0,
    hardlink: source.directories,
    reflink: source.entries,
    copy: source.entries,
  };
  const inodes = BigInt(clonedInodes[clone] + newInodes);
  if (bytes > free.bytes)
    return `up to ${showBytes(bytes)} are needed, ${showBytes(free.bytes)} are free`;
  if (free.inodes === undefined || inodes <= free.inodes) return undefined;
  return `up to ${inodes} inodes are needed, ${free.inodes} are free`;
}

/**
 * A complaint about the filesystem, if its superblock does not call it clean (ext2 to ext4 only). Undefined
 * when it is clean or the superblock cannot be read.
 */
export function complaintOfSuperblock(directory: string): string | undefined {
  const mount = mountOf(directory);
  if (!mount || !/^ext[234]$/.test(mount.type)) return undefined;
  const state = stateOfExt(directory, mount.source);
  if (state === undefined || state === 'clean') return undefined;
  return `the filesystem of ${directory} (${mount.source}) is ${state}`;
}
