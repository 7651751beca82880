import { accessSync, constants, realpathSync } from 'node:fs';
import { basename, dirname, join, parse, relative, resolve } from 'node:path';
import { MirrorlatchError } from '../errors.ts';
import { layoutOf } from '../mirror/layout.ts';
import { describeProcesses } from '../mirror/locks/lock-state.ts';
import { printable } from '../mirror/names.ts';
import { mirrorAround, mirrorBehindMount } from '../mirror/open.ts';
import { attachmentsOf, describeAttachments } from '../system/attachments.ts';
import { ifThere, lstatIfThere, nearestDirectory, readlinkIfThere } from '../system/files.ts';
import { areOnOneMount, mountOf, refuseMountsWithin } from '../system/mounts.ts';
import { namesOutside, writersByOtherNames } from '../system/other-names.ts';
import { mayWriteBy, type ProcessPath, pathsInUse } from '../system/paths-in-use.ts';
import { isOurAncestor, processName } from '../system/proc.ts';
import { runProgram } from '../system/process.ts';
import { quoteForSh } from '../system/quote.ts';

/** Leaves the last component alone: that it is a symlink is refused later, by name. */
export function realPathOf(directory: string): string {
  const path = resolve(directory);
  const parent = ifThere(() => realpathSync(dirname(path)));
  if (path === '/') throw immovable(path);
  if (parent === undefined) throw noDirectory(path);
  return join(parent, basename(path));
}

/**
 * Looks whether a directory can become a mirror in `root`, and changes nothing.
 *
 * @throws MirrorlatchError USAGE, NO_MIRROR, PERMISSION, BUSY or CONFIGURATION if not.
 */
export async function checkAdoptable(directory: string, root: string): Promise<void> {
  const found = lstatIfThere(directory);
  if (found === undefined) throw noDirectory(directory);
  const taken = mirrorOf(directory);
  if (taken !== undefined) throw notAdoptable(directory, taken);
  if (mountOf(directory)?.mountPoint === directory) throw immovable(directory);
  const problem = problemWith(directory, root, found.isDirectory());
  if (problem !== undefined) throw notAdoptable(directory, problem);
  refuseUnreadable(directory);
  refuseMountsWithin(directory, 'adopted');
  await refuseWriters(directory);
  const state = basename(layoutOf(directory).state);
  const { stdout } = await runProgram('find', [directory, '-name', state, '-print', '-quit']);
  if (stdout === '') return;
  throw notAdoptable(
    directory,
    `${dirname(stdout)} in it is a mirror`,
    'Whatever writes to that would write into a snapshot. Move it elsewhere first.',
  );
}

function refuseUnreadable(directory: string): void {
  try {
    accessSync(directory, constants.R_OK | constants.X_OK);
  } catch (cause) {
    throw new MirrorlatchError(
      'PERMISSION',
      `${directory} cannot be adopted: you may not read it`,
      {
        hint: `Its owner may let you with: chmod u+rx ${quoteForSh(directory)}`,
        cause,
      },
    );
  }
}

/**
 * I2: a sync in place changes modes and times, and some options content, of a file under all of its names,
 * which may lie in a snapshot of another mirror.
 *
 * @throws MirrorlatchError USAGE when files of the directory have names outside of it.
 */
export async function refuseNamesOutside(directory: string): Promise<void> {
  const found = await namesOutside(directory);
  if (found === undefined) return;
  throw notAdoptable(
    directory,
    `a sync in place would change files elsewhere, maybe of a snapshot: ${describeNames(found)}`,
    `Leave out --in-place, or remove those names first, such as the rest of a mirror that was made of the directory before. Find them with: ${commandThatFinds(directory, found)}`,
  );
}

type NamesOutside = NonNullable<Awaited<ReturnType<typeof namesOutside>>>;

function describeNames({ count, path }: NamesOutside): string {
  const shown = printable(path);
  return count === 1
    ? `1 of its files, ${shown}, has names outside of it`
    : `${count} of its files, such as ${shown}, have names outside of it`;
}

function commandThatFinds(directory: string, { path }: NamesOutside): string {
  const from = quoteForSh(mountOf(directory)?.mountPoint ?? '/');
  return `find ${from} -xdev -samefile ${quoteForSh(path)}`;
}

/**
 * I2: nobody can keep others from writing to a file of a snapshot by a name elsewhere.
 *
 * @returns a sentence on that; undefined when no file of the directory has one.
 */
export async function dangerOfNamesOutside(directory: string): Promise<string | undefined> {
  const found = await namesOutside(directory);
  if (found === undefined) return undefined;
  const { dir, base } = parse(directory);
  const copy = quoteForSh(join(dir, `${base}.copy`));
  return `${directory}: ${describeNames(found)}. What writes to one there, or changes its mode, changes published snapshots. Find them with: ${commandThatFinds(directory, found)}. To publish files that nothing else shares, adopt a copy: cp -a ${quoteForSh(directory)} ${copy}`;
}

/**
 * What is adopted as a snapshot must not change any more.
 *
 * @throws MirrorlatchError BUSY while an rsync is at work in the directory, or a process could write to
 *   what is in it; CONFIGURATION while that is possible from another place.
 */
async function refuseWriters(directory: string): Promise<void> {
  const attachments = attachmentsOf(directory);
  if (attachments.length > 0) {
    const { name, detach } = describeAttachments(attachments);
    throw new MirrorlatchError(
      'CONFIGURATION',
      `${directory} cannot be adopted: it could still be written to through ${name}`,
      { hint: `Detach it with: ${detach}. Then adopt the directory with the same command.` },
    );
  }
  const found = pathsInUse(directory).filter(
    (one) => processName(one.pid) === 'rsync' || (mayWriteBy(one) && !isHarmless(one)),
  );
  const writers = [...found, ...(await writersByOtherNames(directory))];
  if (writers.length === 0) return;
  throw new MirrorlatchError(
    'BUSY',
    `${directory} cannot be adopted: ${describeUsers(writers)} may still write to ${writers[0]?.path}`,
    { hint: 'What is adopted must not change any more. Wait until that has ended, or end it.' },
  );
}

/**
 * A directory that a process has only entered or opened may be adopted: it leads to the tree afterwards,
 * too. A mount stays on the tree wherever that is moved. A deleted file is not adopted; whether it has
 * another name in the tree, `writersByOtherNames` finds out.
 */
function isHarmless(one: ProcessPath): boolean {
  if (isEntered(one)) return true;
  return one.use !== 'mount' && !lstatIfThere(one.path) && one.path.endsWith(' (deleted)');
}

function isEntered({ use, path }: ProcessPath): boolean {
  return use !== 'mount' && lstatIfThere(path)?.isDirectory() === true;
}

/**
 * I2: a process that has entered the directory reaches the tree by relative paths when that is a
 * snapshot, too. One that started this one is let pass: people stand in what they adopt.
 *
 * @returns a sentence on that; undefined when there is no such process.
 */
export function dangerOfEntered(directory: string): string | undefined {
  const inside = pathsInUse(directory).filter((one) => isEntered(one) && !isOurAncestor(one.pid));
  if (inside.length === 0) return undefined;
  return `${directory} has been entered by ${describeUsers(inside)}. What they write there by a relative path changes the published snapshot: end each that may write`;
}

function describeUsers(users: readonly { pid: number }[]): string {
  const pids = [...new Set(users.map(({ pid }) => pid))];
  return describeProcesses(pids.map((pid) => ({ pid, name: processName(pid) ?? '?' })));
}

/** Looks again, under the lock; throws as `checkAdoptable`. */
export async function refuseNoTree(directory: string): Promise<void> {
  const found = lstatIfThere(directory);
  if (found === undefined) throw noDirectory(directory);
  if (!found.isDirectory()) throw notAdoptable(directory, 'it is not a directory');
  refuseMountsWithin(directory, 'adopted');
  await refuseWriters(directory);
}

export function notAdoptable(
  directory: string,
  problem: string,
  hint = 'Name the directory that rsync writes to, and beside it a place for the mirror.',
): MirrorlatchError {
  return new MirrorlatchError('USAGE', `${directory} cannot be adopted: ${problem}`, { hint });
}

/** The root of a filesystem stays where it is. */
function immovable(directory: string): MirrorlatchError {
  return notAdoptable(
    directory,
    'it is a mount point, which cannot be renamed',
    'Move what it contains into a directory below it, and adopt that.',
  );
}

/** Which mirror the directory is, or is a part of, as a predicate; undefined if none. */
function mirrorOf(directory: string): string | undefined {
  if (lstatIfThere(join(directory, '.mirrorlatch'))) return 'it is already a mirror';
  const around = mirrorAround(directory) ?? mirrorBehindMount(directory);
  return around && `it is a part of the mirror ${around.root}`;
}

function problemWith(directory: string, root: string, isDirectory: boolean): string | undefined {
  if (!isDirectory) {
    const target = readlinkIfThere(directory);
    return target === undefined
      ? 'it is not a directory'
      : `it is a symlink to ${resolve(dirname(directory), target)}`;
  }
  const inside = (path: string, other: string) => !relative(other, path).startsWith('..');
  if (inside(root, directory) || inside(directory, root))
    return `it lies inside ${root}, or ${root} inside it`;
  const nearest = nearestDirectory(root);
  if (lstatIfThere(nearest)?.dev !== lstatIfThere(directory)?.dev) {
    return `${root} lies on another filesystem`;
  }
  return areOnOneMount(nearest, directory) ? undefined : `${root} lies on another mount`;
}

function noDirectory(path: string): MirrorlatchError {
  return new MirrorlatchError('NO_MIRROR', `there is no directory ${path}`, {
    hint: 'Check the path: it is that of the directory which rsync has filled.',
  });
}
