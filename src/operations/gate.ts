import { MirrorlatchError } from '../errors.ts';
import { type Layout, LIVE } from '../mirror/layout.ts';
import {
  closeByHand,
  isInPlace,
  mayHaveRemains,
  openByHand,
  readGate,
} from '../mirror/locks/gate.ts';
import { obstacleAt, wayOutOf } from '../mirror/locks/obstacle.ts';
import { countLeases } from '../mirror/locks/readers.ts';
import { printable } from '../mirror/names.ts';
import { type Mirror, openMirror } from '../mirror/open.ts';
import { removeRemains } from '../mirror/remains.ts';
import type { Given, LockPolicy } from '../mirror/settings/policy.ts';
import type { GateRecord } from '../mirror/settings/records.ts';
import { showTime } from '../mirror/units.ts';
import { processesHoldingFlock } from '../system/proc.ts';
import type { OnEvent } from '../writer/events.ts';
import { withLock } from '../writer/session.ts';

export interface GateOptions {
  root: string;
  lock?: Given<LockPolicy> | undefined;
  /** Why a person closes it, for those who find it closed. */
  reason?: string | undefined;
  signal?: AbortSignal | undefined;
  onEvent?: OnEvent | undefined;
}

export interface OpenGateOptions extends GateOptions {
  /** A person has looked at the tree and says that it is whole. */
  isClean?: boolean | undefined;
}

export type GateStatus = GateRecord & {
  root: string;
  /** For people: why guarded readers are not let in; null when they are. */
  obstacle: string | null;
  /** The writer that closed the gate is dead, and the next command that writes repairs it. */
  isAbandoned: boolean;
  /** For people: the way out, when no writer is at work. */
  hint: string | null;
  /** Guarded readers that are inside. */
  readers: number;
};

/** How the gate of an in-place mirror is. Changes nothing. */
export function gateStatus(root: string): GateStatus {
  const { layout } = mirrorInPlace(root);
  const record = readGate(layout);
  const obstacle = obstacleAt(layout);
  const wayOut = obstacle && wayOutOf(layout, record, obstacle);
  return {
    root: layout.root,
    ...record,
    obstacle: obstacle?.why ?? null,
    isAbandoned: obstacle?.isAbandoned ?? false,
    hint: wayOut?.replace(/^./, (letter) => letter.toUpperCase()) ?? null,
    readers: guardedReaders(layout),
  };
}

/**
 * In a PID namespace, the kernel does not list the locks that a process took which has ended, as flock(1)
 * has. There, each process that keeps one counts.
 */
function guardedReaders(layout: Layout): number {
  const listed = countLeases(layout, [LIVE]).get(LIVE) ?? 0;
  return listed > 0 ? listed : processesHoldingFlock(layout.lease(LIVE), 'shared').length;
}

/**
 * Opens the gate, however it was left. The tree behind it stays dirty if it may not be whole.
 *
 * @throws MirrorlatchError BUSY while another process writes.
 */
export function openGate({ isClean = false, ...options }: OpenGateOptions): Promise<GateStatus> {
  const { signal = new AbortController().signal } = options;
  return changeGate(options, async (mirror, inherit) => {
    const { layout } = mirror;
    const remains =
      isClean && mayHaveRemains(layout) ? await removeRemains(mirror, inherit, signal) : undefined;
    openByHand(layout, isClean);
    if (remains === undefined) return;
    const message = `in ${layout.snapshot(LIVE)}, ${remains}. The next sync deletes what its source does not have, unless a rule protects it`;
    options.onEvent?.({ kind: 'warning', message });
  });
}

/** Each reader that finds the gate closed shows the reason; characters. */
const LONGEST_REASON = 1_000;

/**
 * Closes the gate until it is opened by hand. Readers that are inside stay.
 *
 * @throws MirrorlatchError USAGE for a reason that is too long, BUSY while another process writes.
 */
export async function closeGate(options: GateOptions): Promise<GateStatus> {
  const { reason, onEvent } = options;
  if (reason !== undefined && reason.length > LONGEST_REASON) {
    throw new MirrorlatchError(
      'USAGE',
      `the reason has ${reason.length} characters, and may have ${LONGEST_REASON}`,
      { hint: 'Shorten it: each reader that waits shows it.' },
    );
  }
  return changeGate(options, ({ layout }) => {
    const earlier = closeByHand(layout, reason);
    if (earlier === undefined) return;
    const was = `was already closed by hand, since ${showTime(earlier.since)}: ${printable(earlier.reason)}`;
    const now = reason === undefined ? '' : '; the new reason replaces that one';
    onEvent?.({ kind: 'notice', message: `${layout.root} ${was}${now}` });
  });
}

function changeGate(
  options: GateOptions,
  change: (mirror: Mirror, inherit: readonly number[]) => void | Promise<void>,
): Promise<GateStatus> {
  const { root, lock, signal, onEvent } = options;
  const mirror = mirrorInPlace(root);
  const { layout } = mirror;
  const failure = `the gate of ${layout.root} cannot be changed`;
  const session = { command: 'gate', failure, lock, signal, onEvent };
  return withLock(layout, session, async ({ descriptor }) => {
    await change(mirror, [descriptor]);
    return gateStatus(root);
  });
}

function mirrorInPlace(root: string): Mirror {
  const mirror = openMirror(root);
  const { layout } = mirror;
  if (isInPlace(layout)) return mirror;
  throw new MirrorlatchError(
    'USAGE',
    `${layout.root} has no gate: its snapshots are never written`,
    { hint: 'Only a mirror made with init --in-place has one.' },
  );
}
