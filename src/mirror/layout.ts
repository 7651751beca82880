import { join } from 'node:path';

/** The id that stands for the one tree of an in-place mirror. */
export const LIVE = 'live';

/**
 * Where everything of a mirror lies. Every path of the project's own is made here.
 *
 * ```
 * ROOT/current -> snapshots/ID        ROOT/previous -> snapshots/ID
 * ROOT/snapshots/ID/                  complete and frozen
 * ROOT/.mirrorlatch/                  0755, never inside an rsync target
 *   mirror.json  history.jsonl  logs/ID.log
 *   settings.flock                  held while mirror.json is changed
 *   leases/ID                         empty, 0444: a reader holds a shared flock on it
 *   reader                            the standalone client, see src/reader/reader.sh
 *   sync.flock                        the writer's kernel lock, inherited by rsync
 *   sync.lock/TOKEN/                  the writer's lock across hosts, see SyncLock
 *   staging/                          0700, the gate
 *     ID.clone/                       a clone of `current` that is being made
 *     ID/                             a tree that rsync works on, or worked on when it was killed
 *     ID.foreign/                     one to copy from only: its rsync may still run on another host
 *     ID.command/  .ID.command.json   what a command of `lock` works on, and how it was made
 *     .partial/                       rsync's --partial-dir
 *     .boot                           the boot and the disk since when all of this is trusted
 *   trash/                            0700, on the way to removal
 *   served  superseded/               0700, for a served directory, see serveDirectory
 * ```
 *
 * A mirror that is written in place has one tree, which is called `live`, and no snapshots:
 *
 * ```
 * ROOT/current -> gate/live
 * ROOT/gate/live/                     the tree; the mode of `gate` is closed while it is written
 * ROOT/.mirrorlatch/gate.json         whether it may be read
 * ROOT/.mirrorlatch/gate.flock        readers hold a shared flock on it
 * ```
 */
export interface Layout {
  readonly root: string;
  readonly current: string;
  readonly previous: string;
  readonly snapshots: string;
  readonly state: string;
  readonly settings: string;
  readonly settingsLock: string;
  readonly history: string;
  readonly logs: string;
  readonly leases: string;
  readonly reader: string;
  readonly kernelLock: string;
  readonly lockDirectory: string;
  readonly staging: string;
  readonly partial: string;
  readonly bootMark: string;
  readonly trash: string;
  /** The id of what the served directory is a clone of, see `served-directory.ts`. */
  readonly served: string;
  /** Clones that were served before, while somebody stands in them. */
  readonly superseded: string;
  /** The directory above the tree of an in-place mirror. */
  readonly gate: string;
  readonly gateRecord: string;
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
    snapshots,
    state,
    settings: join(state, 'mirror.json'),
    settingsLock: join(state, 'settings.flock'),
    history: join(state, 'history.jsonl'),
    logs,
    leases,
    reader: join(state, 'reader'),
    kernelLock: join(state, 'sync.flock'),
    lockDirectory: join(state, 'sync.lock'),
    staging,
    partial: join(staging, '.partial'),
    bootMark: join(staging, '.boot'),
    trash: join(state, 'trash'),
    served: join(state, 'served'),
    superseded: join(state, 'superseded'),
    gate,
    gateRecord: join(state, 'gate.json'),
    snapshot: (id) => (id === LIVE ? join(gate, LIVE) : join(snapshots, id)),
    lease: (id) => (id === LIVE ? join(state, 'gate.flock') : join(leases, id)),
    log: (id) => join(logs, `${id}.log`),
  };
}

/** What `current` and `previous` hold for a snapshot. */
export function snapshotLink(id: string): string {
  return id === LIVE ? `gate/${LIVE}` : `snapshots/${id}`;
}

/** The directories that everybody may enter. */
export function directoriesOf(layout: Layout, mode: 'snapshots' | 'in-place'): string[] {
  const trees = mode === 'in-place' ? [layout.gate] : [layout.snapshots, layout.leases];
  return [...trees, layout.logs];
}
