import { closeSync, constants, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { errnoOf } from '../errors.ts';
import { isExecutable } from './file-access.ts';

/** The first line of every shim. */
export const SHIM_SHELL = '#!/bin/sh';
/** The second line, by which shims are recognized. */
export const SHIM_MARK = '# A shim of mirrorlatch: `mirrorlatch shims` writes and removes it.';

/** How much of a file `isShim` needs, in bytes. */
const SHIM_HEAD = Buffer.byteLength(`${SHIM_SHELL}\n${SHIM_MARK}\n`);

/** True if `text` is, or is the beginning of, the text of a shim. */
export function isShim(text: string): boolean {
  return text.startsWith(`${SHIM_SHELL}\n${SHIM_MARK}\n`);
}

/** Whether a file begins as every shim does. One that cannot be read does not: shims have mode 0755. */
export function isShimFile(path: string): boolean {
  let descriptor: number;
  try {
    descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (['ENOENT', 'ELOOP', 'ENXIO', 'EACCES'].includes(errnoOf(error) ?? '')) return false;
    throw error;
  }
  try {
    const head = Buffer.alloc(SHIM_HEAD);
    return isShim(head.toString('utf8', 0, readSync(descriptor, head)));
  } finally {
    closeSync(descriptor);
  }
}

/**
 * What to start for a program that we run for ourselves, such as the rsync of a sync. A shim of it, by which
 * a guard would let it write nothing in the mirror, is passed over.
 *
 * @returns its name, or its path if PATH leads to a shim first.
 */
export function ownProgram(name: string): string {
  const programs = programsInPath(name);
  const found = programs.find((path) => !isShimFile(path));
  return found === programs[0] ? name : (found ?? name);
}

/** The paths at which a program is found in the absolute elements of a PATH, the first one first. */
export function programsInPath(name: string, searchPath = process.env['PATH'] ?? ''): string[] {
  const directories = searchPath.split(':').filter((path) => path.startsWith('/'));
  return directories.map((path) => join(path, name)).filter(isExecutable);
}
