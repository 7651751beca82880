import type { HistoryDigest, SnapshotFigures } from './history-digest.ts';

/** A mirror to report on. */
export interface LookedAt {
  readonly name: string;
  /** Where its URLs begin; a slash at both ends. */
  readonly prefix: string;
  /** Where what is current begins; a slash at both ends. */
  readonly content: string;
  readonly root: string;
  /** `foreign`: another program keeps `current`. */
  readonly kind: 'snapshots' | 'in-place' | 'foreign';
  /** What the server calls the tree that `current` of another program names. */
  currentId?(): string | undefined;
}

/** How the mirrors of a server are; also `/status.json`. Times are ISO 8601, UTC; null is unknown or none. */
export interface StatusReport {
  format: 1;
  host: string;
  madeAt: string;
  /** A mirror is stale when its last successful sync is older than this; ms. */
  maxAgeMs: number | null;
  mirrors: MirrorReport[];
}

/** Of a mirror that another program keeps, history, source and snapshots are unknown. */
export interface MirrorReport extends Omit<HistoryDigest, 'figures'> {
  name: string;
  /** Where its URLs begin; a slash at both ends. */
  prefix: string;
  /** Where what is current begins; a slash at both ends. */
  content: string;
  kind: LookedAt['kind'];
  /** Why the server cannot look at it, then nothing more is known, or its clients cannot read it. */
  unreadable: string | null;
  /** Without the user in it. */
  source: string | null;
  current: CurrentReport | null;
  previous: string | null;
  /** The newest first; empty for a mirror in place. */
  snapshots: SnapshotReport[];
  /** Which process holds the writer's lock, and how far it is. */
  work: WorkReport | null;
  /** What keeps guarded readers out of a mirror in place. */
  gate: GateReport | null;
  /** Why nothing is published until a person releases it. */
  hold: { reason: string; by: string; since: string } | null;
  /** What was published in the last 24 hours. */
  lastDay: DayReport | null;
  /** The share of files or bytes that may vanish in one publication. */
  maxShrinkPercent: number | null;
  pins: PinReport | null;
  /** Locks on the leases of all snapshots, the server's own for its pins included. */
  leases: number | null;
  /** What an earlier crash left, a clause each; unknown while a writer is at work. */
  left: readonly string[];
  /** Directories in which more may be left, but that the server's user may not look into. */
  unseen: readonly string[];
  /** The file that holds what rsync said when the last sync failed. */
  failureLog: string | null;
  damagedHistoryLines: number;
  /** The snapshots in which `verify` found damage, and in how many of their entries. */
  damaged: readonly { id: string; entries: number }[];
}

interface CurrentReport extends SnapshotFigures {
  id: string;
  /** When `current` came to name it. */
  since: string | null;
}

export interface SnapshotReport {
  id: string;
  publishedAt: string | null;
  files: number | null;
  bytes: number | null;
  leases: number;
  pins: number;
}

export interface WorkReport {
  /** `silent`: it has died, or its host has not been heard of for longer than a sync waits for it. */
  state: 'running' | 'silent';
  command: string | null;
  user: string | null;
  host: string | null;
  pid: number | null;
  since: string | null;
  phase: string | null;
  /** The share of the phase that is done, 0 to 1. */
  done: number | null;
}

export interface GateReport {
  /** A predicate for the tree. */
  why: string;
  state: 'closed' | 'dirty' | 'new';
  isClosedByHand: boolean;
}

export interface DayReport {
  publications: number;
  newFiles: number;
  deletedFiles: number;
  newBytes: number;
}

export interface PinReport {
  /** Clients whose runs have not ended, known by address and User-Agent. */
  pins: number;
  /** Those that clients asked for by POST. */
  strictPins: number;
  /** How long ago the oldest run of a client began. */
  oldestSeconds: number | null;
}

/** What the server's pins say of one mirror. */
export interface PinFigures extends PinReport {
  /** Pins of both kinds, by snapshot. */
  byId: ReadonlyMap<string, number>;
}
