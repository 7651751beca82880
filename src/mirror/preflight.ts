import { accessSync, constants, realpathSync, statSync } from 'node:fs';
import { asMirrorlatchError, errnoOf, MirrorlatchError } from '../errors.ts';
import type { Source } from '../rsync/source.ts';
import { ifThere, lstatIfThere } from '../system/files.ts';
import { type FreeSpace, freeSpaceAt, isWithin, mountOf } from '../system/mounts.ts';
import { runProgram } from '../system/process.ts';
import type { CloneMethod } from './clone.ts';
import type { Layout } from './layout.ts';
import type { PlanFigures } from './plan.ts';

/** The first rsync that compares nanoseconds (rsync(1), --modify-window). */
const OLDEST_RSYNC = [3, 1, 3] as const;

/** @throws MirrorlatchError UNAVAILABLE when rsync is missing or too old. */
export async function checkRsync(): Promise<void> {
  const { stdout } = await runProgram('rsync', ['--version']);
  const version = /version v?(\d+)\.(\d+)\.(\d+)/.exec(stdout)?.slice(1).map(Number);
  const isOld = OLDEST_RSYNC.map((wanted, at) => (version?.[at] ?? 0) - wanted).find(
    (by) => by !== 0,
  );
  if (version !== undefined && (isOld ?? 0) >= 0) return;
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
 * A local source must be a readable directory, and neither of source and mirror may lie in the
 * other: the mirror would copy itself.
 *
 * @throws MirrorlatchError NO_SOURCE, PERMISSION or USAGE.
 */
export function checkPlaces(source: Source, root: string): void {
  if (source.kind !== 'local') return;
  const path = checkSource(source);
  if (!isWithin(root, path) && !isWithin(path, root)) return;
  throw new MirrorlatchError(
    'USAGE',
    `the source ${path} and the mirror ${root} lie in one another`,
    { hint: 'Keep the mirror in a directory of its own, beside the source.' },
  );
}

/**
 * Checks that a local source is a readable directory.
 *
 * @returns its real path.
 * @throws MirrorlatchError NO_SOURCE or PERMISSION.
 */
export function checkSource(source: Extract<Source, { kind: 'local' }>): string {
  try {
    const path = realpathSync(source.path);
    if (!statSync(path).isDirectory()) {
      throw new MirrorlatchError('NO_SOURCE', `the source ${source.path} is not a directory`, {
        hint: 'Give the directory whose contents are to be mirrored.',
      });
    }
    accessSync(path, constants.R_OK | constants.X_OK);
    return path;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR' || errnoOf(error) === 'ELOOP') {
      throw new MirrorlatchError('NO_SOURCE', `the source ${source.path} does not exist`, {
        hint: 'Check the path; a source on another host is host:path or rsync://host/module/path.',
        cause: error,
      });
    }
    throw asMirrorlatchError(error, `the source ${source.path} cannot be read`);
  }
}

/**
 * Whether the mirror's filesystem keeps nanoseconds. Where it does not, to compare them would find
 * every file changed at every sync. The kernel gave the mirror's own directories their times when
 * it changed them: where they are kept, not all of these are round. That one is, can be chance (one
 * in ten for each zero), and those of a new mirror are all the same.
 */
export function keepsNanoseconds(layout: Layout): boolean {
  const times = [layout.root, layout.state, layout.snapshots, layout.staging, layout.leases]
    .map((directory) => lstatIfThere(directory)?.mtimeNs)
    .filter((time) => time !== undefined);
  const zeros = [...new Set(times)].map((time) => /0*$/.exec(String(time))?.[0].length ?? 0);
  return zeros.some((count) => count < 2) || zeros.reduce((sum, count) => sum + count, 0) < 6;
}

/**
 * @param clone how what did not change gets into the new tree.
 * @param free what there was before the clone was begun.
 * @throws MirrorlatchError NO_SPACE when the plan does not fit.
 */
export function checkSpace(
  directory: string,
  plan: PlanFigures,
  clone: CloneMethod | 'none',
  free: FreeSpace = freeSpaceAt(directory),
): void {
  const { source, transferBytes, newInodes } = plan;
  const bytes = BigInt(clone === 'copy' ? source.bytes : transferBytes);
  const clonedInodes: Record<CloneMethod | 'none', number> = {
    none: 0,
    btrfs: 0,
    hardlink: source.directories,
    reflink: source.entries,
    copy: source.entries,
  };
  const inodes = BigInt(clonedInodes[clone] + newInodes);
  const lacking =
    bytes > free.bytes
      ? `${bytes} bytes are needed, ${free.bytes} are free`
      : free.inodes !== undefined && inodes > free.inodes
        ? `${inodes} inodes are needed, ${free.inodes} are free`
        : undefined;
  if (lacking === undefined) return;
  throw new MirrorlatchError(
    'NO_SPACE',
    `the new snapshot does not fit on ${directory}: ${lacking}`,
    {
      hint: 'Free space, or remove old snapshots with: mirrorlatch prune ROOT --keep-last 2 --grace 0',
    },
  );
}

/**
 * What the superblock of the mirror's filesystem says against it (tune2fs(8), ext2 to ext4 only):
 * undefined when it is clean, or cannot be asked.
 */
export async function complaintOfSuperblock(directory: string): Promise<string | undefined> {
  const mount = mountOf(directory);
  if (!mount || !/^ext[234]$/.test(mount.type) || !ifThere(() => statSync(mount.source)))
    return undefined;
  const answer = await runProgram('tune2fs', ['-l', mount.source]).catch((error: unknown) => {
    // Not installed, as in many containers: then there is nobody to ask.
    if (error instanceof MirrorlatchError && error.code === 'UNAVAILABLE') return undefined;
    throw error;
  });
  const superblock = answer?.stdout ?? '';
  const state = /^Filesystem state:\s+(.*)$/m.exec(superblock)?.[1];
  // Without a journal it is "not clean" as long as it is mounted.
  const hasJournal = /^Filesystem features:.*\bhas_journal\b/m.test(superblock);
  if (state === undefined || state === 'clean' || (state === 'not clean' && !hasJournal)) {
    return undefined;
  }
  return `the filesystem of ${directory} (${mount.source}) is ${state}`;
}
