import type { MirrorUrl } from './mirror-url.ts';
import type { Answer, Outgoing } from './outgoing.ts';
import { authorized, isGone, mirrorOf, type PinState, stateOf, strictPin } from './pin-state.ts';

/**
 * A snapshot of a mirror that is named by a URL.
 *
 * - `strict`: a server of mirrorlatch holds the snapshot for us, and we renew that at a third of its time;
 * - `plain`: the address of the snapshot is known from the mirror's current.json, but nothing holds the snapshot.
 */
export interface KeptPin {
  readonly mirror: MirrorUrl;
  readonly kind: 'strict' | 'plain';
  readonly id: string;
  /** Requests below `current/` go there. Ends with a slash. It changes if the server has forgotten the pin. */
  readonly target: URL;
  readonly state: PinState;
  /** Ends the pin; the server then holds the snapshot no longer. */
  release(): Promise<void>;
  /** Leaves the pin to another process. */
  abandon(): void;
}

export interface KeepOptions {
  readonly outgoing: Outgoing;
  /** Gets what the user should know, one sentence each. */
  readonly onWarning: (message: string) => void;
}

/** How often to look whether a snapshot that nothing holds is still there, in ms. */
const LOOK_MS = 30_000;

/** A pin is renewed at least this often, whatever its server says; s. */
const LONGEST_SECONDS = 3600;

/** The last words of a command: it has ended, so they may get lost. */
const GOODBYE_MS = 2_000;

/** Goes on with a pin, as another process has it. */
export function keepPin(state: PinState, options: KeepOptions): KeptPin {
  const mirror = mirrorOf(state);
  return state.token === undefined
    ? new PlainPin(mirror, state, options)
    : new StrictPin(mirror, state, state.token, options);
}

/** Renewed at a third of its time, so that two attempts may fail. */
class StrictPin implements KeptPin {
  readonly kind = 'strict';
  readonly mirror: MirrorUrl;
  readonly id: string;
  readonly #seconds: number;
  readonly #outgoing: Outgoing;
  readonly #onWarning: (message: string) => void;
  readonly #timer: NodeJS.Timeout;
  #token: string;
  #isWarned = false;

  constructor(
    mirror: MirrorUrl,
    { id, seconds = 0 }: PinState,
    token: string,
    { outgoing, onWarning }: KeepOptions,
  ) {
    this.mirror = mirror;
    this.id = id;
    this.#token = token;
    this.#seconds = seconds;
    this.#outgoing = outgoing;
    this.#onWarning = onWarning;
    this.#timer = setInterval(() => void this.#renew(), thirdOf(seconds)).unref();
  }

  get target(): URL {
    return new URL('current/', this.#place('/'));
  }

  get state(): PinState {
    const { id, mirror } = this;
    return { ...stateOf(mirror), id, token: this.#token, seconds: this.#seconds };
  }

  abandon(): void {
    clearInterval(this.#timer);
  }

  async release(): Promise<void> {
    this.abandon();
    // Otherwise, its time ends it.
    await this.#ask('DELETE').catch(() => {});
  }

  async #renew(): Promise<void> {
    try {
      const { status } = await this.#ask('PUT');
      if (isGone(status)) await this.#pinAgain();
      else if (status === 200) this.#isWarned = false;
    } catch (error) {
      this.#warn(`the pin cannot be renewed: ${(error as Error).message}`);
    }
  }

  /** The server was started anew, or could not be reached for too long. The same snapshot is as good. */
  async #pinAgain(): Promise<void> {
    const answer = await this.#outgoing.ask('POST', new URL('pins', this.mirror.base), {
      headers: authorized(this.mirror),
      body: { snapshot: this.id, seconds: this.#seconds },
    });
    const pin = strictPin(this.mirror, answer);
    if (pin?.id === this.id && pin.token !== undefined) this.#token = pin.token;
    else this.#warn(`the server has forgotten the pin, and has ${this.id} no longer`);
  }

  #warn(why: string): void {
    if (!this.#isWarned) this.#onWarning(`${this.mirror.given}: ${why}`);
    this.#isWarned = true;
  }

  #ask(method: string): Promise<Answer> {
    const timeoutMs = method === 'DELETE' ? GOODBYE_MS : thirdOf(this.#seconds);
    return this.#outgoing.ask(method, this.#place(''), {
      headers: authorized(this.mirror),
      timeoutMs,
    });
  }

  #place(end: string): URL {
    return new URL(`pins/${this.#token}${end}`, this.mirror.base);
  }
}

/** All that can be done for it is to tell when the snapshot has gone: requests fail then. */
class PlainPin implements KeptPin {
  readonly kind = 'plain';
  readonly mirror: MirrorUrl;
  readonly id: string;
  readonly target: URL;
  readonly #timer: NodeJS.Timeout;

  constructor(
    mirror: MirrorUrl,
    { id, target = '' }: PinState,
    { outgoing, onWarning }: KeepOptions,
  ) {
    this.mirror = mirror;
    this.id = id;
    this.target = new URL(target);
    const look = async () => {
      const { status } = await outgoing.ask('HEAD', this.target, { headers: authorized(mirror) });
      if (!isGone(status)) return;
      this.abandon();
      onWarning(`${mirror.given}: the snapshot ${id} was removed while it was read`);
    };
    // While the server cannot be reached, the command sees that by itself.
    this.#timer = setInterval(() => void look().catch(() => {}), LOOK_MS).unref();
  }

  get state(): PinState {
    return { ...stateOf(this.mirror), id: this.id, target: this.target.href };
  }

  abandon(): void {
    clearInterval(this.#timer);
  }

  async release(): Promise<void> {
    this.abandon();
  }
}

/** ms */
function thirdOf(seconds: number): number {
  return Math.min(seconds / 3, LONGEST_SECONDS) * 1000;
}
