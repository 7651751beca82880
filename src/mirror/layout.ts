import { basename, dirname, join } from 'node:path';
import { MirrorlatchError } from '../errors.ts';

/** The id of the only tree of an in-place mirror. */
export const LIVE = 'live';

/**
 * The paths of everything in a mirror. Other files only append names to these.
 *
 * ```
 * ROOT/current -> snapshots/ID        ROOT/previous -> snapshots/ID
 * ROOT/current.json                   what `current` names, for readers that come by HTTP
 * ROOT/CHANNEL -> snapshots/ID        what one class of machines reads, see `channels.ts`
 * ROOT/CHANNEL.json                   the same of a channel
 * ROOT/snapshots/ID/                  complete and frozen
 * ROOT/.mirrorlatch/                  0755, never inside an rsync target
 *   mirror.json  history.jsonl  logs/ID.log
 *   file-list.json                  the snapshot that agrees with its list of files
 *   marks.json                      pins and tags of snapshots
 *   notices.json                    what people were told of the mirror without asking
 *   settings.flock                  held while one of these three is changed
 *   wish  wish.flock                somebody wishes a sync; held by whoever makes it
 *   time-probe                      empty: its time tells whether nanoseconds are stored
 *   leases/ID                         empty, 0444: a reader holds a shared flock on it
 *   reader                            the standalone reader, see src/reader/reader.sh
 *   sync.flock                        the writer's kernel lock, inherited by rsync
 *   sync.lock/TOKEN/                  the writer's lock across hosts, see SyncLock
 *   staging/                          0700, sealed
 *     ID.clone/                       a clone of `current` in the making
 *     ID/                             a tree that rsync works on, or worked on when it was killed
 *     ID+UUID.foreign/                only to copy from: its rsync may still run on another host
 *     ID.command/  .ID.command.json   a tree that a command of `lock` works on, and its record
 *     .partial/                       rsync's --partial-dir
 *     .spare/  .spare.mark            a pruned snapshot, for the next sync to recycle
 *     .basis/                         earlier versions of new files, for rsync to take parts from
 *     .sizes.json                     of directories before a command of `lock` in place
 *     .boot                           the boot and disk under which all of this is trusted
 *   changes/ID                        0600: the names in which a snapshot differs from its base
 *   checked                           0600: which files of a snapshot checks have found right
 *   trash/                            0700, trees to be removed
 *   reserve/                          files that are given up when the disk is full
 *   served  superseded/               0700, for a served directory, see serveDirectory
 * ```
 *
 * An in-place mirror has one tree, `live`, and no snapshots:
 *
 * ```
 * ROOT/current -> gate/live
 * ROOT/gate/live/                     the tree; `gate` is 0700 while the tree is written
 * ROOT/.mirrorlatch/gate.json         whether the tree may be read
 * ROOT/.mirrorlatch/gate.flock        readers hold a shared flock on it
 * ```
 */
export interface Layout {
  readonly root: string;
  readonly current: string;
  readonly previous: string;
  /** See `current-json.ts`. */
  readonly currentJson: string;
  readonly snapshots: string;
  readonly state: string;
  readonly settings: string;
  readonly settingsLock: string;
  /** See `marks.ts`. */
  readonly marks: string;
  /** See `planNotices`. */
  readonly notices: string;
  /** See `coalesce`. */
  readonly wish: string;
  readonly wishLock: string;
  readonly timeProbe: string;
  /** See `listed-record.ts`. */
  readonly fileList: string;
  readonly history: string;
  readonly logs: string;
  readonly leases: string;
  readonly reader: string;
  readonly kernelLock: string;
  readonly lockDirectory: string;
  readonly staging: string;
  readonly partial: string;
  /** See `makeBasis`. */
  readonly basis: string;
  readonly bootMark: string;
  /** See `recycle.ts`. */
  readonly spare: string;
  /** Says which snapshot `spare` was. */
  readonly spareMark: string;
  /** See `changes.ts`. */
  readonly changes: string;
  /** See `sums/record.ts`. */
  readonly sums: string;
  /** See `verifiedIn`. */
  readonly checked: string;
  readonly trash: string;
  /** See `reserve.ts`. */
  readonly reserve: string;
  /** Says what the served directory is a clone of, and which directories are clones of ours. */
  readonly served: string;
  /** Clones that were served before and that processes may still use. */
  readonly superseded: string;
  /** The directory above the tree of an in-place mirror. */
  readonly gate: string;
  readonly gateRecord: string;
  channel(name: string): string;
  /** What says to readers that come by HTTP what `current` or a channel names: see `announcement.ts`. */
  announcement(name: string): string;
  snapshot(id: string): string;
  lease(id: string): string;
  log(id: string): string;
}

/** @param root absolute and without symlinks. */
export function layoutOf(root: string): Layout {
  const state = join(root, '.mirrorlatch');
  const snapshots = join(root, 'snapshots');
  const leases = join(state, 'leases');
  const logs = join(state, 'logs');
  const staging = join(state, 'staging');
  const gate = join(root, 'gate');
  return {
    root,
    current: join(root, 'current'),
    previous: join(root, 'previous'),
    currentJson: join(root, 'current.json'),
    snapshots,
    state,
    settings: join(state, 'mirror.json'),
    settingsLock: join(state, 'settings.flock'),
    marks: join(state, 'marks.json'),
    notices: join(state, 'notices.json'),
    wish: join(state, 'wish'),
    wishLock: join(state, 'wish.flock'),
    timeProbe: join(state, 'time-probe'),
    fileList: join(state, 'file-list.json'),
    history: join(state, 'history.jsonl'),
    logs,
    leases,
    reader: join(state, 'reader'),
    kernelLock: join(state, 'sync.flock'),
    lockDirectory: join(state, 'sync.lock'),
    staging,
    partial: join(staging, '.partial'),
    basis: join(staging, '.basis'),
    bootMark: join(staging, '.boot'),
    spare: join(staging, '.spare'),
    spareMark: join(staging, '.spare.mark'),
    changes: join(state, 'changes'),
    sums: join(state, 'sums'),
    checked: join(state, 'checked'),
    trash: join(state, 'trash'),
    reserve: join(state, 'reserve'),
    served: join(state, 'served'),
    superseded: join(state, 'superseded'),
    gate,
    gateRecord: join(state, 'gate.json'),
    channel: (name) => join(root, name),
    announcement: (name) => join(root, `${name}.json`),
    snapshot: (id) => (id === LIVE ? join(gate, LIVE) : join(snapshots, id)),
    lease: (id) => (id === LIVE ? join(state, 'gate.flock') : join(leases, id)),
    log: (id) => join(logs, `${id}.log`),
  };
}

/** The names in ROOT that are the mirror's. */
export function ownNames(layout: Layout): string[] {
  const { state, snapshots, current, previous, currentJson, gate } = layout;
  return [state, snapshots, current, previous, currentJson, gate].map((path) => basename(path));
}

/** The root of the mirror in which a path lies, judging by its names alone; undefined if none. */
export function rootByName(path: string): string | undefined {
  const above = dirname(path);
  if (above === path) return undefined;
  return ownNames(layoutOf(above)).includes(basename(path)) ? above : rootByName(above);
}

/** The target of the symlinks `current` and `previous`. */
export function snapshotLink(id: string): string {
  return id === LIVE ? `gate/${LIVE}` : `snapshots/${id}`;
}

/** The directories that every user may enter. */
export function directoriesOf(layout: Layout, mode: 'snapshots' | 'in-place'): string[] {
  const trees = mode === 'in-place' ? [layout.gate] : [layout.snapshots, layout.leases];
  return [...trees, layout.logs];
}

/** The error for an empty ROOT, which would otherwise mean the working directory. */
export function emptyName(): MirrorlatchError {
  return new MirrorlatchError('USAGE', 'the name of the mirror is empty', {
    hint: 'Is a variable unset? For the working directory write: .',
  });
}
