import { readdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { ifAllowed, ifThere, lstatIfThere } from '../system/files.ts';
import { mountOf } from '../system/mounts.ts';
import { exclusivelyLocked } from '../system/proc.ts';
import { divertedPath, halfAdopted, lostPath } from './adoption.ts';
import { channelsById, channelsOf } from './channels/channels.ts';
import { type ResumeObstacle, resumeObstacle } from './command-tree.ts';
import { currentId, previousId } from './current.ts';
import { announcedId } from './current-file.ts';
import { discardedNames } from './discard.ts';
import {
  becameCurrentAt,
  type HistoryEntry,
  lastFlip,
  pruneFailureOf,
  publicationOf,
  readHistory,
} from './history/history.ts';
import { type ChannelMove, type Flip, indexOf } from './history/history-index.ts';
import { namedBy } from './history/link-moves.ts';
import { type Layout, LIVE } from './layout.ts';
import { isInPlace, readGate } from './locks/gate.ts';
import { holdersOf, type NamedProcess } from './locks/lock-state.ts';
import { type Obstacle, obstacleAt, wayOutOf } from './locks/obstacle.ts';
import {
  type KeptClone,
  keptClones,
  type MountedClone,
  mountedClones,
} from './served/earlier-clones.ts';
import { readSettings } from './settings/settings.ts';
import { isSnapshotId } from './snapshot-id.ts';
import { findLeftovers, type Leftovers } from './staging.ts';

/** Something that a crash left. All are found by looking only, so that `status` can list them. */
export type Finding =
  /** A tree of a sync that was killed, or failed. The next sync continues with it. */
  | { kind: 'unfinished-tree'; path: string }
  /** A tree that a command of `lock` worked on. `lock --resume` goes on from it if nothing prevents that. */
  | { kind: 'unfinished-command'; path: string; obstacle: ResumeObstacle | null }
  | { kind: 'unfinished-clone'; path: string }
  /** A tree that was renamed into `snapshots`, but `current` never named it. */
  | { kind: 'unpublished-snapshot'; id: string }
  /** `current` is gone. By history it named this snapshot, which is there. */
  | { kind: 'missing-current'; id: string }
  /** `current` was flipped, but history does not record it; `announced` is what `current.json` names, if that is another. */
  | { kind: 'unrecorded-publication'; id: string; announced?: string }
  /** `previous` names what is current, as within a flip. By history it named this snapshot. */
  | { kind: 'lost-previous'; id: string }
  /** A channel names this snapshot, but history does not record that. */
  | { kind: 'unrecorded-promotion'; channel: string; id: string }
  /** By history there is a channel that names this snapshot, but it is gone. */
  | { kind: 'missing-channel'; channel: string; id: string }
  /** A channel names a snapshot that is gone. */
  | { kind: 'broken-channel'; channel: string; id: string }
  | { kind: 'missing-lease'; id: string }
  /** A process keeps the lease locked exclusively, and so keeps readers from holding the snapshot. */
  | { kind: 'locked-lease'; id: string; processes: NamedProcess[] }
  /** A lease whose snapshot was moved back to staging or removed. */
  | { kind: 'stray-lease'; id: string }
  /** A snapshot was pruned, but history does not record it. */
  | { kind: 'unrecorded-removal'; id: string }
  /** A snapshot that no rule keeps could not be removed. */
  | { kind: 'failed-removal'; id: string; why: string }
  /** A tree in the trash. */
  | { kind: 'unfinished-removal'; path: string }
  /** A clone that was served before, with something in it that somebody put there, or may have put. */
  | ({ kind: 'kept-clone' } & KeptClone)
  /** A clone that was served before, and that a mount in another place still shows. */
  | ({ kind: 'mounted-clone' } & MountedClone)
  /** A lock directory that was being made or released. */
  | { kind: 'lock-remains'; path: string }
  /** The tree of an in-place mirror is not whole, or its gate was left closed. */
  | ({ kind: 'unclean-gate'; wayOut: string | null } & Omit<Obstacle, 'isNew'>)
  /** A directory was being adopted or given back, and its path is not as it should be. */
  | { kind: 'unfinished-adoption'; path: string }
  /** At the adopted path, readers find something else than what is current. */
  | { kind: 'diverted-adoption'; path: string }
  /** A tree that a person put into `snapshots`. It is left alone, and no sign of a fault. */
  | { kind: 'foreign-tree'; id: string };

/**
 * The ids of all trees in `snapshots`, including any that a crash left unpublished, or a person put
 * there. A symlink is no tree.
 */
export function snapshotIds(layout: Layout): string[] {
  const entries = ifThere(() => readdirSync(layout.snapshots, { withFileTypes: true })) ?? [];
  return entries
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
    .filter(isSnapshotId)
    .sort();
}

/**
 * Whether a tree in `snapshots` is a person's own: neither history nor a lease names it, and a
 * publication makes the lease before the tree comes there. So it may be without `current`, too, as before
 * the first publication, and after an adopted directory was given back.
 */
export function isOfPerson(
  layout: Layout,
  history: readonly HistoryEntry[],
): (id: string) => boolean {
  const [current, previous] = [currentId(layout), previousId(layout)];
  return (id) =>
    ![current, previous].includes(id) &&
    becameCurrentAt(history, id) === undefined &&
    lstatIfThere(layout.lease(id)) === undefined;
}

/** Whether a tree in `snapshots` is what a crash left of a publication that did not get as far as `current`. */
export function neverCurrent(
  layout: Layout,
  history: readonly HistoryEntry[],
): (id: string) => boolean {
  const [current, previous] = [currentId(layout), previousId(layout)];
  const isForeign = isOfPerson(layout, history);
  const ids = snapshotIds(layout).filter((id) => !isForeign(id));
  const inChannels = channelsById(layout);
  const isLate = current === undefined ? isFirst(layout, history, ids) : isNewerThan(layout);
  return (id) =>
    ![current, previous].includes(id) &&
    !inChannels.has(id) &&
    becameCurrentAt(history, id) === undefined &&
    isLate(id);
}

/**
 * Finds what an earlier crash left, as far as this user can see: only the mirror's owner can look
 * into staging. The work of a running sync appears here too.
 */
export function survey(
  layout: Layout,
  history: readonly HistoryEntry[] = readHistory(layout),
): Finding[] {
  const findings: Finding[] = [];
  const lost = lostCurrent(layout, history);
  if (lost !== undefined) findings.push({ kind: 'missing-current', id: lost });
  const unrecorded = unrecordedFlip(layout, history);
  if (unrecorded !== undefined) {
    const { id } = unrecorded;
    const announced = announcedId(layout, 'current') ?? id;
    const kind = 'unrecorded-publication';
    findings.push(announced === id ? { kind, id } : { kind, id, announced });
  }
  const previous = lostPrevious(layout, history);
  if (previous !== undefined) findings.push({ kind: 'lost-previous', id: previous });
  findings.push(...(ifAllowed(() => findingsOfChannels(layout, history)) ?? []));
  findings.push(...(ifAllowed(() => findingsAtAdopted(layout)) ?? []));
  const ids = new Set(snapshotIds(layout));
  const leases = new Set(leaseIds(layout));
  const isForeign = isOfPerson(layout, history);
  const isUnpublished = neverCurrent(layout, history);
  for (const id of ids) {
    if (isForeign(id)) {
      findings.push({ kind: 'foreign-tree', id });
      continue;
    }
    if (isUnpublished(id)) findings.push({ kind: 'unpublished-snapshot', id });
    else if (!leases.has(id)) findings.push({ kind: 'missing-lease', id });
    const why = pruneFailureOf(history, id);
    if (why !== undefined) findings.push({ kind: 'failed-removal', id, why });
  }
  for (const id of leases) {
    if (!ids.has(id) && isLease(layout, id)) findings.push({ kind: 'stray-lease', id });
  }
  for (const id of unpruned(history)) {
    if (!ids.has(id)) findings.push({ kind: 'unrecorded-removal', id });
  }
  const obstacle = obstacleAt(layout);
  if (obstacle !== undefined && !obstacle.isNew) {
    const { isNew: _, ...found } = obstacle;
    const wayOut = wayOutOf(layout, readGate(layout), obstacle) ?? null;
    findings.push({ kind: 'unclean-gate', ...found, wayOut });
  }
  const { trees, clones, foreign, commands } =
    ifAllowed(() => findLeftovers(layout)) ?? noLeftovers;
  for (const path of [...trees, ...foreign]) findings.push({ kind: 'unfinished-tree', path });
  for (const path of commands) {
    const obstacle = resumeObstacle(layout, path, currentId(layout)) ?? null;
    findings.push({ kind: 'unfinished-command', path, obstacle });
  }
  for (const path of clones) findings.push({ kind: 'unfinished-clone', path });
  for (const name of ifAllowed(() => discardedNames(layout)) ?? []) {
    findings.push({ kind: 'unfinished-removal', path: join(layout.trash, name) });
  }
  for (const clone of keptClones(layout)) findings.push({ kind: 'kept-clone', ...clone });
  for (const clone of mountedClones(layout)) findings.push({ kind: 'mounted-clone', ...clone });
  for (const name of ifThere(() => readdirSync(layout.state)) ?? []) {
    if (!name.startsWith(`${basename(layout.lockDirectory)}.`)) continue;
    findings.push({ kind: 'lock-remains', path: join(layout.state, name) });
  }
  return findings;
}

/** What is wrong with the adopted path, which a host that only reads the mirror need not have. */
function findingsAtAdopted(layout: Layout): Finding[] {
  if (mountOf(layout.state)?.isReadOnly) return [];
  const unfinished = halfAdopted(layout) ?? lostPath(layout);
  if (unfinished !== undefined) return [{ kind: 'unfinished-adoption', path: unfinished }];
  const diverted = divertedPath(layout);
  return diverted === undefined ? [] : [{ kind: 'diverted-adoption', path: diverted }];
}

/** The directories that this user may not look into, so that `survey` misses what is left there. */
export function unseenPlaces(layout: Layout): string[] {
  const unread = [layout.staging, layout.trash].filter(
    (path) => ifAllowed(() => ifThere(() => readdirSync(path)) ?? []) === undefined,
  );
  const isUnseen = ifAllowed(() => findingsAtAdopted(layout)) === undefined;
  const adopted = readSettings(layout)?.adopted;
  return isUnseen && adopted !== undefined ? [...unread, dirname(adopted)] : unread;
}

const noLeftovers: Leftovers = { trees: [], clones: [], foreign: [], commands: [] };

function leaseIds(layout: Layout): string[] {
  return (ifThere(() => readdirSync(layout.leases)) ?? []).filter(isSnapshotId).sort();
}

/** A lease is empty. What is not is a person's own. */
function isLease(layout: Layout, id: string): boolean {
  const found = lstatIfThere(layout.lease(id));
  return found?.isFile() === true && found.size === 0n;
}

/**
 * Leases that a process keeps locked exclusively. No crash leaves that, so `survey` does not look for
 * them: to show /proc/locks, the kernel waits for all its CPUs, which takes 10 ms or more.
 */
export function lockedLeases(layout: Layout): Finding[] {
  const ids = [...leaseIds(layout), ...(isInPlace(layout) ? [LIVE] : [])];
  const locked = new Set(exclusivelyLocked(ids.map((id) => layout.lease(id))));
  return ids
    .filter((id) => locked.has(layout.lease(id)))
    .map((id) => ({ kind: 'locked-lease', id, processes: holdersOf(layout.lease(id)) }));
}

/** The ids of all snapshots that exist according to history. */
function unpruned(history: readonly HistoryEntry[]): string[] {
  // The tree of an in-place mirror is not a snapshot, and never pruned.
  return [...indexOf(history).unpruned].filter((id) => id !== LIVE);
}

/** The line that history lacks, if the flip to what `current` names is not its last. */
export function unrecordedFlip(layout: Layout, history: readonly HistoryEntry[]): Flip | undefined {
  const id = currentId(layout);
  if (id === undefined || lastFlip(history)?.id === id) return undefined;
  const flipped = lstatIfThere(layout.current)?.mtimeMs ?? Date.now();
  const previous = previousId(layout);
  return {
    event: publicationOf(history, id) ? 'rolled-back' : 'published',
    at: new Date(Number(flipped)).toISOString(),
    id,
    previous: previous === undefined || previous === id ? null : previous,
  };
}

function findingsOfChannels(layout: Layout, history: readonly HistoryEntry[]): Finding[] {
  const channels = channelsOf(layout);
  const broken = channels
    .filter(({ isWhole }) => !isWhole)
    .map(({ name, id }): Finding => ({ kind: 'broken-channel', channel: name, id }));
  const unrecorded = unrecordedMoves(layout, history).map((move): Finding => {
    if (move.event === 'promoted')
      return { kind: 'unrecorded-promotion', channel: move.channel, id: move.id };
    return { kind: 'missing-channel', channel: move.channel, id: move.previous };
  });
  return [...broken, ...unrecorded];
}

/** The lines that history lacks, if channels do not name what it says, or are gone. */
export function unrecordedMoves(layout: Layout, history: readonly HistoryEntry[]): ChannelMove[] {
  const { moves } = indexOf(history);
  const channels = channelsOf(layout);
  const moved = channels.flatMap(({ name, id, isWhole }): ChannelMove[] => {
    const last = moves.get(name)?.at(-1);
    const previous = last === undefined ? null : namedBy(last);
    if (previous === id || !isWhole) return [];
    const at = new Date(Number(lstatIfThere(layout.channel(name))?.mtimeMs ?? Date.now()));
    const flip = { at: at.toISOString(), channel: name, id, previous };
    const isLost = previous === null ? { isLost: true } : {};
    return [{ event: 'promoted', ...flip, by: 'recovery', ...isLost }];
  });
  const gone = [...moves.values()].flatMap((ofChannel): ChannelMove[] => {
    const last = ofChannel.at(-1);
    if (last?.event !== 'promoted') return [];
    const { channel, id } = last;
    if (channels.some(({ name }) => name === channel)) return [];
    return [{ event: 'channel-removed', at: new Date().toISOString(), channel, previous: id }];
  });
  return [...moved, ...gone];
}

/** What `current` named, if it is gone: it exists from the first publication on (I3). */
function lostCurrent(layout: Layout, history: readonly HistoryEntry[]): string | undefined {
  if (lstatIfThere(layout.current) !== undefined || halfAdopted(layout) !== undefined)
    return undefined;
  const id = lastFlip(history)?.id;
  return id !== undefined && lstatIfThere(layout.snapshot(id))?.isDirectory() ? id : undefined;
}

/**
 * What `previous` named before a flip that was killed between its two renames; undefined unless that
 * snapshot is there. A flip that is under way looks the same.
 */
export function lostPrevious(layout: Layout, history: readonly HistoryEntry[]): string | undefined {
  const current = currentId(layout);
  if (current === undefined || previousId(layout) !== current) return undefined;
  const last = lastFlip(history);
  if (last?.id !== current || last.previous === null) return undefined;
  return snapshotIds(layout).find((id) => id === last.previous);
}

/**
 * Without `current`, one snapshot may be what a crash left of the first publication. That is certain
 * only if the first sync has not ended yet according to the settings. Otherwise `current` was lost, and
 * the snapshots were published.
 */
function isFirst(
  layout: Layout,
  history: readonly HistoryEntry[],
  ids: readonly string[],
): (id: string) => boolean {
  const isPublished =
    lastFlip(history) !== undefined || lstatIfThere(layout.previous) !== undefined;
  const isCertain =
    !isPublished && ids.length === 1 && readSettings(layout)?.firstSync !== undefined;
  return () => isCertain;
}

/**
 * A snapshot that a crash left unpublished is newer than the last flip, and so is its lease if it
 * has one. An older one that is not in history was published: the history was lost, and readers may
 * be using the snapshot. The ctime alone is no proof, because in a copy of a mirror it is that of the
 * copy, nor is the lease's mtime, because a missing lease is made again.
 */
function isNewerThan(layout: Layout): (id: string) => boolean {
  const flip = lstatIfThere(layout.current);
  return (id) => {
    const tree = lstatIfThere(layout.snapshot(id));
    const lease = lstatIfThere(layout.lease(id));
    if (flip === undefined || tree === undefined) return false;
    return tree.ctimeNs > flip.ctimeNs && (lease === undefined || lease.mtimeNs > flip.mtimeNs);
  };
}
