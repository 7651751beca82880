import { randomBytes } from 'node:crypto';
import { networkOf } from '../client-address.ts';
import type { Hold } from './holds.ts';
import type { StrictPinRecord } from './pin-records.ts';
import type { ServedMirror } from './served-mirror.ts';

/** Bounds of the pins that clients ask for. */
export interface StrictPinPolicy {
  /** How long a pin lasts whose client names no time; ms. */
  readonly defaultMs: number;
  /** The longest time that a client may name; ms. */
  readonly longestMs: number;
  /** A pin is not renewed past this age; ms. */
  readonly maxAgeMs: number;
  readonly maxPins: number;
  readonly maxPinsOfNetwork: number;
}

export const DEFAULT_STRICT_PINS: StrictPinPolicy = {
  defaultMs: 10 * 60_000,
  longestMs: 6 * 60 * 60_000,
  maxAgeMs: 24 * 60 * 60_000,
  maxPins: 1_000,
  maxPinsOfNetwork: 100,
};

/** A snapshot that a client holds by a token until it releases it, or its time is over. */
export interface StrictPin {
  readonly token: string;
  readonly mirror: ServedMirror;
  readonly hold: Hold;
  readonly address: string;
  readonly startedAt: number;
  /** On the same clock as `startedAt`; ms. */
  endsAt: number;
  /** How long it lasts from its last renewal; ms. */
  lastsMs: number;
}

/**
 * The id of the snapshot in a token: a server that was started anew sends it as long as it is there, until its client
 * makes the pin anew.
 */
export function idInToken(token: string): string {
  return token.slice(0, Math.max(0, token.lastIndexOf('~')));
}

function recordOf({ token, address, startedAt, endsAt, lastsMs }: StrictPin): StrictPinRecord {
  return { token, address, startedAt, endsAt, lastsMs };
}

/** Ended tokens are remembered for a while, to tell their clients from those with a wrong one. */
const MAX_ENDED = 10_000;

/** All strict pins of a server. */
export class StrictPins {
  readonly #pins = new Map<string, StrictPin>();
  readonly #ended = new Set<string>();
  #changes = 0;
  #onBegin: (mirror: ServedMirror, pin: StrictPinRecord) => void = () => {};
  readonly #policy: StrictPinPolicy;
  readonly #clock: () => number;

  /** @param clock a monotonic clock; ms. */
  constructor(policy: StrictPinPolicy, clock: () => number) {
    this.#policy = policy;
    this.#clock = clock;
  }

  /** Sets who is told of each pin that is made, before its client is. */
  onBegin(listener: (mirror: ServedMirror, pin: StrictPinRecord) => void): void {
    this.#onBegin = listener;
  }

  /** Grows with each change of what `records` says. */
  get changes(): number {
    return this.#changes;
  }

  /** The pins of a mirror, to be recalled by another process. */
  *records(mirror: ServedMirror): Generator<StrictPinRecord> {
    for (const pin of [...this.#pins.values()]) if (pin.mirror === mirror) yield recordOf(pin);
  }

  /**
   * Takes up the pins of a process before, as far as the limits allow and their snapshots are there.
   *
   * @param hold holds a snapshot; undefined when it is gone.
   */
  async recall(
    mirror: ServedMirror,
    records: Iterable<StrictPinRecord>,
    hold: (id: string) => Promise<Hold | undefined>,
  ): Promise<void> {
    for (const record of records) {
      const { token, address } = record;
      if (this.#pins.has(token)) continue;
      const held = this.hasRoomFor(address) ? await hold(idInToken(token)) : undefined;
      if (held === undefined) continue;
      const startedAt = Math.min(record.startedAt, this.#clock());
      const endsAt = Math.min(record.endsAt, startedAt + this.#policy.maxAgeMs);
      this.#pins.set(token, { ...record, startedAt, endsAt, mirror, hold: held });
    }
    this.sweep();
  }

  /** Whether this client may have one more. */
  hasRoomFor(address: string): boolean {
    this.sweep();
    const { maxPins, maxPinsOfNetwork } = this.#policy;
    if (this.#pins.size >= maxPins) return false;
    const network = networkOf(address);
    const own = [...this.#pins.values()].filter((pin) => networkOf(pin.address) === network);
    return own.length < maxPinsOfNetwork;
  }

  /** @param hold which the pin releases at its end. @param lastsMs as its client asks. */
  add(mirror: ServedMirror, hold: Hold, address: string, lastsMs: number | undefined): StrictPin {
    const now = this.#clock();
    const pin = {
      token: `${hold.id}~${randomBytes(18).toString('base64url')}`,
      mirror,
      hold,
      address,
      startedAt: now,
      endsAt: now,
      lastsMs: 0,
    };
    this.#pins.set(pin.token, pin);
    this.renew(pin, lastsMs ?? this.#policy.defaultMs);
    this.#onBegin(mirror, recordOf(pin));
    return pin;
  }

  /** @returns `ended` for one whose time is over or that was released. */
  find(mirror: ServedMirror, token: string): StrictPin | 'ended' | undefined {
    this.sweep();
    const pin = this.#pins.get(token);
    if (pin?.mirror === mirror) return pin;
    return this.#ended.has(token) ? 'ended' : undefined;
  }

  renew(pin: StrictPin, lastsMs = pin.lastsMs): void {
    const { longestMs, maxAgeMs } = this.#policy;
    this.#changes += 1;
    pin.lastsMs = Math.min(lastsMs, longestMs);
    pin.endsAt = Math.min(this.#clock() + pin.lastsMs, pin.startedAt + maxAgeMs);
  }

  release(pin: StrictPin): void {
    if (!this.#pins.delete(pin.token)) return;
    this.#changes += 1;
    this.#ended.add(pin.token);
    const [oldest] = this.#ended;
    if (this.#ended.size > MAX_ENDED && oldest !== undefined) this.#ended.delete(oldest);
    pin.hold.release();
  }

  /** Releases the pins whose time is over. To be called every few seconds. */
  sweep(): void {
    const now = this.#clock();
    for (const pin of this.#pins.values()) if (pin.endsAt <= now) this.release(pin);
  }

  /** How many pins hold each snapshot of a mirror. */
  counts(mirror: ServedMirror): Map<string, number> {
    const counts = new Map<string, number>();
    for (const { mirror: other, hold } of this.#pins.values()) {
      if (other === mirror) counts.set(hold.id, (counts.get(hold.id) ?? 0) + 1);
    }
    return counts;
  }

  /** Ms until a pin ends. */
  remaining({ endsAt }: StrictPin): number {
    return endsAt - this.#clock();
  }

  close(): void {
    for (const pin of this.#pins.values()) this.release(pin);
  }
}
