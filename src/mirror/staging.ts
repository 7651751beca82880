import { randomUUID } from 'node:crypto';
import { constants, copyFileSync, mkdirSync, readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { MirrorlatchError } from '../errors.ts';
import { ifThere, lstatIfThere } from '../system/files.ts';
import { bytePath } from './byte-path.ts';
import type { Layout } from './layout.ts';
import { isSnapshotId } from './snapshot-id.ts';

/** Trees in staging, the newest first by when they were last worked on. */
export interface Leftovers {
  /** What rsync worked on: the next sync goes on from it. */
  trees: string[];
  /** Clones that were never finished: they hold nothing of worth. */
  clones: string[];
  /**
   * Good to copy from, not to go on from: another host's rsync may still write to it, or a power cut
   * has spoilt the clone that it was made of.
   */
  foreign: string[];
  /** What a command of `lock` worked on: the next one goes on from it. */
  commands: string[];
}

const CLONE = '.clone';
const FOREIGN = '.foreign';
const COMMAND = '.command';

export function stagedTree(layout: Layout, id: string): string {
  return join(layout.staging, id);
}

export function stagedClone(layout: Layout, id: string): string {
  return join(layout.staging, id + CLONE);
}

/** The tree that `lock` gives to a command. */
export function stagedCommandTree(layout: Layout, id: string): string {
  return join(layout.staging, id + COMMAND);
}

export function isCommandTree(name: string): boolean {
  return name.endsWith(COMMAND);
}

/**
 * Makes the gate where it is missing and checks that it is closed: `staging` is 0700 from its
 * creation, and rsync, which sets the mode of its target, never has it as its target (I6).
 */
export function sealStaging(layout: Layout): void {
  mkdirSync(layout.staging, { recursive: true, mode: 0o700 });
  const gate = lstatIfThere(layout.staging);
  if (!gate?.isDirectory() || (gate.mode & 0o077n) !== 0n) {
    throw new MirrorlatchError(
      'CONFIGURATION',
      `${layout.staging} must be a directory of mode 0700`,
      {
        hint: `Others could read what is half done. Close it with: chmod 0700 ${layout.staging}`,
      },
    );
  }
  mkdirSync(layout.partial, { recursive: true, mode: 0o700 });
}

export function findLeftovers(layout: Layout): Leftovers {
  const leftovers: Leftovers = { trees: [], clones: [], foreign: [], commands: [] };
  const trees = (lstatIfThere(layout.staging) ? readdirSync(layout.staging) : [])
    .map((name) => ({ path: join(layout.staging, name), name }))
    .map((tree) => ({ ...tree, changed: lstatIfThere(tree.path)?.ctimeNs ?? 0n }))
    .sort((a, b) => (a.changed < b.changed ? 1 : -1));
  for (const { path, name } of trees) {
    if (name.endsWith(CLONE)) leftovers.clones.push(path);
    else if (name.endsWith(FOREIGN)) leftovers.foreign.push(path);
    else if (isCommandTree(name)) leftovers.commands.push(path);
    else if (isSnapshotId(name)) leftovers.trees.push(path);
  }
  return leftovers;
}

/** Marks a tree as one to copy from, but not to go on from. */
export function keepToCopyFrom(tree: string): void {
  renameSync(tree, `${tree}+${randomUUID()}${FOREIGN}`);
}

/**
 * Marks all trees as ones that somebody else may still be writing to. rsync goes on from a partial
 * file in place and then publishes that very inode, so what another holds open must not be one.
 */
export function markForeign(layout: Layout): void {
  const mark = `+${randomUUID()}`;
  // Another contender for the lock may do the same at the same time.
  const rename = (from: string, to: string) => ifThere(() => renameSync(from, to));
  for (const tree of findLeftovers(layout).trees) rename(tree, tree + mark + FOREIGN);
  rename(layout.partial, layout.partial + mark);
  mkdirSync(layout.partial, { recursive: true, mode: 0o700 });
  const copy = constants.COPYFILE_FICLONE;
  for (const name of ifThere(() => readdirSync(layout.partial + mark, { encoding: 'latin1' })) ??
    []) {
    copyFileSync(bytePath(layout.partial + mark, name), bytePath(layout.partial, name), copy);
  }
}
