import { randomBytes } from 'node:crypto';
import {
  closeSync,
  fchmodSync,
  fsyncSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { asMirrorlatchError, MirrorlatchError } from '../errors.ts';
import type { Layout } from '../mirror/layout.ts';
import { mirrorAround, mirrorBehindMount, mirrorWith } from '../mirror/open.ts';
import {
  ifThere,
  lstatIfThere,
  makeDirectories,
  makeOpenDirectory,
  readTextIfThere,
  realPathToBe,
  syncDirectory,
} from '../system/files.ts';
import { isShimFile } from '../system/own-program.ts';
import type { Guard } from './guard.ts';
import { readerPath } from './script.ts';
import { checkShimName, type IfUnavailable, refuseNeeded, shimText } from './shims.ts';

export interface WriteShimsOptions {
  directory: string;
  commands: readonly string[];
  guard: Guard;
  ifUnavailable: IfUnavailable;
}

export interface ShimsResult {
  /** Absolute. */
  directory: string;
  shims: {
    command: string;
    path: string;
    outcome: 'written' | 'unchanged' | 'removed' | 'absent';
  }[];
}

/**
 * Writes an executable for each command into a directory, which is made if it is missing. Each is
 * replaced in one step; if one cannot be written, none is.
 *
 * @throws MirrorlatchError USAGE for a name that no shim can have and for a directory in a mirror,
 *   CONFIGURATION when a foreign file is in the way.
 */
export function writeShims(options: WriteShimsOptions): ShimsResult {
  const directory = resolve(options.directory);
  const commands = [...new Set(options.commands)];
  for (const command of commands) refuseInMirror(directory, mirrorWith(join(directory, command)));
  refuseInMirror(directory, mirrorBehindMount(directory));
  for (const command of commands) {
    checkShimName(command);
    refuseNeeded(command);
  }
  try {
    for (const command of commands) refuseForeign(join(directory, command));
    makeDirectories(directory, makeOpenDirectory);
    const shims = commands.map((command) => {
      const path = join(directory, command);
      const text = shimText(command, options.guard, options.ifUnavailable, readerPath);
      const outcome = writeShim(path, text) ? ('written' as const) : ('unchanged' as const);
      return { command, path, outcome };
    });
    syncDirectory(directory);
    return { directory, shims };
  } catch (error) {
    throw asMirrorlatchError(error, `the shims in ${directory} cannot be written`);
  }
}

/**
 * Removes the shims of these commands, or all shims in the directory; never another file.
 *
 * @throws MirrorlatchError USAGE as `writeShims`; CONFIGURATION when a file of that name is foreign:
 *   then nothing is removed.
 */
export function removeShims(given: string, commands: readonly string[] = []): ShimsResult {
  const directory = resolve(given);
  // Shims in ROOT beside its parts, which earlier versions wrote there, can be removed.
  refuseInMirror(directory, mirrorAround(directory) ?? mirrorBehindMount(directory));
  for (const command of commands) checkShimName(command);
  try {
    const names = commands.length === 0 ? shimsIn(directory) : [...new Set(commands)];
    for (const name of names) refuseForeign(join(directory, name));
    const shims = names.map((command) => {
      const path = join(directory, command);
      const outcome = isOurs(path) ? ('removed' as const) : ('absent' as const);
      rmSync(path, { force: true });
      return { command, path, outcome };
    });
    if (names.length > 0) ifThere(() => syncDirectory(directory));
    return { directory, shims };
  } catch (error) {
    throw asMirrorlatchError(error, `the shims in ${directory} cannot be removed`);
  }
}

/**
 * The trees of a mirror are published, and nothing in them may change (I2). Its ROOT is no place for shims
 * either: whoever names it has mixed up DIR and the mirror.
 */
function refuseInMirror(directory: string, mirror: Layout | undefined): void {
  if (mirror === undefined) return;
  const what = realPathToBe(directory) === mirror.root ? 'is' : 'is a part of';
  throw new MirrorlatchError('USAGE', `${directory} ${what} the mirror ${mirror.root}`, {
    hint: 'Keep shims in a directory of their own, outside of the mirror.',
  });
}

function shimsIn(directory: string): string[] {
  const names = ifThere(() => readdirSync(directory)) ?? [];
  return names.filter((name) => isOurs(join(directory, name))).sort();
}

function refuseForeign(path: string): void {
  if (lstatIfThere(path) === undefined || isOurs(path)) return;
  throw new MirrorlatchError('CONFIGURATION', `${path} is not a shim of mirrorlatch`, {
    hint: 'Keep shims in a directory of their own, or move this file away.',
    details: { path },
  });
}

/** Whether a path is a regular file, no symlink, that begins as every shim does. */
function isOurs(path: string): boolean {
  return lstatIfThere(path)?.isFile() === true && isShimFile(path);
}

/** @returns false when the file had this text and mode already, and belongs to this user. */
function writeShim(path: string, text: string): boolean {
  const there = lstatIfThere(path);
  if (
    there !== undefined &&
    Number(there.mode & 0o7777n) === 0o755 &&
    Number(there.uid) === process.geteuid?.() &&
    readTextIfThere(path) === text
  ) {
    return false;
  }
  // If a crash leaves this file, it counts as a shim and is removed with the others.
  const temporary = join(dirname(path), `.mirrorlatch-${randomBytes(6).toString('hex')}`);
  try {
    writeExecutable(temporary, text);
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
  return true;
}

/** Closes the file before it gets its name: execve(2) refuses a file open for writing (ETXTBSY). */
function writeExecutable(path: string, text: string): void {
  const descriptor = openSync(path, 'wx', 0o700);
  try {
    writeFileSync(descriptor, text);
    fchmodSync(descriptor, 0o755);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
