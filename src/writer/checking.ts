import { mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type CheckReport, checkTree } from '../checks/check-tree.ts';
import { describeCounts, describeFinding } from '../checks/finding.ts';
import { selectionOf } from '../checks/selected.ts';
import { recordVerified, verifiedIn } from '../checks/verified.ts';
import { wayOut } from '../checks/way-out.ts';
import { hasCode, MirrorlatchError, NOTHING_PUBLISHED } from '../errors.ts';
import type { SyncFigures } from '../mirror/history/history.ts';
import type { FindingRecord } from '../mirror/history/history-line.ts';
import { type Layout, LIVE } from '../mirror/layout.ts';
import { isLackOfSpace } from '../mirror/reserve.ts';
import { isCheckWanted } from '../mirror/settings/policy.ts';
import { processUser } from '../system/proc.ts';
import { quoteForSh } from '../system/quote.ts';
import type { Writer } from './writer.ts';

/** So many findings are all named in a message. */
const FEW = 3;

/** The names of the entries that the last check has found wrong, see `readNames`; not there if none are. */
export function namesOfWrong({ staging }: Layout): string {
  return join(staging, '.wrong');
}

/**
 * Checks a finished tree as the mirror's policy has it, before it is published.
 *
 * @param tree its path, as in staging.
 * @param figures how it was made.
 * @param isOfHook the tree was right until the hook before the publication changed it.
 * @returns what history keeps of that.
 * @throws MirrorlatchError CHECK_FAILED when anything is wrong, unless it is to be published anyway.
 */
export async function checkContent(
  writer: Writer,
  id: string,
  tree: string,
  figures: SyncFigures,
  isOfHook = false,
): Promise<Pick<SyncFigures, 'checked'>> {
  const { layout, policy, inherit, signal, before } = writer;
  if (!isCheckWanted(policy.check)) return {};
  writer.enter('checking');
  const work = join(layout.staging, '.check');
  for (const old of [work, namesOfWrong(layout)]) rmSync(old, { recursive: true, force: true });
  mkdirSync(work, { mode: 0o700 });
  try {
    const isInPlace = id === LIVE;
    const known = verifiedIn(layout);
    // The last check may have been of a tree that was not published.
    const isOfReaders = isInPlace || known?.id === before;
    const report = await checkTree({
      tree,
      policy: policy.check,
      work,
      base: before === undefined || isInPlace ? undefined : layout.snapshot(before),
      selection: selectionOf(figures),
      known: isOfReaders ? known : known && { lines: known.lines },
      isInPlace,
      env: { MIRRORLATCH_ROOT: layout.root, MIRRORLATCH_ID: id, MIRRORLATCH_TREE: tree },
      inherit,
      signal,
      onProgress: (progress) => writer.onEvent({ kind: 'progress', ...progress }),
    });
    // What stays so every night is said once.
    const advice = before === undefined ? report.advice : [];
    for (const note of [...report.notes, ...advice]) writer.notice(note);
    const { kinds, files, count, wrong } = report;
    if (wrong !== undefined) renameSync(wrong, namesOfWrong(layout));
    if (count > 0) refuse(writer, report, isOfHook);
    else if (kinds.length === 0 && policy.check.command === '')
      writer.notice('there was nothing to check: the tree says nothing of itself');
    writer.lock.assertHeld();
    keepVerified(writer, id, tree, report);
    const excepted = report.excepted.filter((one) => one.count > 0);
    const checked = {
      ...{ kinds: kinds.map(({ kind }) => kind), files, findings: count },
      ...(policy.check.keyring === '' ? {} : { keyring: policy.check.keyring }),
      ...(policy.check.content ? { content: true } : {}),
      ...(count === 0 ? {} : { wrong: recordsOf(report.findings), anyway: { by: thisUser() } }),
      ...(excepted.length === 0 ? {} : { excepted }),
    };
    return { checked };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function thisUser(): string {
  return processUser(process.pid) ?? '?';
}

/** What cannot be kept is read again by the next sync; but room for it is made, as for all else. */
function keepVerified(writer: Writer, id: string, tree: string, { verified }: CheckReport): void {
  try {
    recordVerified(writer.layout, id, tree, verified);
  } catch (error) {
    if (isLackOfSpace(error)) throw error;
    writer.reportProblem(error, 'what was found right could not be kept for the next check');
  }
}

/** How many findings of a check history keeps. */
const MOST_KEPT = 20;

/** What history keeps of findings: the first of them. */
export function recordsOf(findings: readonly FindingRecord[]): FindingRecord[] {
  return findings.slice(0, MOST_KEPT).map(({ name, kind, expected, found, by }) => {
    return { name, kind, expected, found, by };
  });
}

/** @throws MirrorlatchError CHECK_FAILED, unless a person has said that it is to be published. */
function refuse(
  { layout, policy, settings, hooks, onEvent }: Writer,
  report: CheckReport,
  isOfHook: boolean,
): void {
  const { findings, count, counts, tookTooLong } = report;
  const isFew = count <= FEW;
  const shown = findings.slice(0, isFew ? FEW : 1).map(describeFinding);
  const found = isFew
    ? shown.join('; ')
    : `${count} findings (${describeCounts(counts)}), the first: ${shown.join('')}`;
  const isOfCommand = counts.kinds.every(({ kind }) => kind === 'command');
  const what =
    (isOfHook ? 'after the hook before-publish, ' : '') +
    (isOfCommand
      ? `the command of the check says no: ${found}`
      : `the new tree is not what it says of itself: ${found}`);
  if (policy.check.publishesAnyway) {
    onEvent({ kind: 'problem', message: `${what}. It is published all the same` });
    return;
  }
  const out = isOfHook
    ? `Mend the hook: the tree was right before it.${hooks.placeOf('before-publish')} To go on without any hook: --no-hooks`
    : wayOut(
        { kinds: counts.kinds.map(({ kind }) => kind), first: findings[0] },
        quoteForSh(policy.check.keyring),
      );
  const root = quoteForSh(layout.root);
  const isInPlace = settings.mode === 'in-place';
  throw new MirrorlatchError('CHECK_FAILED', isInPlace ? what : what + NOTHING_PUBLISHED, {
    hint: `${out}. To see what was found: mirrorlatch explain ${root}`,
    details: {
      ...{ findings, count },
      ...(isOfHook ? { isOfHook } : {}),
      ...(isOfCommand && tookTooLong ? { tookTooLong } : {}),
    },
  });
}

/** Whether a sync should look at its source again, which may be in the middle of its own update. */
export function mayHeal(error: unknown): error is MirrorlatchError<'CHECK_FAILED'> {
  if (!hasCode(error, 'CHECK_FAILED')) return false;
  const { isOfHook, tookTooLong } = error.details;
  return !isOfHook && !tookTooLong;
}
