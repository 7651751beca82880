import { mkdtempSync, realpathSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { type CheckReport, checkTree } from '../checks/check-tree.ts';
import { type Selection, selectionOf } from '../checks/selected.ts';
import { refuseUnverifiable } from '../checks/signature.ts';
import { asMirrorlatchError, MirrorlatchError } from '../errors.ts';
import { publicationOf, readHistory } from '../mirror/history/history.ts';
import { findMirror, type Mirror } from '../mirror/open.ts';
import { isLackOfSpace } from '../mirror/reserve.ts';
import {
  type CheckPolicy,
  DEFAULT_CHECK,
  type Given,
  isCheckWanted,
  withDefaults,
} from '../mirror/settings/policy.ts';
import { checkGroups } from '../mirror/settings/policy-rules.ts';
import { ifThere } from '../system/files.ts';
import { quoteForSh } from '../system/quote.ts';
import type { OnEvent } from '../writer/events.ts';
import { policyOf } from '../writer/policy.ts';
import { holdTree, idNamed } from './held-tree.ts';

export interface CheckOptions {
  /** A mirror, or any directory. */
  path: string;
  /** Of a mirror: a snapshot by its id or path, `current` (default), `previous`, or a channel. */
  id?: string | undefined;
  /** By default what the mirror remembers, or else `auto`. */
  check?: Given<Omit<CheckPolicy, 'publishesAnyway'>> | undefined;
  signal?: AbortSignal | undefined;
  onEvent?: OnEvent | undefined;
}

export interface CheckResult extends Omit<CheckReport, 'verified' | 'wrong' | 'advice'> {
  /** What was checked. */
  tree: string;
  /** Null for a directory. */
  id: string | null;
  /** Nothing was found to be wrong. */
  isRight: boolean;
}

/**
 * Checks a published snapshot, or any directory, as a sync would before its publication, and reads all that it
 * has to. Changes nothing. A snapshot is held meanwhile, as by any reader.
 *
 * @throws MirrorlatchError NO_MIRROR for what is not there, BUSY behind the gate of an in-place mirror,
 *   UNAVAILABLE without a program that it needs, CONFIGURATION without the keys.
 */
export async function check(options: CheckOptions): Promise<CheckResult> {
  const { path, id, signal = new AbortController().signal, onEvent = () => {} } = options;
  checkGroups({ check: options.check });
  const mirror = findMirror(path);
  const policy = policyFor(mirror, options);
  refuseUnverifiable(policy);
  const found = mirror === undefined ? directoryAt(path, id) : snapshotOf(mirror, id);
  let work: string | undefined;
  try {
    work = mkdtempSync(join(tmpdir(), 'mirrorlatch-check-'));
    onEvent({ kind: 'phase', phase: 'checking' });
    const {
      verified: _,
      wrong: _names,
      advice,
      ...report
    } = await checkTree({
      tree: found.tree,
      policy,
      work,
      selection: found.selection,
      env: { ...found.env, MIRRORLATCH_TREE: found.tree },
      inherit: found.inherit,
      signal,
      onProgress: (progress) => onEvent({ kind: 'progress', ...progress }),
    });
    return {
      tree: found.tree,
      id: found.id,
      isRight: report.count === 0,
      ...report,
      notes: [...report.notes, ...advice],
    };
  } catch (error) {
    const failure = `${found.tree} cannot be checked`;
    const isOfLists = work === undefined || isLackOfSpace(error);
    throw isOfLists ? noRoomForLists(error, failure, path) : asMirrorlatchError(error, failure);
  } finally {
    found.release();
    if (work !== undefined) rmSync(work, { recursive: true, force: true });
  }
}

/** Nothing is written but the lists that are compared. */
function noRoomForLists(error: unknown, failure: string, path: string): MirrorlatchError {
  const { code, message } = asMirrorlatchError(error, 'its lists cannot be written');
  const about = `${failure}: ${message}; they are in ${tmpdir()}`;
  return new MirrorlatchError(code === 'NO_SPACE' ? code : 'IO', about, {
    hint: `Make room there, or name another directory for them: TMPDIR=/var/tmp mirrorlatch check ${quoteForSh(path)}`,
    cause: error,
  });
}

function policyFor(
  mirror: Mirror | undefined,
  { check: given }: CheckOptions,
): Omit<CheckPolicy, 'publishesAnyway'> {
  const remembered = mirror === undefined ? DEFAULT_CHECK : policyOf(mirror.settings, {}).check;
  if (given?.kinds?.includes('none'))
    throw new MirrorlatchError('USAGE', 'with --check none there is nothing to check', {
      hint: 'Name a kind, or leave the option out.',
    });
  const policy = withDefaults(remembered, given);
  return isCheckWanted(policy) ? policy : { ...policy, kinds: ['auto'] };
}

/** What is to be checked. */
interface Found {
  tree: string;
  id: string | null;
  selection: Selection | undefined;
  env: Readonly<Record<string, string>>;
  inherit: readonly number[];
  release: () => void;
}

function snapshotOf({ layout }: Mirror, name: string | undefined): Found {
  const id = idNamed(layout, name);
  const { lease } = holdTree(layout, id);
  const made = publicationOf(readHistory(layout), id);
  return {
    tree: layout.snapshot(id),
    id,
    selection: made && selectionOf(made),
    env: { MIRRORLATCH_ROOT: layout.root, MIRRORLATCH_ID: id },
    inherit: [lease.descriptor],
    release: () => lease.release(),
  };
}

/** @throws MirrorlatchError NO_MIRROR, USAGE */
function directoryAt(path: string, id: string | undefined): Found {
  const tree = ifThere(() => realpathSync(resolve(path)));
  if (tree === undefined || !statSync(tree).isDirectory()) {
    throw new MirrorlatchError('NO_MIRROR', `${path} is no mirror and no directory`, {
      hint: 'Give the root or the name of a mirror, or any directory.',
    });
  }
  if (id !== undefined) {
    throw new MirrorlatchError('USAGE', `${path} is no mirror, and has no snapshot ${id}`, {
      hint: 'Name the directory alone to check it.',
    });
  }
  return { tree, id: null, selection: undefined, env: {}, inherit: [], release: () => {} };
}
