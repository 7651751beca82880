import { describeExcepted } from '../../checks/exceptions.ts';
import { describeVerified } from '../../mirror/describe-verified.ts';
import { describeLeftOut } from '../../mirror/plan/left-out.ts';
import { HELD_BY_READER, WITHIN_GRACE } from '../../mirror/retention/retention.ts';
import { describeWritable } from '../../mirror/trees/writable.ts';
import { showTime } from '../../mirror/units.ts';
import type { Asked, Facts } from '../../operations/explain.ts';
import type { SnapshotInfo } from '../../operations/list.ts';
import type { MirrorStatus } from '../../operations/status.ts';
import { quoteForSh } from '../../system/quote.ts';
import { MENDED_BY_ITS_FILLER } from '../mending.ts';
import { describeReaders } from '../readers.ts';
import { nameOfTree } from '../terminal.ts';
import { type Answer, answer } from './answer.ts';

/** How many snapshots are told of in one answer. */
const MOST = 10;

/** Why the snapshots beside the current one are still there. */
export function keptAnswer(facts: Facts): Answer[] {
  const { status, pruning } = facts;
  const root = quoteForSh(status.root);
  const question = 'Why are old snapshots still there?';
  const others = status.snapshots.filter(({ isCurrent }) => !isCurrent);
  if (status.mode === 'in-place' || others.length === 0) return [];
  if ('problem' in pruning) return [answer(question, [pruning.problem])];
  const told = others.slice(-MOST).map((info) => `${info.id} ${whyKept(info, facts)}`);
  const more = others.length - told.length;
  return [
    answer(question, more > 0 ? [`of ${others.length}, these are the last ${MOST}`] : [], {
      quoted: told,
      command: `mirrorlatch prune ${root} --dry-run`,
    }),
  ];
}

/** All about one snapshot. */
export function askedAnswers(facts: Facts, asked: Asked): Answer[] {
  const root = quoteForSh(facts.status.root);
  if ('prunedAt' in asked) {
    const when = `it was pruned at ${showTime(asked.prunedAt)}`;
    return [
      answer(`Why is ${asked.id} gone?`, [when, 'no rule kept it any more, and nobody read it'], {
        command: `mirrorlatch history ${root} --event pruned`,
      }),
    ];
  }
  const { id, info, closedMode } = asked;
  const { pruning } = facts;
  const isRemovable = !('problem' in pruning) && pruning.removed.includes(id);
  return [
    answer(`Why was ${id} not pruned?`, [`it ${whyKept(info, facts)}`], {
      command: isRemovable ? `mirrorlatch prune ${root}` : `mirrorlatch prune ${root} --dry-run`,
    }),
    ...accessAnswers(facts, info, closedMode),
  ];
}

/** A predicate. */
function whyKept(info: SnapshotInfo, { status, pruning, graceUntil }: Facts): string {
  const { id, readers, leases } = info;
  if ('problem' in pruning) return `stays: ${pruning.problem}`;
  if (status.mode === 'in-place')
    return 'is the only tree of a mirror in place, which is never pruned';
  const failed = pruning.failed.find((one) => one.id === id);
  if (failed !== undefined) return `is kept by no rule, but ${failed.message}`;
  if (pruning.removed.includes(id))
    return 'is kept by no rule, and nobody reads it: the next prune or publication removes it';
  const kept = pruning.kept.find((one) => one.id === id);
  if (kept === undefined) return isOther(status.findings, id);
  const until = graceUntil.get(id);
  const reasons = kept.reasons.map((reason) =>
    reason === WITHIN_GRACE && until !== undefined ? `${reason}, until ${showTime(until)}` : reason,
  );
  const shown = describeReaders(readers, leases);
  const readBy = shown === '' ? [] : [`is read by ${shown}`];
  // The names say more than the reason.
  const others =
    readBy.length === 0 ? reasons : reasons.filter((reason) => reason !== HELD_BY_READER);
  return [...others, ...readBy].join(', and ');
}

/** What the rules do not count. */
function isOther(findings: Facts['status']['findings'], id: string): string {
  const isForeign = findings.some((found) => found.kind === 'foreign-tree' && found.id === id);
  return isForeign
    ? 'was not made by mirrorlatch, and nothing changes or removes it'
    : 'was made but never current: the next sync takes care of it';
}

/** Who can read or change a tree, and what it lacks. */
export function accessAnswers(
  { status }: Facts,
  { id, writableByAll, leftOut }: SnapshotInfo,
  closedMode: string | null,
): Answer[] {
  const root = quoteForSh(status.root);
  const mend = (change: string) => ({ command: `mirrorlatch sync ${root} -- --chmod=${change}` });
  const frozen =
    'A published snapshot is never changed: the next one has the modes that its sync makes';
  return [
    ...(closedMode === null
      ? []
      : [
          answer(
            'Why can some users not read it?',
            [`the top directory of ${id} has the mode ${closedMode}, as its source has`, frozen],
            mend('a+rX'),
          ),
        ]),
    ...(writableByAll === null || writableByAll.count === 0
      ? []
      : [
          answer(
            'Why can every user change it?',
            [describeWritable(writableByAll), 'The source has these modes', frozen],
            mend('o-w'),
          ),
        ]),
    ...(leftOut.length === 0
      ? []
      : [
          answer(
            'What does it lack of its source?',
            leftOut.map((one) => describeLeftOut(one)),
          ),
        ]),
  ];
}

/** What a check has found of the current tree, and a person had excepted. */
export function exceptedAnswer({ status }: Facts): Answer[] {
  const excepted = status.current?.checked?.excepted ?? [];
  if (excepted.length === 0) return [];
  return [
    answer('What is wrong in it that was excepted?', [], {
      quoted: excepted.map(describeExcepted),
      command: `mirrorlatch check ${quoteForSh(status.root)} --no-check-except`,
    }),
  ];
}

/**
 * What verify has found, and what becomes of it.
 *
 * @param isFilled by a command of the configuration.
 */
export function damageAnswer({ status }: Facts, isFilled = false): Answer[] {
  const damaged = status.snapshots.flatMap(({ id, isCurrent, verified }) =>
    verified !== null && verified.damaged > 0 ? [{ id, isCurrent, verified }] : [],
  );
  const [first] = damaged;
  if (first === undefined) return [];
  const trees = damaged.map(({ id, verified }) => `${nameOfTree(id)} (${verified.damaged})`);
  const found =
    damaged.length === 1
      ? `of ${nameOfTree(first.id)}, as verify has found, ${describeVerified(first.verified)}`
      : `verify has found entries damaged in ${joinFew(trees)}`;
  const { answer: whatFollows, command } = afterDamage(
    status,
    isFilled,
    first.id,
    damaged.some(({ isCurrent }) => isCurrent),
  );
  return [answer('What is damaged?', [found, whatFollows], { command })];
}

/** So many are named. */
const FEW = 3;

/** `a, b and c`, or `a, b, c and 2 more` */
function joinFew(names: readonly string[]): string {
  const more = names.length - FEW;
  const named = more > 0 ? [...names.slice(0, FEW), `${more} more`] : names;
  return `${named.slice(0, -1).join(', ')} and ${named.at(-1)}`;
}

function afterDamage(
  { root, source, current }: MirrorStatus,
  isFilled: boolean,
  first: string,
  isOfNow: boolean,
): Pick<Answer, 'answer' | 'command'> {
  const quoted = quoteForSh(root);
  const look = `mirrorlatch verify ${quoted} --bitrot`;
  if (isOfNow) {
    return source !== null && !isFilled
      ? {
          answer: 'A sync that compares content transfers anew what is damaged in the current tree',
          command: `mirrorlatch sync ${quoted} -- --checksum`,
        }
      : { answer: `${MENDED_BY_ITS_FILLER}. Verify names what is damaged`, command: look };
  }
  const { verified } = current ?? {};
  return verified?.content === true
    ? {
        answer:
          'What is current is not: the damage goes with the snapshot, once no rule keeps that',
        command: `mirrorlatch explain ${quoted} ${first}`,
      }
    : {
        answer: 'What is current has not been read since, and may have the same damage',
        command: look,
      };
}
