import { chmodSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ifThere, lstatIfThere, readTextIfThere, writeWhole } from '../system/files.ts';
import {
  type CloneMethod,
  canReflink,
  cloneMethodsFor,
  cloneTree,
  isSubvolume,
  makeEmptyTree,
} from './clone.ts';
import { discard } from './discard.ts';
import { trustMark } from './distrust.ts';
import type { Layout } from './layout.ts';
import { type CommandTreeRecord, checkCommandTree, parseJson } from './records.ts';
import { isCommandTree, stagedClone, stagedCommandTree, stagedTree } from './staging.ts';

/** A tree that a command of the user's works on, behind the gate. */
export interface CommandTree {
  id: string;
  path: string;
  /** How it was made of `base`. */
  clone: CloneMethod | 'none';
  /** The ctime from which on the command may have touched it. */
  since: bigint;
}

export interface CommandTreeOptions {
  /** The id that `current` names. */
  base: string | undefined;
  /** The command writes no file in place, nor sets attributes of one: it may share them (I2). */
  hardLinksAreSafe: boolean;
  /** Begin with an empty tree, whatever there is. */
  isEmpty: boolean;
  inherit: readonly number[];
  signal: AbortSignal;
  onRefused: (method: CloneMethod, why: string) => void;
}

const RECORD = /^\.(.+)\.command\.json$/;

/** Where the record of a tree lies: beside it, for within it is the command's. */
function recordOf(layout: Layout, id: string): string {
  return join(layout.staging, `.${id}.command.json`);
}

/**
 * What an earlier command left that the next can go on from. A tree stays worth that as long as
 * `current` is what it was made of, and no restart has left its content in doubt; a record without a
 * tree, and a tree without a record, are worth nothing.
 */
export function leftCommandTree(
  layout: Layout,
  base: string | undefined,
): (CommandTree & { wasTakenBack: boolean }) | undefined {
  return recordedIds(layout)
    .map((id) => leftTree(layout, id, base))
    .filter((tree) => tree !== undefined)
    .sort((a, b) => (ctimeOf(a.path) < ctimeOf(b.path) ? 1 : -1))[0];
}

function leftTree(layout: Layout, id: string, base: string | undefined) {
  const checked = checkCommandTree(parseJson(readTextIfThere(recordOf(layout, id))));
  if (!('record' in checked)) return undefined;
  const { record } = checked;
  // A crash between the two renames of a publication: recovery has put it where sync keeps its own.
  const wasTakenBack = !lstatIfThere(stagedCommandTree(layout, id))?.isDirectory();
  const path = wasTakenBack ? stagedTree(layout, id) : stagedCommandTree(layout, id);
  const isGood = record.base === (base ?? null) && record.trusted === trustMark(layout);
  if (!isGood || !lstatIfThere(path)?.isDirectory()) return undefined;
  return { id, path, clone: record.clone, since: BigInt(record.since), wasTakenBack };
}

/**
 * Makes the tree `staging/ID.command`: of what an earlier command left, of `current`, or empty. All
 * else that commands left is thrown away.
 *
 * @param left what `leftCommandTree` found, unless that is not wanted.
 */
export async function makeCommandTree(
  layout: Layout,
  id: string,
  left: CommandTree | undefined,
  options: CommandTreeOptions,
): Promise<CommandTree> {
  const { base, hardLinksAreSafe, isEmpty, inherit, signal, onRefused } = options;
  const path = stagedCommandTree(layout, id);
  discardCommandTrees(layout, left);
  const record = (tree: CommandTree): CommandTree => {
    const facts: CommandTreeRecord = {
      base: base ?? null,
      clone: tree.clone,
      trusted: trustMark(layout),
      since: String(tree.since),
    };
    writeWhole(recordOf(layout, id), `${JSON.stringify(facts)}\n`, 0o600);
    return tree;
  };
  const isShared = left?.clone === 'hardlink' && !hardLinksAreSafe;
  if (left !== undefined && !isShared) {
    const tree = record({ ...left, id, path });
    if (left.path !== path) renameSync(left.path, path);
    if (left.id !== id) rmSync(recordOf(layout, left.id), { force: true });
    return tree;
  }
  const fresh = stagedClone(layout, id);
  const from = left?.path ?? (base === undefined || isEmpty ? undefined : layout.snapshot(base));
  let clone: CloneMethod | 'none' = 'none';
  if (from === undefined) {
    await makeEmptyTree(fresh, 'auto');
    chmodSync(fresh, 0o755);
  } else {
    const methods = hardLinksAreSafe ? cloneMethodsFor(from, 'auto') : ownCopyMethods(layout, from);
    clone = await cloneTree(from, fresh, { methods, inherit, signal, onRefused });
  }
  const since = left?.since ?? ctimeNow(layout);
  const tree = record({ id, path, clone, since });
  if (left !== undefined) discard(layout, left.path);
  renameSync(fresh, path);
  return tree;
}

/** The ways that give the new tree files of its own, the cheapest first. */
function ownCopyMethods(layout: Layout, from: string): CloneMethod[] {
  if (!canReflink(layout.staging)) return isSubvolume(from) ? ['btrfs', 'copy'] : ['copy'];
  return isSubvolume(from) ? ['btrfs', 'reflink', 'copy'] : ['reflink', 'copy'];
}

/** Forgets a tree that was published, or is not wanted any more. */
export function forgetCommandTree(layout: Layout, { id, path }: CommandTree): void {
  if (lstatIfThere(path) !== undefined) discard(layout, path);
  rmSync(recordOf(layout, id), { force: true });
}

function discardCommandTrees(layout: Layout, kept: CommandTree | undefined): void {
  for (const name of readdirSync(layout.staging)) {
    const path = join(layout.staging, name);
    if (isCommandTree(name) && path !== kept?.path) discard(layout, path);
  }
  for (const id of recordedIds(layout)) {
    if (id !== kept?.id) rmSync(recordOf(layout, id), { force: true });
  }
}

function recordedIds(layout: Layout): string[] {
  return (ifThere(() => readdirSync(layout.staging)) ?? [])
    .map((name) => RECORD.exec(name)?.[1])
    .filter((id) => id !== undefined);
}

/** The ctime that a file of the mirror gets that is touched now; ns since the epoch. */
export function ctimeNow(layout: Layout): bigint {
  const path = join(layout.staging, '.stamp');
  writeFileSync(path, '', { mode: 0o600 });
  const stamp = ctimeOf(path);
  rmSync(path);
  return stamp;
}

function ctimeOf(path: string): bigint {
  return lstatIfThere(path)?.ctimeNs ?? 0n;
}
