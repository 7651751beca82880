import { type MirrorUrl, parseMirrorUrl } from './mirror-url.ts';
import type { Answer } from './outgoing.ts';

/** What a pin is, for another process to keep it. */
export interface PinState {
  readonly given: string;
  /** See `MirrorUrl`. */
  readonly base: string;
  readonly current?: string;
  readonly channel?: string;
  readonly id: string;
  /** Of a strict pin. */
  readonly token?: string;
  /** Of a strict pin, how long it lasts unless it is renewed. */
  readonly seconds?: number;
  /** Of a plain pin. */
  readonly target?: string;
}

export function stateOf({ given, base, current, channel }: MirrorUrl): Omit<PinState, 'id'> {
  return {
    given,
    base: base.href,
    ...(current === undefined ? {} : { current: current.href }),
    ...(channel === undefined ? {} : { channel }),
  };
}

export function mirrorOf({ given, base, current, channel }: PinState): MirrorUrl {
  return {
    ...parseMirrorUrl(given),
    base: new URL(base),
    ...(current === undefined ? {} : { current: new URL(current) }),
    ...(channel === undefined ? {} : { channel }),
  };
}

/** What a server of mirrorlatch answers to one who wants a pin; undefined for another answer. */
export function strictPin(mirror: MirrorUrl, { status, text }: Answer): PinState | undefined {
  const { token, id, seconds } = status === 201 ? fieldsOf(text) : {};
  if (typeof token !== 'string' || !/^[\w.~+-]+$/.test(token)) return undefined;
  if (typeof id !== 'string' || typeof seconds !== 'number' || !(seconds > 0)) return undefined;
  return { ...stateOf(mirror), id, token, seconds };
}

export function authorized({ authorization }: MirrorUrl): readonly string[] {
  return authorization === undefined ? [] : ['Authorization', authorization];
}

export function isGone(status: number): boolean {
  return status === 404 || status === 410;
}

export function fieldsOf(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? { ...value } : {};
  } catch {
    return {};
  }
}
