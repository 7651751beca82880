import { closeSync, constants, fchmodSync, fsyncSync, openSync } from 'node:fs';
import { asMirrorlatchError, MirrorlatchError, NOTHING_PUBLISHED } from '../../errors.ts';
import {
  ifAllowed,
  lstatIfThere,
  readTextIfThere,
  syncDirectory,
  writeWhole,
} from '../../system/files.ts';
import { thisHost } from '../../system/host.ts';
import { refuseMountAt } from '../../system/mounts.ts';
import { refuseOtherThanDirectory } from '../../system/own-files.ts';
import { quoteForSh } from '../../system/quote.ts';
import { type Layout, LIVE } from '../layout.ts';
import { printable } from '../names.ts';
import { withReserve } from '../reserve.ts';
import { checkGateRecord, type GateRecord, parseJson } from '../settings/records.ts';
import { Drain, type DrainOptions } from './drain.ts';
import { makeLease } from './lease.ts';
import type { SyncLock } from './sync-lock.ts';

/**
 * The gate of an in-place mirror, a readers-writer lock that outlives its holders:
 *
 * ```
 *            close            the last reader has left            reopen
 *   open ───────────► closing ─────────────────────────► closed ─────────► open
 *    ▲ ▲                 │ gave up waiting                 │                 (written whole)
 *    │ └─────────────────┘                                 └─────────────► dirty
 *    └──────────────────────── the next clean sync ─────────────────────────┘
 * ```
 *
 * The mode of the directory above the tree keeps out readers that do not use mirrorlatch. rsync
 * resets the mode of its target, but never touches the directory above. The state keeps out guarded
 * readers that modes do not stop, such as root. Each guarded reader holds a shared flock. Closing the
 * gate waits for all of them, then closes the mode, and waits for those without a lock. In state
 * `dirty` the mode is open again, because half a mirror may be better than none, but guarded readers
 * wait. A tree that was dirty before the gate was closed is dirty again if the write fails, and what a
 * restart may have lost stays in doubt.
 */
type State = GateRecord['state'];

const DEFAULT_MODE = 0o755;

export interface CloseOptions extends DrainOptions {
  /** The command that closes the gate: `sync`, `lock`, … */
  by: string;
  /** The reason that readers see for a dirty tree, after `write` threw this error. */
  describeFailure: (error: unknown) => string;
}

/** Whether the mirror is written in place, even if `gate.json` has been lost. */
export function isInPlace(layout: Layout): boolean {
  return [layout.gateRecord, layout.lease(LIVE)].some((path) => lstatIfThere(path) !== undefined);
}

/** Makes the gate of a new mirror: open, and dirty until the first sync. */
export function makeGate(layout: Layout): void {
  writeGate(layout, {
    state: 'dirty',
    mode: DEFAULT_MODE,
    by: 'init',
    reason: 'nothing has been synced yet',
    boot: thisHost().bootId,
  });
  makeLease(layout, LIVE);
}

/** Records that the tree behind the gate is whole. */
export function markWhole(layout: Layout, by: string): void {
  const { mode } = readGate(layout);
  writeGate(layout, { state: 'open', mode, by, reason: '', boot: thisHost().bootId });
}

/** @throws MirrorlatchError CONFIGURATION when `gate.json` is broken. */
export function readGate(layout: Layout): GateRecord {
  const checked = checkGateRecord(parseJson(readTextIfThere(layout.gateRecord)));
  if ('record' in checked) return checked.record;
  throw new MirrorlatchError(
    'CONFIGURATION',
    `${layout.gateRecord} does not say whether the gate is open: ${checked.problem}`,
    {
      hint: `Check that the tree is whole, then open the gate with: mirrorlatch gate open --clean ${quoteForSh(layout.root)}`,
    },
  );
}

/**
 * Closes the gate, lets `write` change the tree, and opens the gate again whatever happens. The
 * state is then `open` if `write` returned, `dirty` if it threw.
 *
 * @throws MirrorlatchError BUSY, with the gate as it was, when readers stay inside or the gate was
 *   closed by hand; otherwise whatever `write` throws.
 */
export async function behindGate<Result>(
  layout: Layout,
  lock: SyncLock,
  options: CloseOptions,
  write: () => Promise<Result>,
): Promise<Result> {
  const closed = await close(layout, lock, options);
  let damage: string | undefined;
  try {
    return await write();
  } catch (error) {
    const failure = lock.isHeld ? leftUnfinished(error, layout, options.by) : error;
    damage = options.describeFailure(failure);
    throw failure;
  } finally {
    closed.open(damage);
  }
}

/** Without a second tree, readers meet what the failure has left. */
function leftUnfinished(error: unknown, { root }: Layout, by: string): MirrorlatchError {
  const failure = asMirrorlatchError(error, `the ${by} of ${root} failed`);
  const { code, message, hint, cause, details } = failure;
  const now = `The tree may be half old, half new now: guarded readers wait until ${whatCleans(by)} succeeds.`;
  return new MirrorlatchError(code, message.replace(NOTHING_PUBLISHED, ''), {
    hint: hint === undefined ? now : `${now} ${hint}`,
    cause,
    details,
  });
}

/**
 * What makes a dirty tree whole again, by its success.
 *
 * @param by the command that left the tree dirty.
 */
export function whatCleans(by: string): string {
  return by === 'lock' ? 'a lock or a sync' : `a ${by}`;
}

/** The state of the tree when the gate is closed. */
type Standing =
  | { kind: 'whole' }
  /** What was written since the boot with this id may be unfinished. */
  | { kind: 'dirty'; boot: string };

/** A closed gate, which only its holder opens. */
interface ClosedGate {
  /** Restores the mode and records the damage, if any. Does nothing once the lock is lost. */
  open(damage: string | undefined): void;
}

/**
 * @returns the record of any other gate.
 * @throws MirrorlatchError BUSY when a person closed the gate.
 */
export function refuseClosedByHand(layout: Layout): GateRecord {
  const gate = readGate(layout);
  if (!isClosedByHand(gate)) return gate;
  throw new MirrorlatchError(
    'BUSY',
    `the gate of ${layout.root} was closed by hand: ${printable(gate.reason)}`,
    { hint: `Open it with: mirrorlatch gate open ${quoteForSh(layout.root)}` },
  );
}

/**
 * Refuses a user whom the closed gate keeps from looking at the tree. It never keeps out root or its owner.
 *
 * @throws MirrorlatchError BUSY
 */
export function refuseKeptOut(layout: Layout): void {
  const look = () => ({ tree: lstatIfThere(layout.snapshot(LIVE)) });
  if (ifAllowed(look) !== undefined) return;
  const gate = refuseClosedByHand(layout);
  if (!isClosedByWriter(gate)) return;
  throw new MirrorlatchError(
    'BUSY',
    `the gate of ${layout.root} is closed: ${printable(gate.reason)}`,
    { hint: `Try again once it is open: mirrorlatch gate status ${quoteForSh(layout.root)}` },
  );
}

/** Lets no new readers in, and waits until those inside have left. */
async function close(
  layout: Layout,
  lock: SyncLock,
  { by, ...options }: CloseOptions,
): Promise<ClosedGate> {
  const before = refuseClosedByHand(layout);
  const mode = modeWhileOpen(layout, before);
  const standing: Standing =
    before.state === 'dirty' ? { kind: 'dirty', boot: before.boot } : { kind: 'whole' };
  const record = (state: State, reason: string): void => {
    writeGate(layout, { state, mode, by, reason, ...carriedOver(standing, state) });
  };
  record('closing', 'waiting for the readers inside to leave');
  let hold: number | undefined;
  try {
    const drain = new Drain(layout, options);
    hold = await drain.guardedReaders();
    lock.assertHeld();
    setMode(layout, mode & 0o700);
    await drain.bareReaders();
    lock.assertHeld();
    record('closed', 'the tree is being written');
  } catch (error) {
    if (hold !== undefined) closeSync(hold);
    if (lock.isHeld) {
      if (modeOfGate(layout) !== mode) setMode(layout, mode);
      writeGate(layout, before);
    }
    throw error;
  }
  const descriptor = hold;
  return {
    open: (damage) => {
      try {
        // Another host that took the lock has repaired the gate, and may be writing behind it.
        if (!lock.isHeld) return;
        setMode(layout, mode);
        if (damage === undefined) record('open', '');
        else record('dirty', damage);
      } finally {
        closeSync(descriptor);
      }
    },
  };
}

/**
 * What a new record keeps of the state before. An open gate clears all doubt. Until then, `boot`
 * stays that of the boot in which the tree was first left dirty.
 */
function carriedOver(standing: Standing, state: State): Pick<GateRecord, 'boot' | 'wasDirty'> {
  if (state === 'open' || standing.kind === 'whole') return { boot: thisHost().bootId };
  return state === 'dirty' ? { boot: standing.boot } : { boot: standing.boot, wasDirty: true };
}

/**
 * Restores the mode of a gate that a crash left closed, and records what that did to the tree. Only the
 * holder of the writer's lock may call this, because then no one else writes. A gate that was closed by
 * hand stays closed; one whose record is broken is left to `gate open`.
 */
export function repairGate(layout: Layout): void {
  const found = recordIfSound(layout);
  if (found === undefined || !isClosedByWriter(found)) return;
  const isDirty = found.state === 'closed' || found.wasDirty === true;
  setMode(layout, found.mode);
  const { mode, by, boot } = found;
  writeGate(layout, {
    state: isDirty ? 'dirty' : 'open',
    mode,
    by,
    boot,
    reason: isDirty ? `${by} was interrupted` : '',
  });
}

/**
 * For `gate close`: closes the gate until `gate open`, without waiting for readers to leave. A gate that
 * is closed by hand already keeps its reason and its time, unless there is a new reason.
 *
 * @returns the record of a gate that was closed by hand already.
 */
export function closeByHand(layout: Layout, reason: string | undefined): GateRecord | undefined {
  const before = readGate(layout);
  const earlier = isClosedByHand(before) ? before : undefined;
  const mode = modeWhileOpen(layout, before);
  const isDirty = before.state === 'dirty' || before.wasDirty === true;
  const doubt = isDirty ? { boot: before.boot, wasDirty: true } : { boot: thisHost().bootId };
  if (earlier === undefined || reason !== undefined) {
    const why = reason ?? 'no reason was given';
    writeGate(layout, { state: 'closed', mode, by: 'person', reason: why, ...doubt });
  }
  setMode(layout, mode & 0o700);
  return earlier;
}

/**
 * For `gate open`: opens the gate, even if `gate.json` is broken. A tree that may not be whole stays
 * dirty.
 *
 * @param isVouchedFor a person says that the tree is whole.
 */
export function openByHand(layout: Layout, isVouchedFor: boolean): void {
  const found = recordIfSound(layout);
  const mode = found === undefined ? DEFAULT_MODE : modeWhileOpen(layout, found);
  setMode(layout, mode);
  const boot = thisHost().bootId;
  if (isVouchedFor || (found !== undefined && isWhole(found))) {
    writeGate(layout, { state: 'open', mode, by: 'person', reason: 'opened by hand', boot });
  } else if (found === undefined) {
    const reason = 'the record of its gate was lost';
    writeGate(layout, { state: 'dirty', mode, by: 'person', reason, boot });
  } else if (found.state !== 'dirty') {
    const reason = 'it was not when the gate was closed by hand';
    writeGate(layout, { state: 'dirty', mode, by: 'person', reason, boot: found.boot });
  }
}

/**
 * Whether a sync that did not end well may have left temporary files of its rsync in the tree. What a
 * command of `lock` has left is its own.
 */
export function mayHaveRemains(layout: Layout): boolean {
  const found = recordIfSound(layout);
  return found === undefined || !(isWhole(found) || isFilledByOthers(found));
}

/** Whether no sync has left the tree as it is: it is new, or a command of `lock` failed in it. */
export function isFilledByOthers({ by }: GateRecord): boolean {
  return by === 'init' || by === 'lock';
}

/** Whether the tree is, unless a writer is at work. */
function isWhole(gate: GateRecord): boolean {
  return gate.state === 'open' || (isClosedByHand(gate) && gate.wasDirty !== true);
}

/**
 * Whether the size and time of a file prove nothing about its content: unfinished writes were never
 * flushed to disk, and a power cut can leave zeros in a file of the right size and time.
 */
export function isDoubtful({ state, boot }: GateRecord): boolean {
  return state !== 'open' && boot !== thisHost().bootId;
}

/** Whether a person closed the gate: then no writer opens it. */
export function isClosedByHand({ state, by }: GateRecord): boolean {
  return state === 'closed' && by === 'person';
}

/** Whether a writer did, which opens it again unless it is killed. */
export function isClosedByWriter({ state, by }: GateRecord): boolean {
  return by !== 'person' && (state === 'closing' || state === 'closed');
}

/** The record; undefined when it is broken or lost. */
export function recordIfSound(layout: Layout): GateRecord | undefined {
  const checked = checkGateRecord(parseJson(readTextIfThere(layout.gateRecord)));
  return 'record' in checked ? checked.record : undefined;
}

/** The mode of the directory while the gate is not closed; the owner may have changed it. */
function modeWhileOpen(layout: Layout, { state, mode }: GateRecord): number {
  return state === 'closed' ? mode : (modeOfGate(layout) ?? mode);
}

function modeOfGate(layout: Layout): number | undefined {
  refuseOtherThanDirectory(layout.gate);
  const mode = lstatIfThere(layout.gate)?.mode;
  return mode === undefined ? undefined : Number(mode & 0o7777n);
}

/** @throws MirrorlatchError CONFIGURATION when the gate is a symlink or a mount point (I13). */
function setMode({ gate }: Layout, mode: number): void {
  refuseOtherThanDirectory(gate);
  refuseMountAt(gate, 'opened or closed');
  const { O_DIRECTORY, O_NOFOLLOW, O_RDONLY } = constants;
  const descriptor = openSync(gate, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  try {
    fchmodSync(descriptor, mode);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** `since` is the current time unless it is given. */
function writeGate(
  layout: Layout,
  { state, boot, since = new Date().toISOString(), ...others }: Unstamped,
): void {
  // reader.sh matches the state: it must come first, without a space.
  const record: GateRecord = { state, boot, ...others, since };
  withReserve(layout, () => writeWhole(layout.gateRecord, `${JSON.stringify(record)}\n`));
  // The record of a closed gate must reach the disk before anything that is written behind it.
  syncDirectory(layout.state);
}

type Unstamped = Omit<GateRecord, 'since'> & Partial<Pick<GateRecord, 'since'>>;
