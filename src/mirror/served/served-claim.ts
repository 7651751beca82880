import { mkdtempSync, readdirSync, rmdirSync, rmSync, symlinkSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { MirrorlatchError } from '../../errors.ts';
import { exchange } from '../../system/exchange.ts';
import { lstatIfThere, nearestDirectory, realPathToBe } from '../../system/files.ts';
import {
  describeMounts,
  mountsElsewhere,
  wayToMountAbove,
} from '../../system/mounted-elsewhere.ts';
import { areOnOneMount, isWithin } from '../../system/mounts.ts';
import { pathsInUse } from '../../system/paths-in-use.ts';
import { type Layout, ownNames } from '../layout.ts';
import { mirrorBehindMount, mirrorThatServes, mirrorWith, servedMark } from '../open.ts';
import type { Settings } from '../settings/records.ts';
import { readServed } from './served-record.ts';

/**
 * A mirror claims the directory that it is to serve by a mark beside it, so that no other mirror takes
 * it. It releases a directory that it serves no longer, which then stays as it is.
 */

/**
 * Checks that a directory can be served, and changes nothing. The mirror itself may be missing yet.
 *
 * @throws MirrorlatchError USAGE for an in-place mirror, and when `path` is not a new or empty directory
 *   beside the mirror; UNAVAILABLE when the filesystem cannot exchange names.
 */
export function refuseUnservable(layout: Layout, mode: Settings['mode'], path: string): void {
  if (mode === 'in-place') {
    throw new MirrorlatchError('USAGE', '--serve-at cannot be used with an in-place mirror', {
      hint: 'It needs room for a second tree. Leave one of them out.',
    });
  }
  const problem = problemWith(layout, path);
  if (problem !== undefined) {
    throw new MirrorlatchError('USAGE', `${path} cannot be served: ${problem}`, {
      hint: 'Name a new or empty directory beside the mirror, on the same filesystem and mount.',
    });
  }
  const one = mkdtempSync(join(dirname(path), '.mirrorlatch-'));
  const other = mkdtempSync(join(dirname(path), '.mirrorlatch-'));
  try {
    exchange(one, other);
  } finally {
    for (const directory of [one, other]) rmdirSync(directory);
  }
}

/** Makes `path`, which is to be served from the next publication on, known as a part of the mirror. */
export function markServed(layout: Layout, path: string): void {
  rmSync(servedMark(path), { force: true });
  symlinkSync(layout.root, servedMark(path));
}

/** That of a mirror that was moved leads nowhere. What is not ours and has its name stays. */
export function renewMark(layout: Layout, path: string): void {
  const mark = lstatIfThere(servedMark(path));
  if (mark !== undefined && !mark.isSymbolicLink()) return;
  const root = mirrorThatServes(path)?.root;
  if (root === undefined || realPathToBe(root) !== layout.root) markServed(layout, path);
}

/**
 * Leaves a directory that was served as it is, and no longer makes it known as a part of the mirror. The
 * settings come first: a writer that is at work then leaves it alone, too.
 */
export function forgetServed(layout: Layout, path: string): void {
  if (readServed(layout)?.path === path) rmSync(layout.served, { force: true });
  if (otherServer(layout, path) === undefined) rmSync(servedMark(path), { force: true });
}

/** The root of another mirror that serves the directory, as of the one of which this is a copy. */
function otherServer(layout: Layout, path: string): string | undefined {
  const root = mirrorThatServes(path)?.root;
  return root === undefined || realPathToBe(root) === layout.root ? undefined : root;
}

function problemWith(layout: Layout, path: string): string | undefined {
  const found = lstatIfThere(path);
  const parent = lstatIfThere(dirname(path));
  if (parent === undefined) return `the directory ${dirname(path)} does not exist`;
  if (found !== undefined && !found.isDirectory()) return 'it is not a directory';
  const mark = lstatIfThere(servedMark(path));
  if (mark !== undefined && !mark.isSymbolicLink()) return `${servedMark(path)} is in the way`;
  if (isOurs(layout, path)) return 'the mirror needs it for itself';
  const around = mirrorWith(path) ?? mirrorBehindMount(path);
  if (around !== undefined) return `it is a part of the mirror ${around.root}`;
  if (isWithin(layout.root, path)) return `the mirror ${layout.root} lies in it`;
  if (found !== undefined && readdirSync(path).length > 0) return 'it is not empty';
  const mounts = found === undefined ? [] : mountsElsewhere(pathsInUse(path));
  if (mounts.length > 0)
    return `${describeMounts(mounts)} shows it, which no publication reaches; ${wayToMountAbove(mounts)}`;
  const home = nearestDirectory(layout.staging);
  const device = lstatIfThere(home)?.dev;
  const isElsewhere = parent.dev !== device || (found !== undefined && found.dev !== device);
  if (isElsewhere) return 'it is on another filesystem than the mirror';
  return areOnOneMount(dirname(path), home) ? undefined : 'it is on another mount than the mirror';
}

/** Why a directory cannot be served, whatever lies there; undefined if it can. */
export function problemOnTheWay(layout: Layout, path: string): string | undefined {
  const parent = dirname(path);
  const real = realPathToBe(parent);
  if (real !== parent) return `${parent} leads to ${real} now`;
  if (lstatIfThere(parent) === undefined) return `the directory ${parent} does not exist`;
  if (!areOnOneMount(parent, nearestDirectory(layout.staging)))
    return `${parent} is on another mount than the mirror`;
  const server = otherServer(layout, path);
  return server === undefined ? undefined : `it is served by the mirror ${server}`;
}

function isOurs(layout: Layout, path: string): boolean {
  const [first = ''] = relative(layout.root, path).split('/');
  return ownNames(layout).includes(first);
}
