import { quoteForSh } from '../../system/quote.ts';
import type { Layout } from '../layout.ts';
import { printable } from '../names.ts';
import { DEFAULT_LOCK } from '../settings/policy.ts';
import type { GateRecord } from '../settings/records.ts';
import { readSettings, rememberedBy } from '../settings/settings.ts';
import { showTime } from '../units.ts';
import { isClosedByHand, isClosedByWriter, isInPlace, readGate, recordIfSound } from './gate.ts';
import { inspectLock, type LockState } from './lock-state.ts';

/** What keeps guarded readers out of an in-place mirror. */
export interface Obstacle {
  /** A predicate for the mirror's path. */
  why: string;
  isClosedByHand: boolean;
  /** The writer that closed the gate is dead: nobody is at work, and the next command repairs it. */
  isAbandoned: boolean;
  /** Nothing has been written yet, so nothing is wrong. */
  isNew: boolean;
}

/**
 * @param inspect how to look at the writer's lock.
 * @returns undefined when the gate is open, or the mirror has none.
 * @throws MirrorlatchError CONFIGURATION when `gate.json` is broken.
 */
export function obstacleAt(
  layout: Layout,
  inspect: (layout: Layout) => LockState = inspectLock,
): Obstacle | undefined {
  if (!isInPlace(layout)) return undefined;
  const gate = readGate(layout);
  const why = whyClosed(gate);
  if (why === undefined) return undefined;
  const isAbandoned = isClosedByWriter(gate) && isWriterDead(layout, gate, inspect(layout));
  return {
    why: isAbandoned ? whyAbandoned(gate) : why,
    isClosedByHand: isClosedByHand(gate),
    isAbandoned,
    isNew: gate.state === 'dirty' && gate.by === 'init',
  };
}

/**
 * The command that makes the tree of an in-place mirror whole.
 *
 * @param by the command that has left the tree as it is.
 */
export function commandThatFills(layout: Layout, by: string): string {
  const root = quoteForSh(layout.root);
  const settings = readSettings(layout);
  const source = settings === undefined ? undefined : rememberedBy(settings).source;
  if (source !== undefined) return `mirrorlatch sync ${root}`;
  return by === 'lock' ? `mirrorlatch lock ${root} -- COMMAND` : `mirrorlatch sync SRC ${root}`;
}

/** What a person can do about an obstacle, a clause; undefined while a writer is at work. */
export function wayOutOf(
  layout: Layout,
  { state, by }: GateRecord,
  { isAbandoned, isClosedByHand, isNew }: Obstacle,
): string | undefined {
  const root = quoteForSh(layout.root);
  // The wait also ends what the killed writer has left running.
  if (isAbandoned) return `repair the gate with: mirrorlatch unlock ${root} --wait 1m`;
  if (isClosedByHand) return `open it with: mirrorlatch gate open ${root}`;
  if (state !== 'dirty') return undefined;
  const fill = commandThatFills(layout, by);
  if (isNew) return `fill it with: ${fill}`;
  return `make the tree whole with: ${fill}, or if you have checked it: mirrorlatch gate open --clean ${root}`;
}

/** Whether a writer has closed the gate and died. */
export function isAbandoned(layout: Layout): boolean {
  const gate = isInPlace(layout) ? recordIfSound(layout) : undefined;
  return (
    gate !== undefined && isClosedByWriter(gate) && isWriterDead(layout, gate, inspectLock(layout))
  );
}

/** A writer opens the gate before it releases the lock, so the gate must still be as it was. */
function isWriterDead(layout: Layout, gate: GateRecord, lock: LockState): boolean {
  const isSilent = lock.kind === 'foreign' && lock.heartbeatAgeMs > DEFAULT_LOCK.staleAfterMs;
  if (lock.kind === 'held' || (lock.kind === 'foreign' && !isSilent)) return false;
  return JSON.stringify(recordIfSound(layout)) === JSON.stringify(gate);
}

function whyClosed({ state, by, reason, since }: GateRecord): string | undefined {
  switch (state) {
    case 'open':
      return undefined;
    case 'closing':
    case 'closed':
      return `has been closed by ${by === 'person' ? 'hand' : by} since ${showTime(since)}: ${printable(reason)}`;
    case 'dirty':
      return `is not whole: ${printable(reason)} (${showTime(since)})`;
  }
}

function whyAbandoned({ state, by, since, wasDirty }: GateRecord): string {
  return state === 'closed' || wasDirty
    ? `is not whole: ${by} was killed while it wrote, and left the gate closed (${showTime(since)})`
    : `has been closed since ${showTime(since)}: ${by} was killed before it wrote, and left the gate closed`;
}
