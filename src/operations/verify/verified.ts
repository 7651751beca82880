import type { Given, LockPolicy } from '../../mirror/settings/policy.ts';
import type { DamageKind } from '../../mirror/sums/compare.ts';
import type { OnEvent } from '../../writer/events.ts';

export interface VerifyOptions {
  root: string;
  /** A snapshot, by its id or path, `current` (default), `previous`, or a channel. */
  id?: string | undefined;
  /** All snapshots. */
  all?: boolean | undefined;
  /** Read the content of the files, too, and hold it against what was recorded, or else what a repository says. */
  bitrot?: boolean | undefined;
  /** Read what has no checksum, too, and record it, and whatever else was not recorded at publication. */
  record?: boolean | undefined;
  /** How many files are read at a time. */
  jobs?: number | undefined;
  /** Let all other programs have the processors and disks first. */
  idle?: boolean | undefined;
  /** For the result in the history and for what is recorded. */
  lock?: Given<LockPolicy> | undefined;
  signal?: AbortSignal | undefined;
  onEvent?: OnEvent | undefined;
}

/** What became of one tree. */
export interface VerifiedTree {
  id: string;
  /** Since when it is known what the tree should be; null if nothing of that was recorded. */
  recordedAt: string | null;
  isCurrent: boolean;
  /** That was not at its publication. */
  isRecordedLate: boolean;
  /** Nothing was recorded of it before, and by now all of it is. */
  isRecordedNow: boolean;
  /** What is wrong with the record; null if nothing is. */
  recordDamage: string | null;
  /** Those that are there and were recorded. */
  entries: number;
  /** Regular files that may be whole, and those of them of which no checksum was recorded. */
  files: number;
  unknown: number;
  /** How many of the unknown were held against what a repository in the tree says of them. */
  checked: number;
  /** How many entries are not as they were recorded. */
  damaged: number;
}

/** An entry that is not as it was recorded. */
export interface Damage {
  id: string;
  /** Printable; `nameBytes` is the exact name in hexadecimal where that differs. */
  name: string;
  nameBytes?: string;
  kind: DamageKind;
  expected: string;
  found: string;
  /** The file of a repository that says what is expected, printable; empty if that was recorded. */
  by: string;
  /** Other snapshots, or names in them, that share the very file. */
  alsoIn: string[];
}

export interface VerifyResult {
  root: string;
  /** All is as it was recorded, as far as was looked at. */
  isWhole: boolean;
  /** A sync of the mirror looks no further while its stamps or its list of files are the same. */
  isProbed: boolean;
  trees: VerifiedTree[];
  /** The first of them. */
  damage: Damage[];
  /** What was read; null if only names, types, sizes, times and modes were compared. */
  read: { files: number; bytes: number; seconds: number } | null;
}
