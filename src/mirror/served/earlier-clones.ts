import { randomUUID } from 'node:crypto';
import { readdirSync, renameSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { ifAllowed, ifThere, lstatIfThere } from '../../system/files.ts';
import {
  describeMounts,
  type MountElsewhere,
  mountsElsewhere,
  wayToMountAbove,
} from '../../system/mounted-elsewhere.ts';
import { isWithin } from '../../system/mounts.ts';
import { makeOwnDirectory } from '../../system/own-files.ts';
import { pathsInUse } from '../../system/paths-in-use.ts';
import { seesAllProcesses } from '../../system/proc.ts';
import { quoteForSh } from '../../system/quote.ts';
import { isShared } from '../../system/shared-filesystem.ts';
import { discard, moveTree } from '../discard.ts';
import type { Layout } from '../layout.ts';
import { addedNames, describeAdded } from '../plan/added-names.ts';

/** A clone that was served before. */
export interface EarlierClone {
  path: string;
  /** The snapshot of which it is one; undefined where an earlier version did not say. */
  id: string | undefined;
  /** It is known to have something in it that somebody put there. */
  isKept: boolean;
}

const EARLIER = /^(?:(?<id>.+)\+)?[0-9a-f-]{36}(?<kept>\.kept)?$/;

/** @returns none where this user may not look. */
export function earlierClones(layout: Layout): EarlierClone[] {
  const names = ifAllowed(() => ifThere(() => readdirSync(layout.superseded))) ?? [];
  return names.map((name) => {
    const { id, kept } = EARLIER.exec(name)?.groups ?? {};
    return { path: join(layout.superseded, name), id, isKept: kept !== undefined };
  });
}

/** A clone that is kept for what somebody put into it, or may have put. */
export interface KeptClone {
  path: string;
  /** Its snapshot, if that is gone: then nobody knows what was put into the clone. */
  lostId?: string;
}

export function keptClones(layout: Layout): KeptClone[] {
  return earlierClones(layout)
    .filter(({ isKept }) => isKept)
    .map(({ path, id }) =>
      id === undefined || isThere(layout, id) ? { path } : { path, lostId: id },
    );
}

/** A clone that is mounted in another place. What looks there sees it, whatever is published. */
export interface MountedClone {
  path: string;
  mounts: MountElsewhere[];
}

/** @returns those that this user may see. */
export function mountedClones(
  layout: Layout,
  clones = earlierClones(layout),
  uses = clones.length === 0 ? [] : pathsInUse(layout.superseded),
): MountedClone[] {
  return clones
    .map(({ path }) => ({
      path,
      mounts: mountsElsewhere(uses.filter((use) => isWithin(use.path, path))),
    }))
    .filter(({ mounts }) => mounts.length > 0);
}

/** For people. */
export function describeMounted({ path, mounts }: MountedClone): string {
  const verb = mounts.length === 1 ? 'shows' : 'show';
  return `${describeMounts(mounts)} still ${verb} ${path}, which was served before`;
}

/** For a person, too. */
export function wayOutOfMounts({ mounts }: MountedClone): string {
  return wayToMountAbove(mounts);
}

/** For a person, about a clone whose snapshot is gone. */
export function commandToMoveAway(layout: Layout, path: string): string {
  const to = join(dirname(layout.root), basename(path));
  return `mv -T ${quoteForSh(path)} ${quoteForSh(to)}`;
}

/**
 * Discards the clones that were served before and that no process uses. Where processes may be
 * invisible, those of other users, containers or hosts, they stay for the grace time as well. A clone
 * into which somebody has put something stays in any case.
 *
 * @returns what a person has to know of the latter, and of those that are mounted in another place.
 */
export async function forgetUnused(
  layout: Layout,
  graceMs: number,
  signal: AbortSignal,
): Promise<string[]> {
  const clones = earlierClones(layout);
  if (clones.length === 0) return [];
  // Before the look at what is in them: nobody can enter them any more.
  const uses = pathsInUse(layout.superseded);
  const used = new Set(uses.map(({ path }) => relative(layout.superseded, path).split('/')[0]));
  const kept = mountedClones(layout, clones, uses).map(
    (clone) => `${describeMounted(clone)}; ${wayOutOfMounts(clone)}`,
  );
  const isSeen = seesAllProcesses() && !isShared(layout.root);
  for (const clone of clones) {
    const { path } = clone;
    if (used.has(basename(path)) || (!isSeen && isInGrace(path, graceMs))) continue;
    const why = await whyKept(layout, clone, signal);
    if (why === undefined) discard(layout, path);
    else kept.push(why);
  }
  return kept;
}

/** Marks a clone that has to stay, for `status`. @returns undefined if it may go. */
async function whyKept(
  layout: Layout,
  { path, id, isKept }: EarlierClone,
  signal: AbortSignal,
): Promise<string | undefined> {
  if (id === undefined) return undefined;
  const isKnown = isThere(layout, id);
  const added = isKnown ? await addedNames(path, layout.snapshot(id), signal) : [];
  if (isKnown && added.length === 0) return undefined;
  const now = isKept ? path : `${path}.kept`;
  renameSync(path, now);
  if (!isKnown) {
    return `${now} was served before, and stays: the snapshot ${id} is gone, without which nobody knows what was put into it. Move it away with: ${commandToMoveAway(layout, now)}`;
  }
  const verb = added.length === 1 ? 'was' : 'were';
  return `${now} was served before, and stays: ${describeAdded(added)} in it ${verb} not put there by the mirror. Move that elsewhere, and the next sync removes the rest, for which the snapshot ${id} is kept`;
}

function isThere(layout: Layout, id: string): boolean {
  return lstatIfThere(layout.snapshot(id)) !== undefined;
}

/** Its move set the ctime. One in the future is that of a clock that was wrong. */
function isInGrace(path: string, graceMs: number): boolean {
  const movedAt = Number((lstatIfThere(path)?.ctimeNs ?? 0n) / 1_000_000n);
  return Math.abs(Date.now() - movedAt) < graceMs;
}

/** Sets a tree aside as an earlier clone of the snapshot `id`. */
export function keepEarlier(layout: Layout, path: string, id: string): void {
  makeOwnDirectory(layout.superseded, 0o700);
  moveTree(path, join(layout.superseded, `${id}+${randomUUID()}`));
}
