import { mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { errnoOf, hasCode } from '../errors.ts';
import type { CheckKind, CheckPolicy } from '../mirror/settings/policy.ts';
import { type Line, linesIn, nameOfKey, sortedLines } from '../mirror/sums/lines.ts';
import { Instant } from '../mirror/trees/instant.ts';
import { Turns } from '../system/event-loop.ts';
import { optimizeCode } from '../system/heap.ts';
import { alpine } from './alpine/alpine.ts';
import { apt } from './apt/apt.ts';
import { arch } from './arch.ts';
import { findBeginnings } from './beginnings.ts';
import { parseClaim } from './claims.ts';
import { askCommand } from './command.ts';
import { compareClaims, type Progress } from './compare.ts';
import { describeExcepted, type Excepted } from './exceptions.ts';
import { A_FILE, type CheckFinding, type FindingCounts } from './finding.ts';
import { MOST_THREADS, type Reading } from './hash-threads.ts';
import type { Head } from './heads.ts';
import type { Kind } from './kind.ts';
import { npm } from './npm/npm.ts';
import { pypi } from './pypi/pypi.ts';
import { rpmMd } from './rpm-md.ts';
import { seenFiles } from './seen-files.ts';
import { choosesBySize, type Selection, selectedOf } from './selected.ts';
import { Session, type SessionOptions } from './session.ts';
import { sha256sums } from './sha256sums.ts';

const KINDS: { readonly [Name in CheckKind]: Kind } = {
  sha256sums,
  apt,
  'rpm-md': rpmMd,
  arch,
  alpine,
  pypi,
  npm,
};

export interface CheckRequest {
  tree: string;
  policy: Omit<CheckPolicy, 'publishesAnyway'>;
  /** An empty directory for files. */
  work: string;
  /** The tree that readers have now, if that is another one. */
  base?: string | undefined;
  /** By what the tree was chosen from its source; undefined if that is not known. */
  selection?: Selection | undefined;
  /** What was found right before, see `verifiedIn`; without heads, those of `base` are looked for. */
  known?: Partial<Known> | undefined;
  /**
   * Asks only whether files are what is said of them, and not those on these sorted lines, of which that is known
   * otherwise.
   */
  contentBeside?: Iterable<Line> | undefined;
  isInPlace?: boolean | undefined;
  /** By default by as many threads as are good for a disk. */
  reading?: Reading | undefined;
  /** For the command. */
  env: Readonly<Record<string, string>>;
  inherit: readonly number[];
  signal: AbortSignal;
  onProgress?: ((progress: Progress) => void) | undefined;
}

/** What a check has found right, which the next one of the same mirror need not read again. */
export interface Known {
  heads: readonly Head[];
  /** Sorted, see `verifiedLine`. */
  lines: Iterable<Line>;
}

/** So many files are looked up one by one sooner than the whole tree is listed; bytes of claims. */
const FEW_CLAIMS = 1024 ** 2;

const READING: Reading = { jobs: MOST_THREADS, isIdle: false };

/** What a check of a tree came to. */
export interface CheckReport {
  /** Those of which the tree had any. */
  kinds: { kind: CheckKind; found: number }[];
  /** The files of which something was said. */
  files: number;
  /** Those of them whose content was held against a checksum. */
  summed: number;
  read: { files: number; bytes: number };
  /** The command of a person was asked. */
  asked: boolean;
  /** It took longer than it may. */
  tookTooLong: boolean;
  /** How many of them were left out of the tree on purpose. */
  leftOut: number;
  /** The first of them. */
  findings: CheckFinding[];
  count: number;
  counts: FindingCounts;
  /** What of them a person has excepted, which is not counted: a line for each pattern. */
  excepted: Excepted[];
  /** What a person should know, a sentence each. */
  notes: string[];
  /** What a person should know who sets the check up, a sentence each. */
  advice: string[];
  /** What was found right. */
  verified: Known;
  /** A file with the names of the entries that are wrong, see `readNames`; undefined if there are none. */
  wrong: string | undefined;
}

/**
 * Checks a tree by what the repositories in it say of themselves, and by a person's own command. Nothing of the
 * tree has to fit into memory but the first findings.
 *
 * @throws MirrorlatchError UNAVAILABLE without a program that it needs, CONFIGURATION without the keys, IO when
 *   the tree cannot be read.
 */
export async function checkTree(request: CheckRequest): Promise<CheckReport> {
  const { tree, policy, work, base, selection, known = {}, inherit, signal } = request;
  const { contentBeside, isInPlace = false, reading = READING, onProgress = () => {} } = request;
  const isComplete = selection !== undefined;
  const { keyring, content, except } = policy;
  const where = { tree, work, base, isComplete, now: Date.now(), inherit, signal };
  const isOfContentAlone = contentBeside !== undefined;
  const options = { ...where, keyring, content, except, isOfContentAlone, reading };
  const isAuto = policy.kinds.includes('auto');
  const wanted = Object.values(KINDS).filter(({ name }) => isAuto || policy.kinds.includes(name));
  const isWanted = ({ kind }: Head) => wanted.some(({ name }) => name === kind);
  const heads = known.heads?.filter(isWanted) ?? (await headsOfBase(wanted, options));
  const session = new Session(options, heads);
  const asked = policy.command !== '';
  // First: what it changes, which it should not, is then checked as well.
  const start = asked ? new Instant({ staging: work }) : undefined;
  const tookTooLong = asked && (await askCommand(policy, tree, request.env, session));
  // After the clock was set back, no time says what is older than the command.
  const since = start?.isClockSetBack() ? 0n : start?.ctime;
  // Millions of lines are parsed.
  optimizeCode();
  const kinds: CheckReport['kinds'] = [];
  const beginnings = await findBeginnings(wanted, session);
  for (const [kind, names] of beginnings) {
    const { complaints } = session;
    const found = await kind.read(names, session);
    if (found > 0) kinds.push({ kind: kind.name, found });
    else if (session.complaints === complaints && policy.kinds.includes(kind.name))
      session.findings.add('.', 'missing', `a ${kind.what} for the check ${kind.name}`, 'none');
  }
  session.heads.miss(session);
  session.close();
  const isLarge = statSync(session.claimsPath).size > FEW_CLAIMS;
  const [claims, files] = await Promise.all([
    sortedLines([session.claimsPath], join(work, 'claims.sorted'), options),
    isLarge ? seenFiles(tree, join(work, 'files'), options) : [],
  ]);
  const said = { claims, known: known.lines ?? [], settled: contentBeside ?? [], files };
  const compared = await compareClaims(said, { isInPlace, since }, session, onProgress);
  session.findings.settle();
  const leftOut =
    compared.missing === undefined
      ? 0
      : await judgeMissing(linesIn(compared.missing), selection, session);
  const { list, count, counts } = session.findings;
  const lines = await sortedLines([compared.verified], join(work, 'verified.sorted'), options);
  const verified = { heads: session.heads.list, lines };
  const { summed, read } = compared;
  const wrong = session.findings.close();
  const { used: excepted } = session.exceptions;
  const notes = [...session.notes, ...excepted.map(describeExcepted)];
  const found = { findings: list, count, counts, excepted, wrong };
  return {
    kinds,
    files: compared.files,
    summed,
    read,
    asked,
    tookTooLong,
    leftOut,
    ...found,
    notes,
    advice: [...session.advice],
    verified,
  };
}

/** The heads of the tree that readers have now, where no check has kept them: it may have had none, or another tree. */
async function headsOfBase(
  kinds: readonly Kind[],
  { base, work, ...options }: SessionOptions,
): Promise<Head[]> {
  if (base === undefined || options.isOfContentAlone) return [];
  const own = join(work, 'base');
  mkdirSync(own, { mode: 0o700 });
  const unsigned = { ...options, keyring: '', content: false };
  const session = new Session({ ...unsigned, tree: base, base: undefined, work: own });
  const beginnings = await findBeginnings(kinds, session);
  for (const [kind, names] of beginnings) {
    await kind.read(names, session).catch((error: unknown) => {
      // What was published before keeps nothing back.
      if (!isOutOfReach(error)) throw error;
    });
  }
  session.close();
  session.findings.close();
  return session.heads.list;
}

/** Whether a file may not be read, or its compression not be undone, on this host. */
function isOutOfReach(error: unknown): boolean {
  return hasCode(error, 'UNAVAILABLE') || ['EACCES', 'EPERM'].includes(errnoOf(error) ?? '');
}

/** @returns how many of those that are not there were left out on purpose. */
async function judgeMissing(
  missing: Iterable<Line>,
  selection: Selection | undefined,
  { findings, notes, options }: Session,
): Promise<number> {
  const needsSize = selection !== undefined && choosesBySize(selection);
  let unknown = 0;
  const files = {
    *[Symbol.iterator]() {
      for (const { key, said } of missing) {
        const { size } = parseClaim(said);
        if (size === undefined && needsSize) unknown += 1;
        else yield { name: nameOfKey(key), size };
      }
    },
  };
  const selected = selection && (await selectedOf(files, selection, options));
  const turns = new Turns(options.signal);
  let leftOut = 0;
  for (const { key, said } of missing) {
    await turns.step();
    const name = nameOfKey(key);
    if (selected?.has(name) ?? true)
      findings.add(name, 'missing', A_FILE, 'nothing', parseClaim(said).by);
    else leftOut += 1;
  }
  if (unknown > 0)
    notes.add(
      `${unknown} missing files may have been left out by their sizes, which their lists do not say`,
    );
  return leftOut;
}
