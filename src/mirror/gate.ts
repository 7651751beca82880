import { chmodSync, closeSync, fchmodSync, openSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { MirrorlatchError } from '../errors.ts';
import { lstatIfThere, readTextIfThere, syncDirectory, writeWhole } from '../system/files.ts';
import { tryFlock } from '../system/flock.ts';
import { thisHost } from '../system/host.ts';
import { processesWithOpenFile, processName } from '../system/proc.ts';
import { type Layout, LIVE } from './layout.ts';
import type { DrainPolicy } from './policy.ts';
import { checkGateRecord, type GateRecord, parseJson } from './records.ts';
import type { SyncLock } from './sync-lock.ts';

/**
 * The gate of a mirror that is written in place, a readers-writer lock that outlives its holders:
 *
 * ```
 *            close              the last reader is out            reopen
 *   open ───────────► closing ─────────────────────────► closed ─────────► open
 *    ▲ ▲                 │ gave up waiting                 │                 (all went well)
 *    │ └─────────────────┘                                 └─────────────► dirty
 *    └──────────────────────── the next clean sync ─────────────────────────┘
 * ```
 *
 * The mode of the directory above the tree keeps those out who know nothing of mirrorlatch: rsync
 * never touches it, while it resets that of its own target. The state keeps out those whom modes do
 * not stop. A reader that was let in holds a shared flock; who closes waits for all of them.
 * In `dirty` the mode is open again, for half a mirror may serve better than none, and guarded
 * readers wait. What was dirty before it was closed is so again when the write does not end well, and
 * what was lost to a restart stays in doubt until then.
 */
export type { GateRecord };

const POLL_MS = 100;
const DEFAULT_MODE = 0o755;

export interface CloseOptions {
  /** What closes the gate: `sync`, `lock`, … */
  by: string;
  drain: DrainPolicy;
  /** For readers: why the tree is dirty after `write` threw this. */
  describeFailure: (error: unknown) => string;
  signal: AbortSignal;
  /** Called once when readers are inside and are waited for. */
  onWait?: ((message: string) => void) | undefined;
}

/** Whether the mirror is written in place, also where its gate's record has been lost. */
export function isInPlace(layout: Layout): boolean {
  return [layout.gateRecord, layout.lease(LIVE)].some((path) => lstatIfThere(path) !== undefined);
}

/** Makes the gate of a new mirror. */
export function makeGate(layout: Layout): void {
  writeGate(layout, {
    state: 'dirty',
    mode: DEFAULT_MODE,
    by: 'init',
    reason: 'nothing has been synced yet',
    boot: thisHost().bootId,
  });
  const descriptor = openSync(layout.lease(LIVE), 'a', 0o444);
  try {
    fchmodSync(descriptor, 0o444);
  } finally {
    closeSync(descriptor);
  }
}

/** Says that what lies behind the gate is whole. */
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
      hint: `Look whether the tree is whole, and open the gate with: mirrorlatch gate open ${layout.root}`,
    },
  );
}

/**
 * Closes the gate, lets `write` change the tree, and opens the gate again whatever happens: as
 * `open` when `write` returns, as `dirty` when it throws.
 *
 * @throws MirrorlatchError BUSY when readers stay inside, or a person has closed the gate; the gate
 *   is then as it was. Else what `write` throws.
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
    damage = options.describeFailure(error);
    throw error;
  } finally {
    closed.open(damage);
  }
}

/** What is known of the tree at the moment when the gate is closed. */
type Standing =
  | { kind: 'whole' }
  /** What was written since `boot` may be unfinished. */
  | { kind: 'dirty'; boot: string };

/** A gate that is closed, and that only its holder opens. */
interface ClosedGate {
  /** Gives the directory its mode back and records the damage, unless the lock has been lost. */
  open(damage: string | undefined): void;
}

/** Lets no new readers in, waits for those inside, and then takes the permission away. */
async function close(
  layout: Layout,
  lock: SyncLock,
  { by, drain, signal, onWait }: CloseOptions,
): Promise<ClosedGate> {
  const before = repairGate(layout) ?? readGate(layout);
  if (before.by === 'person' && before.state === 'closed') {
    throw new MirrorlatchError(
      'BUSY',
      `the gate of ${layout.root} was closed by hand: ${before.reason}`,
      { hint: `Open it with: mirrorlatch gate open ${layout.root}` },
    );
  }
  const mode = modeWhileOpen(layout, before);
  const standing: Standing =
    before.state === 'dirty' ? { kind: 'dirty', boot: before.boot } : { kind: 'whole' };
  const record = (state: GateRecord['state'], reason: string): void => {
    writeGate(layout, { state, mode, by, reason, ...carriedOver(standing, state) });
  };
  record('closing', 'waiting for the readers that are inside');
  let hold: number | undefined;
  try {
    hold = await waitForReaders(layout, drain, signal, onWait);
    lock.assertHeld();
    record('closed', 'it is being written');
    setMode(layout, mode & 0o700);
  } catch (error) {
    if (hold !== undefined) closeSync(hold);
    if (isHeld(lock)) {
      if (modeOfGate(layout) !== mode) setMode(layout, mode);
      writeGate(layout, before);
    }
    throw error;
  }
  const descriptor = hold;
  return {
    open: (damage) => {
      try {
        // If another host has taken the lock, it has repaired the gate and may be writing behind it.
        if (!isHeld(lock)) return;
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
 * What a record keeps of how the tree stood. A tree that is whole now leaves all doubt behind; until
 * then what is unfinished is so since the boot in which it was first left dirty.
 */
function carriedOver(
  standing: Standing,
  state: GateRecord['state'],
): Pick<GateRecord, 'boot' | 'wasDirty'> {
  if (state === 'open' || standing.kind === 'whole') return { boot: thisHost().bootId };
  return state === 'dirty' ? { boot: standing.boot } : { boot: standing.boot, wasDirty: true };
}

/**
 * Gives the gate its mode back when a crash left it closed. Only the holder of the writer's lock may
 * call this, since then nobody writes. What a person has closed stays closed.
 *
 * @returns how the gate is now; undefined when there was nothing to repair.
 */
export function repairGate(layout: Layout): GateRecord | undefined {
  const found = readGate(layout);
  if (found.by === 'person' || found.state === 'open' || found.state === 'dirty') return undefined;
  const isDirty = found.state === 'closed' || found.wasDirty === true;
  setMode(layout, found.mode);
  const { mode, by, boot } = found;
  return writeGate(layout, {
    state: isDirty ? 'dirty' : 'open',
    mode,
    by,
    boot,
    reason: isDirty ? `${by} was interrupted` : '',
  });
}

/** For a person: closes the gate until it is opened by hand, and waits for no reader. */
export function closeByHand(layout: Layout, reason: string): void {
  const mode = modeWhileOpen(layout, readGate(layout));
  const boot = thisHost().bootId;
  writeGate(layout, { state: 'closed', mode, by: 'person', reason, boot });
  setMode(layout, mode & 0o700);
}

/** For a person: opens the gate and declares the tree whole, however the gate was left. */
export function openByHand(layout: Layout): void {
  const checked = checkGateRecord(parseJson(readTextIfThere(layout.gateRecord)));
  const mode = 'record' in checked ? modeWhileOpen(layout, checked.record) : DEFAULT_MODE;
  const boot = thisHost().bootId;
  setMode(layout, mode);
  writeGate(layout, { state: 'open', mode, by: 'person', reason: 'opened by hand', boot });
}

/**
 * Whether a file may differ from what its size and time say: a power cut can leave zeros behind
 * both, and what was unfinished was never flushed.
 */
export function isDoubtful({ state, boot }: GateRecord): boolean {
  return state !== 'open' && boot !== thisHost().bootId;
}

/** For people: why a guarded reader is not let in; undefined when it is. */
export function whyClosed({ state, by, reason, since }: GateRecord): string | undefined {
  switch (state) {
    case 'open':
      return undefined;
    case 'closing':
    case 'closed':
      return `is closed by ${by} since ${since}: ${reason}`;
    case 'dirty':
      return `is not whole since ${since}: ${reason}`;
  }
}

/** @returns a descriptor whose lock keeps new readers out until it is closed. */
async function waitForReaders(
  layout: Layout,
  { drainMs, afterDrain }: DrainPolicy,
  signal: AbortSignal,
  onWait: CloseOptions['onWait'],
): Promise<number> {
  const deadline = performance.now() + drainMs;
  const path = layout.lease(LIVE);
  const descriptor = openSync(path, 'r');
  try {
    for (let isFirst = true; ; isFirst = false) {
      // On a filesystem without flock there are no guarded readers: they refuse to read there.
      if (tryFlock(descriptor, 'exclusive') !== 'held') return descriptor;
      const inside = `readers are inside${describeReaders(path)}`;
      if (performance.now() >= deadline) {
        if (afterDrain === 'go-on') return descriptor;
        throw new MirrorlatchError('BUSY', `${layout.root} cannot be written: ${inside}`, {
          hint: 'Wait longer with --drain 1h, or write all the same with --after-drain go-on: they may see a mix then.',
        });
      }
      if (isFirst) onWait?.(`waiting: ${inside}`);
      await sleep(POLL_MS, undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
}

function describeReaders(path: string): string {
  const readers = processesWithOpenFile(path).map((pid) => `${processName(pid) ?? '?'} (${pid})`);
  return readers.length === 0 ? '' : `: ${readers.slice(0, 5).join(', ')}`;
}

/** The mode of the directory while the gate is not closed; somebody may have changed it. */
function modeWhileOpen(layout: Layout, { state, mode }: GateRecord): number {
  return state === 'closed' ? mode : (modeOfGate(layout) ?? mode);
}

function modeOfGate(layout: Layout): number | undefined {
  const mode = lstatIfThere(layout.gate)?.mode;
  return mode === undefined ? undefined : Number(mode & 0o7777n);
}

function setMode(layout: Layout, mode: number): void {
  chmodSync(layout.gate, mode);
  syncDirectory(layout.gate);
}

function isHeld(lock: SyncLock): boolean {
  try {
    lock.assertHeld();
    return true;
  } catch {
    return false;
  }
}

/** @returns the record as it is on the disk; `since` is now unless it is given. */
function writeGate(
  layout: Layout,
  { state, boot, since = new Date().toISOString(), ...others }: Unstamped,
): GateRecord {
  // The state first and without a space, for the reader in sh.
  const record: GateRecord = { state, boot, ...others, since };
  writeWhole(layout.gateRecord, `${JSON.stringify(record)}\n`);
  // The word that the gate is closed must reach the disk before anything written behind it does.
  syncDirectory(layout.state);
  return record;
}

type Unstamped = Omit<GateRecord, 'since'> & Partial<Pick<GateRecord, 'since'>>;
