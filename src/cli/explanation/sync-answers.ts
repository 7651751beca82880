import { describeFinding } from '../../checks/finding.ts';
import { wayOut } from '../../checks/way-out.ts';
import { showDuration } from '../../config/values.ts';
import { NOTHING_PUBLISHED } from '../../errors.ts';
import { describeHold } from '../../mirror/settings/settings.ts';
import { showBytes } from '../../mirror/units.ts';
import type { Facts, Failure } from '../../operations/explain.ts';
import type { MirrorStatus } from '../../operations/status.ts';
import { quoteForSh } from '../../system/quote.ts';
import { describeCheck } from '../options/check.ts';
import { describeProbe } from '../options/probe.ts';
import { describeShrink } from '../options/shrink.ts';
import { oneLine } from '../output.ts';
import { showSince } from '../units.ts';
import { type Answer, answer } from './answer.ts';

/**
 * Why the last sync failed, and what of it is left.
 *
 * @param isFilled by a command of the configuration.
 */
export function failureAnswer({ status, failure, remains }: Facts, isFilled = false): Answer[] {
  if (failure === null) return [];
  const { at, code, exitCode, message, findings, unlisted, isOfHook } = failure;
  // What a hook or a check said, its message has; rsync had no part in that.
  const isOwn = code === 'HOOK_FAILED' || code === 'CHECK_FAILED';
  const log = isOwn ? undefined : failure.log;
  const ended = exitCode === null ? code : `${exitCode}, ${code}`;
  const trees = status.findings.filter(({ kind }) => kind === 'unfinished-tree');
  const isUnseen = status.unseen.length > 0;
  const root = quoteForSh(status.root);
  const isWritten = status.mode === 'in-place' && code === 'CHECK_FAILED';
  const left = isWritten
    ? 'Its tree has been written: guarded readers wait, and all others read it as it is'
    : trees.length > 0
      ? 'What it had transferred is kept, and the next sync goes on from it'
      : isUnseen
        ? 'Only the owner of the mirror sees what it left'
        : remains.length > 0
          ? `It left something: ${remains[0]}`
          : 'It left nothing that the next one has to finish';
  const found = [
    ...findings.map(describeFinding),
    ...(unlisted > 0 ? [`and ${unlisted} more`] : []),
  ];
  return [
    answer(
      'Why did the last sync fail?',
      [
        `${showSince(at)} it ended with ${ended}: ${oneLine(message)}`,
        ...(log?.lines === null
          ? ['Only the owner of the mirror may read what rsync said']
          : log === null
            ? ['rsync had not run, or its log was removed']
            : []),
        ...(isWritten || message.includes(NOTHING_PUBLISHED)
          ? []
          : ['Nothing of it was published']),
        left,
        ...(code === 'CHECK_FAILED'
          ? [
              isOfHook
                ? 'Mend the hook before-publish: the tree was right before it'
                : wayOut({ kinds: findings.map(({ kind }) => kind), first: findings[0] }),
            ]
          : []),
        ...(isShrink(code)
          ? [`if that is right, publish it with: mirrorlatch sync ${root} --allow-shrink`]
          : []),
      ],
      // What rsync said there is how much it would have transferred.
      {
        quoted: isShrink(code) ? [] : (log?.lines ?? found),
        command: wayOutOf(failure, status, isFilled),
      },
    ),
  ];
}

/** Which hooks failed after what they are about was done. */
export function hookAnswer({ status }: Facts): Answer[] {
  const { hookFailures } = status;
  if (hookFailures.length === 0) return [];
  return [
    answer(
      'Which hooks failed?',
      hookFailures.map(({ at, message, snapshot }) => {
        const of = snapshot === null ? '' : `, for ${snapshot}`;
        return `${showSince(at)}${of}: ${oneLine(message)}`;
      }),
      { command: `mirrorlatch config show ${quoteForSh(status.root)}` },
    ),
  ];
}

/** A guard of ours found that, and not rsync. */
function isShrink(code: string): boolean {
  return code === 'SHRUNKEN_SOURCE';
}

/** The command that brings a mirror up to date; null if none is known. */
function renewal({ root, source }: MirrorStatus, isFilled: boolean): string | null {
  const quoted = quoteForSh(root);
  if (isFilled) return `mirrorlatch lock ${quoted}`;
  return source === null ? null : `mirrorlatch sync ${quoted}`;
}

function wayOutOf(
  { code, isOfHook, log }: Failure,
  status: MirrorStatus,
  isFilled: boolean,
): string | null {
  const root = quoteForSh(status.root);
  switch (isOfHook ? 'HOOK_FAILED' : code) {
    case 'SHRUNKEN_SOURCE':
    case 'EXCLUDED_LOSS':
      return `mirrorlatch sync ${root} --dry-run`;
    case 'HOOK_FAILED':
      return `mirrorlatch config show ${root}`;
    case 'NO_SPACE':
      return `df -h ${root} && df -i ${root}`;
    case 'CHECK_FAILED':
    case 'SIGINT':
    case 'SIGTERM':
    case 'SIGHUP':
      return renewal(status, isFilled);
    default:
      return log === null
        ? `mirrorlatch sync ${root} --dry-run`
        : `mirrorlatch logs ${root} failed`;
  }
}

/**
 * When a sync last succeeded, and when the last one looked at everything.
 *
 * @param isFilled by a command of the configuration.
 */
export function freshAnswer({ status, fullLookAt }: Facts, isFilled = false): Answer {
  const { syncedAt, isFresh, lastSync, current } = status;
  const question = 'How fresh is it?';
  if (current === null) return answer(question, ['nothing has been published yet']);
  if (syncedAt === null) {
    return answer(question, ['no sync has succeeded yet, so nobody knows how old its tree is'], {
      command: renewal(status, isFilled),
    });
  }
  const isQuick = lastSync !== null && 'look' in lastSync && lastSync.look !== undefined;
  const nothing = lastSync?.event === 'unchanged' ? ', and found nothing new' : '';
  return answer(
    question,
    [
      `a sync last succeeded ${showSince(syncedAt)}${nothing}`,
      ...(isQuick && fullLookAt !== null
        ? [`the last look at all of the source began ${showSince(fullLookAt)}`]
        : []),
      ...(isFresh === false ? ['that is longer ago than --max-age allows'] : []),
    ],
    { command: isFresh === false ? renewal(status, isFilled) : null },
  );
}

/**
 * What the next sync does, in its order.
 *
 * @param isFilled by a command of the configuration.
 */
export function nextSyncAnswer(facts: Facts, isFilled = false): Answer {
  const { status, refusal, gate, remains } = facts;
  const root = quoteForSh(status.root);
  const question = 'What will the next sync do?';
  if (status.isInsideGuard)
    return answer(question, [
      'this is inside a guard, which shows one snapshot alone: ask outside of it',
    ]);
  if (refusal !== null)
    return answer(question, [
      `it is refused: ${refusal.message}`,
      ...(refusal.hint === null ? [] : [refusal.hint]),
    ]);
  if (status.hold !== null) {
    return answer(
      question,
      [`it ends with 75 and publishes nothing, because the mirror is ${describeHold(status.hold)}`],
      { command: `mirrorlatch rollback ${root} --release` },
    );
  }
  if (gate?.isClosedByHand)
    return answer(question, ['it ends with 75, because the gate was closed by hand'], {
      command: `mirrorlatch gate open ${root}`,
    });
  const { state } = status.lock;
  const isBusy = state.kind === 'held' || state.kind === 'foreign';
  if (isFilled)
    return answer(
      question,
      ['it is refused: the mirror is filled by a command of the configuration'],
      {
        command: `mirrorlatch lock ${root}`,
      },
    );
  if (status.source === null) {
    return answer(question, [
      'it has no source, so it is refused',
      `Name one: mirrorlatch sync SRC ${root}; or fill it by a command: mirrorlatch lock ${root} -- COMMAND`,
    ]);
  }
  return answer(
    question,
    [
      ...(isBusy ? ['it waits for the lock with --wait, and without it ends with 75'] : []),
      ...(status.unseen.length > 0
        ? ['Only the owner of the mirror sees what it has to finish first']
        : []),
      ...remains,
      ...looksOf(facts),
      `It publishes only what is whole: ${describeShrink(status.shrink, status.rsyncOptions)}`,
      ...describeCheck(status.check),
      ...spaceOf(facts),
      ...removalsOf(facts),
    ],
    { command: `mirrorlatch sync ${root} --dry-run` },
  );
}

/** How it looks at its source. */
function looksOf({ status, fullLookAt }: Facts): string[] {
  const { probe, source, findings } = status;
  const isQuick = probe.paths.length > 0 || probe.fileList !== '';
  const whole = `looks at all of ${source}, and transfers what differs`;
  const waits =
    probe.busyWhen.length > 0 ? describeProbe({ ...probe, paths: [], fileList: '' }) : [];
  if (!isQuick) return [...waits, `it ${whole}`];
  const why = whyWhole(
    fullLookAt,
    probe.maxAgeMs,
    findings.some(({ kind }) => kind === 'unfinished-tree'),
  );
  return why === undefined
    ? describeProbe(probe)
    : [...waits, `it ${whole}: a quick look does not do, because ${why}`];
}

function whyWhole(
  fullLookAt: string | null,
  maxAgeMs: number,
  isUnfinished: boolean,
): string | undefined {
  if (isUnfinished) return 'the last sync did not finish';
  if (fullLookAt === null) return 'no look at all of the source is on record for what is current';
  if (Date.now() - Date.parse(fullLookAt) < maxAgeMs) return undefined;
  return `the last look at everything began ${showSince(fullLookAt)}, and --probe-max-age is ${showDuration(maxAgeMs)}`;
}

function spaceOf({ status, free }: Facts): string[] {
  if (free === null) return [];
  const fetched = status.current?.newBytes ?? null;
  const last = fetched === null ? '' : `; the last publication fetched ${showBytes(fetched)}`;
  return [`the disk has ${showBytes(free)} free${last}`];
}

const FEW = 3;

function removalsOf({ removedNext }: Facts): string[] {
  if (removedNext.length === 0) return [];
  const more = removedNext.length > FEW ? ` and ${removedNext.length - FEW} more` : '';
  return [
    `after a publication it removes ${removedNext.slice(0, FEW).join(', ')}${more}, which no rule keeps then and nobody reads`,
  ];
}

/** Why guarded readers of a mirror in place wait. */
export function gateAnswer({ gate }: Facts): Answer[] {
  if (gate === null) return [];
  const [, before = '', command = null] =
    /^(.*?) ?with: (mirrorlatch .*?)(?:,.*)?$/.exec(gate.wayOut ?? '') ?? [];
  const help = gate.wayOut === null ? [] : [command === null ? gate.wayOut : `${before} with this`];
  return [answer('Why do guarded readers wait?', [`the tree ${gate.why}`, ...help], { command })];
}
