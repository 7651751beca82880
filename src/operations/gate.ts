import { asMirrorlatchError, MirrorlatchError } from '../errors.ts';
import {
  closeByHand,
  type GateRecord,
  isInPlace,
  openByHand,
  readGate,
  repairGate,
  whyClosed,
} from '../mirror/gate.ts';
import { type Layout, LIVE } from '../mirror/layout.ts';
import { countLeases } from '../mirror/readers.ts';
import { acquireSyncLock } from '../mirror/sync-lock.ts';
import { openMirror } from './mirror.ts';

export interface GateOptions {
  root: string;
  /** How long to wait for a writer; ms. */
  waitMs?: number | undefined;
  /** Why a person closes it, for those who find it closed. */
  reason?: string | undefined;
  signal?: AbortSignal | undefined;
}

export type GateStatus = GateRecord & {
  root: string;
  /** For people: why guarded readers are not let in; null when they are. */
  obstacle: string | null;
  /** Guarded readers that are inside. */
  readers: number;
};

/** How the gate of an in-place mirror is. Changes nothing. */
export function gateStatus(root: string): GateStatus {
  const layout = openInPlace(root);
  const record = readGate(layout);
  return {
    root: layout.root,
    ...record,
    obstacle: whyClosed(record) ?? null,
    readers: countLeases(layout, LIVE),
  };
}

/**
 * Opens the gate, whatever left it closed or dirty, and vouches for what lies behind it.
 *
 * @throws MirrorlatchError BUSY while somebody writes.
 */
export function openGate(options: GateOptions): Promise<GateStatus> {
  return underLock(options, openByHand);
}

/**
 * Closes the gate until it is opened by hand. Readers that are inside stay.
 *
 * @throws MirrorlatchError BUSY while somebody writes.
 */
export function closeGateByHand(options: GateOptions): Promise<GateStatus> {
  return underLock(options, (layout) => {
    repairGate(layout);
    closeByHand(layout, options.reason ?? 'no reason was given');
  });
}

async function underLock(
  { root, waitMs, signal }: GateOptions,
  change: (layout: Layout) => void,
): Promise<GateStatus> {
  const layout = openInPlace(root);
  const lock = await acquireSyncLock(layout, { command: 'gate', waitMs, signal });
  try {
    change(layout);
    return gateStatus(root);
  } catch (error) {
    throw asMirrorlatchError(lock.causeOf(error), `the gate of ${layout.root} cannot be changed`);
  } finally {
    await lock.release();
  }
}

function openInPlace(root: string): Layout {
  const { layout } = openMirror(root);
  if (isInPlace(layout)) return layout;
  throw new MirrorlatchError(
    'USAGE',
    `${layout.root} has no gate: its snapshots are never written`,
    {
      hint: 'Only a mirror made with init --in-place has one.',
    },
  );
}
