import { chmodSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { ifThere, lstatIfThere, readTextIfThere, writeWhole } from '../system/files.ts';
import { quoteForSh } from '../system/quote.ts';
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
import { type CommandTreeRecord, checkCommandTree, parseJson } from './settings/records.ts';
import {
  commandTreeId,
  ctimeNow,
  findLeftovers,
  stagedClone,
  stagedCommandTree,
  stagedTree,
} from './staging.ts';

/** A tree in staging that a command of `lock` works on. */
export interface CommandTree {
  id: string;
  path: string;
  /** How it was cloned from `base`; `none` if it began empty. */
  clone: CloneMethod | 'none';
  /** The command may have changed entries with this ctime or a later one; ns since the epoch. */
  since: bigint;
}

export interface CommandTreeOptions {
  /** The id that `current` names. */
  base: string | undefined;
  /**
   * The command neither writes into existing files nor changes their attributes, so the tree may
   * share them with the published snapshot (I2).
   */
  hardLinksAreSafe: boolean;
  /** Begin with an empty tree instead of a clone of `base`. */
  isEmpty: boolean;
  /** Descriptors that the cloning program inherits. */
  inherit: readonly number[];
  signal: AbortSignal;
  onRefused: (method: CloneMethod, why: string) => void;
}

const RECORD = /^\.(.+)\.command\.json$/;

/** The record lies beside the tree, because everything inside the tree belongs to the command. */
function recordOf(layout: Layout, id: string): string {
  return join(layout.staging, `.${id}.command.json`);
}

/** A tree that an earlier command left. */
export interface LeftCommandTree extends CommandTree {
  wasTakenBack: boolean;
  obstacle: ResumeObstacle | undefined;
}

/** Why no command goes on from a tree that an earlier one left; the texts are for people. */
export interface ResumeObstacle {
  kind: 'restart' | 'other current';
  why: string;
  wayOut: string;
}

/**
 * The newest tree that an earlier command left, with its record. The next one can go on from it while
 * `current` is the same as when the tree was made, and if there was no restart since.
 *
 * @param current the id that `current` names.
 */
export function leftCommandTree(
  layout: Layout,
  current: string | undefined,
): LeftCommandTree | undefined {
  return recordedIds(layout)
    .map((id) => leftTree(layout, id, current))
    .filter((tree) => tree !== undefined)
    .sort((a, b) => (ctimeOf(a.path) < ctimeOf(b.path) ? 1 : -1))[0];
}

function leftTree(
  layout: Layout,
  id: string,
  current: string | undefined,
): LeftCommandTree | undefined {
  const checked = checkCommandTree(parseJson(readTextIfThere(recordOf(layout, id))));
  if (!('record' in checked)) return undefined;
  const { record } = checked;
  // After a crash between the two renames of a publication, recovery moved it to where sync works.
  const wasTakenBack = !lstatIfThere(stagedCommandTree(layout, id))?.isDirectory();
  const path = wasTakenBack ? stagedTree(layout, id) : stagedCommandTree(layout, id);
  if (!lstatIfThere(path)?.isDirectory()) return undefined;
  const { clone, since } = record;
  const obstacle = obstacleOf(layout, record, path, current);
  return { id, path, clone, since: BigInt(since), wasTakenBack, obstacle };
}

/**
 * Finds what keeps a command from going on from a tree that an earlier one left.
 *
 * @param path of the tree, in staging.
 * @param current the id that `current` names.
 */
export function resumeObstacle(
  layout: Layout,
  path: string,
  current: string | undefined,
): ResumeObstacle | undefined {
  return leftTree(layout, commandTreeId(path), current)?.obstacle;
}

function obstacleOf(
  layout: Layout,
  { base, trusted }: CommandTreeRecord,
  path: string,
  current: string | undefined,
): ResumeObstacle | undefined {
  const copy = `copy what is of use from ${path}`;
  if (trusted !== trustMark(layout)) {
    const why = 'the machine was restarted since, so it may be torn';
    return { kind: 'restart', why, wayOut: copy };
  }
  if (base === (current ?? null)) return undefined;
  const now = current === undefined ? 'nothing is current now' : `current is now ${current}`;
  const isThere = base !== null && lstatIfThere(layout.snapshot(base)) !== undefined;
  const back = `mirrorlatch rollback ${quoteForSh(layout.root)} ${base}`;
  return {
    kind: 'other current',
    why: `it was made from ${base ?? 'nothing'}, and ${now}`,
    wayOut: isThere ? `to go on from it, go back first with: ${back}` : copy,
  };
}

/**
 * Makes the tree `staging/ID.command` from the tree of an earlier command, as a clone of `base`, or
 * empty. Discards all other trees that commands left.
 *
 * @param left the tree to continue with, from `leftCommandTree`.
 * @throws MirrorlatchError as `cloneTree`.
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
  let clone: CommandTree['clone'] = 'none';
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

/** The methods that give the new tree files of its own, the cheapest first. */
function ownCopyMethods(layout: Layout, from: string): CloneMethod[] {
  if (!canReflink(layout.staging)) return isSubvolume(from) ? ['btrfs', 'copy'] : ['copy'];
  return isSubvolume(from) ? ['btrfs', 'reflink', 'copy'] : ['reflink', 'copy'];
}

/** Discards a tree that was published or is no longer wanted, and its record. */
export function forgetCommandTree(layout: Layout, { id, path }: CommandTree): void {
  if (lstatIfThere(path) !== undefined) discard(layout, path);
  rmSync(recordOf(layout, id), { force: true });
}

/**
 * Discards the trees that commands left, and their records.
 *
 * @param kept the tree to continue with, if any.
 * @returns the ids of the trees.
 */
export function discardCommandTrees(layout: Layout, kept?: CommandTree): string[] {
  const others = findLeftovers(layout).commands.filter((path) => path !== kept?.path);
  for (const path of others) discard(layout, path);
  for (const id of recordedIds(layout)) {
    if (id !== kept?.id) rmSync(recordOf(layout, id), { force: true });
  }
  return others.map(commandTreeId);
}

function recordedIds(layout: Layout): string[] {
  return (ifThere(() => readdirSync(layout.staging)) ?? [])
    .map((name) => RECORD.exec(name)?.[1])
    .filter((id) => id !== undefined);
}

function ctimeOf(path: string): bigint {
  return lstatIfThere(path)?.ctimeNs ?? 0n;
}
