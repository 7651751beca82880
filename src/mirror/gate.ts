import { chmodSync, closeSync, fchmodSync, openSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { MirrorlatchError } from '../errors.ts';
import { lstatIfThere, readTextIfThere, syncDirectory, writeWhole } from '../system/files.ts';
import { tryFlock } from '../system/flock.ts';
import { thisHost } from '../system/host.ts';
import { processesWithOpenFile, processName } from '../system/proc.ts';
import { type Layout, LIVE } from './layout.ts';
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

/** How the readers that are inside are dealt with. */
export interface DrainOptions {
  /** How long they are waited for; ms. */
  drainMs?: number | undefined;
  /** Then: give up, or write although they are inside. By default give up. */
  afterDrain?: 'give-up' | 'go-on' | undefined;
  signal: AbortSignal;
  /** Told once when somebody is inside. */
  onWait?: ((message: string) => void) | undefined;
}

const DEFAULT_DRAIN_MS = 5 * 60 * 1000;

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
    since: new Date().toISOString(),
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
  const since = new Date().toISOString();
  const { mode } = readGate(layout);
  writeGate(layout, { state: 'open', mode, by, reason: '', since });
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
 * Closes the gate: no new readers, wait for those inside, and then take the permission away.
 *
 * @returns the way to open it again, to be called whatever happens.
 * @throws MirrorlatchError BUSY when readers stay inside; the gate is then as it was.
 */
export async function shutGate(
  layout: Layout,
  lock: SyncLock,
  by: string,
  options: DrainOptions,
): Promise<OpenGate> {
  const before = repairGate(layout) ?? readGate(layout);
  if (before.by === 'person' && before.state === 'closed') {
    throw new MirrorlatchError(
      'BUSY',
      `the gate of ${layout.root} was closed by hand: ${before.reason}`,
      {
        hint: `Open it with: mirrorlatch gate open ${layout.root}`,
      },
    );
  }
  const mode = modeWhileOpen(layout, before);
  const doubt =
    before.state === 'dirty' ? { wasDirty: true, boot: before.boot } : { boot: undefined };
  const record = (state: GateRecord['state'], reason: string, more = {}): void =>
    writeGate(layout, { state, mode, by, reason, since: new Date().toISOString(), ...more });
  record('closing', 'waiting for the readers that are inside', doubt);
  let hold: number | undefined;
  try {
    hold = await drain(layout, options);
    lock.assertHeld();
    record('closed', 'it is being written', doubt);
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
  return (state, reason) => {
    try {
      // Who has taken the lock since has repaired the gate, and may be writing behind it.
      if (!isHeld(lock)) return;
      setMode(layout, mode);
      record(state, reason, state === 'open' ? {} : { boot: doubt.boot });
    } finally {
      closeSync(descriptor);
    }
  };
}

/**
 * Gives the directory its mode back, and says whether what lies there is whole. Does neither when the
 * lock has been lost.
 */
export type OpenGate = (state: 'open' | 'dirty', reason: string) => void;

/**
 * Gives the gate its mode back when a crash left it closed. Only who holds the writer's lock may do
 * that: then nobody writes. What a person has closed stays so.
 *
 * @returns how it is since then; undefined when there was nothing to repair.
 */
export function repairGate(layout: Layout): GateRecord | undefined {
  const found = readGate(layout);
  if (found.by === 'person' || found.state === 'open' || found.state === 'dirty') return undefined;
  const isDirty = found.state === 'closed' || found.wasDirty === true;
  setMode(layout, found.mode);
  const { wasDirty, ...others } = found;
  const repaired: GateRecord = {
    ...others,
    state: isDirty ? 'dirty' : 'open',
    reason: isDirty ? `${found.by} was interrupted` : '',
    since: new Date().toISOString(),
  };
  writeGate(layout, repaired);
  return repaired;
}

/** For a person: closes the gate until it is opened by hand, and waits for nobody. */
export function closeByHand(layout: Layout, reason: string): void {
  const mode = modeWhileOpen(layout, readGate(layout));
  writeGate(layout, {
    state: 'closed',
    mode,
    by: 'person',
    reason,
    since: new Date().toISOString(),
  });
  setMode(layout, mode & 0o700);
}

/** For a person: opens the gate and calls what lies there whole, whatever was. */
export function openByHand(layout: Layout): void {
  const checked = checkGateRecord(parseJson(readTextIfThere(layout.gateRecord)));
  const mode = 'record' in checked ? modeWhileOpen(layout, checked.record) : DEFAULT_MODE;
  setMode(layout, mode);
  writeGate(layout, {
    state: 'open',
    mode,
    by: 'person',
    reason: 'opened by hand',
    since: new Date().toISOString(),
  });
}

/**
 * Whether files may hold something else than their size and time say: a power cut can leave zeros
 * behind both, and what was not finished was never flushed.
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

/** Waits until no reader is inside, and keeps it so. */
async function drain(layout: Layout, options: DrainOptions): Promise<number> {
  const { drainMs = DEFAULT_DRAIN_MS, afterDrain = 'give-up', signal, onWait } = options;
  const deadline = performance.now() + drainMs;
  const path = layout.lease(LIVE);
  const descriptor = openSync(path, 'r');
  try {
    for (let isFirst = true; ; isFirst = false) {
      // A filesystem without flock has no guarded readers either: they refuse to read there.
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

/** The mode that the directory has while the gate is not closed: somebody may have changed it. */
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

function writeGate(
  layout: Layout,
  record: Omit<GateRecord, 'boot'> & { boot?: string | undefined },
): void {
  const { state, boot = thisHost().bootId, ...others } = record;
  // The state first and without a space, for the reader in sh.
  writeWhole(layout.gateRecord, `${JSON.stringify({ state, boot, ...others })}\n`);
  // What is written behind the gate must not outlive, at a power cut, the word that it is closed.
  syncDirectory(layout.state);
}
