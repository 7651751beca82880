import { readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { errnoOf } from '../errors.ts';
import { ifThere, lstatIfThere } from '../system/files.ts';
import { halfAdopted, lostPath } from './adoption.ts';
import { currentId, previousId } from './current.ts';
import { discardedNames } from './discard.ts';
import { isInPlace, readGate, whyClosed } from './gate.ts';
import { becameCurrentAt, type HistoryEntry, readHistory } from './history.ts';
import { type Layout, LIVE } from './layout.ts';
import { isSnapshotId } from './snapshot-id.ts';
import { findLeftovers, type Leftovers } from './staging.ts';

/** Something that a crash left. Each is found by looking only, so that `status` can tell it. */
export type Finding =
  /** A tree that a killed sync worked on; the next sync goes on from it. */
  | { kind: 'unfinished-tree'; path: string }
  /** A tree that a command of `lock` worked on; the next one goes on from it. */
  | { kind: 'unfinished-command'; path: string }
  /** A clone that was not finished. */
  | { kind: 'unfinished-clone'; path: string }
  /** A tree that was renamed into `snapshots`, but `current` never named it. */
  | { kind: 'unpublished-snapshot'; id: string }
  /** `current` was flipped, but history does not tell. */
  | { kind: 'unrecorded-publication'; id: string }
  | { kind: 'missing-lease'; id: string }
  /** A lease whose snapshot was taken back or removed. */
  | { kind: 'stray-lease'; id: string }
  /** A snapshot was pruned, but history does not tell. */
  | { kind: 'unrecorded-removal'; id: string }
  /** A tree on its way to removal. */
  | { kind: 'unfinished-removal'; path: string }
  /** A lock directory that was being made or given back. */
  | { kind: 'lock-remains'; path: string }
  /** The tree of an in-place mirror is not whole, or its gate was left closed. */
  | { kind: 'unclean-gate'; why: string }
  /** A directory was being adopted, or given back, and its path is not what it should be. */
  | { kind: 'unfinished-adoption'; path: string };

/** The ids of all published trees, and of any that a crash left among them. */
export function snapshotIds(layout: Layout): string[] {
  return (ifThere(() => readdirSync(layout.snapshots)) ?? []).filter(isSnapshotId).sort();
}

/**
 * What an earlier crash left, as far as this user may look: only the mirror's owner sees what lies
 * behind the gate. While a sync runs, its own work shows up here too.
 */
export function survey(layout: Layout): Finding[] {
  const history = readHistory(layout);
  const current = currentId(layout);
  const findings: Finding[] = [];
  if (current !== undefined && !isRecordedAsCurrent(history, current)) {
    findings.push({ kind: 'unrecorded-publication', id: current });
  }
  const path = halfAdopted(layout) ?? lostPath(layout);
  if (path !== undefined) findings.push({ kind: 'unfinished-adoption', path });
  const ids = snapshotIds(layout).filter((id) => lstatIfThere(layout.snapshot(id))?.isDirectory());
  for (const id of ids) {
    const wasCurrent = id === current || becameCurrentAt(history, id) !== undefined;
    if (!wasCurrent && id !== previousId(layout) && isNewerThanCurrent(layout, id))
      findings.push({ kind: 'unpublished-snapshot', id });
    else if (!lstatIfThere(layout.lease(id))) findings.push({ kind: 'missing-lease', id });
  }
  for (const id of leaseIds(layout)) {
    if (!ids.includes(id)) findings.push({ kind: 'stray-lease', id });
  }
  for (const id of unpruned(history)) {
    if (!ids.includes(id)) findings.push({ kind: 'unrecorded-removal', id });
  }
  const why = isInPlace(layout) ? whyClosed(readGate(layout)) : undefined;
  if (why !== undefined) findings.push({ kind: 'unclean-gate', why });
  const { trees, clones, foreign, commands } =
    ifAllowed(() => findLeftovers(layout)) ?? noLeftovers;
  for (const path of [...trees, ...foreign]) findings.push({ kind: 'unfinished-tree', path });
  for (const path of commands) findings.push({ kind: 'unfinished-command', path });
  for (const path of clones) findings.push({ kind: 'unfinished-clone', path });
  for (const name of ifAllowed(() => discardedNames(layout)) ?? []) {
    findings.push({ kind: 'unfinished-removal', path: join(layout.trash, name) });
  }
  for (const name of ifThere(() => readdirSync(layout.state)) ?? []) {
    if (!name.startsWith(`${basename(layout.lockDirectory)}.`)) continue;
    findings.push({ kind: 'lock-remains', path: join(layout.state, name) });
  }
  return findings;
}

const noLeftovers: Leftovers = { trees: [], clones: [], foreign: [], commands: [] };

function ifAllowed<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch (error) {
    if (errnoOf(error) === 'EACCES') return undefined;
    throw error;
  }
}

function leaseIds(layout: Layout): string[] {
  return (ifThere(() => readdirSync(layout.leases)) ?? []).filter(isSnapshotId).sort();
}

/** The ids of all snapshots that, as far as history goes, are still there. */
function unpruned(history: readonly HistoryEntry[]): Set<string> {
  const ids = new Set<string>();
  for (const entry of history) {
    if (entry.event === 'published' || entry.event === 'rolled-back') ids.add(entry.id);
    if (entry.event === 'pruned') ids.delete(entry.id);
  }
  // It is never pruned, and is no snapshot.
  ids.delete(LIVE);
  return ids;
}

function isRecordedAsCurrent(history: readonly HistoryEntry[], id: string): boolean {
  const last = history.findLast(
    (entry) => entry.event === 'published' || entry.event === 'rolled-back',
  );
  return last !== undefined && last.id === id;
}

/**
 * What a crash left unpublished came after the last flip. A snapshot from before it that history
 * does not know was published all the same: then it is history that was lost, and readers may be in.
 */
function isNewerThanCurrent(layout: Layout, id: string): boolean {
  const flipped = lstatIfThere(layout.current)?.ctimeNs;
  const moved = lstatIfThere(layout.snapshot(id))?.ctimeNs;
  return flipped === undefined || moved === undefined || moved > flipped;
}
