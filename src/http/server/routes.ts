import { isChannelName } from '../../mirror/settings/policy.ts';
import type { ServedMirror } from '../pins/served-mirror.ts';

/** What the path of a request means. Names are raw bytes below a snapshot. */
export type Route =
  | { kind: 'current'; mirror: ServedMirror; name: Buffer }
  | { kind: 'snapshot'; mirror: ServedMirror; id: string; name: Buffer }
  /** Below a name that a channel may have, be there one or not. */
  | { kind: 'channel'; mirror: ServedMirror; channel: string; name: Buffer }
  | { kind: 'channel.json' | 'channel without slash'; mirror: ServedMirror; channel: string }
  | { kind: 'snapshots' | 'base' | 'current.json' | 'pins'; mirror: ServedMirror }
  | { kind: 'pin'; mirror: ServedMirror; token: string }
  /** A path below a strict pin, as if it were below the mirror's base. */
  | { kind: 'pinned'; mirror: ServedMirror; token: string; within: Pinned }
  /** The server's own pages: the path below `/-/`. */
  | { kind: 'own'; path: string }
  /** The same path needs a slash at its end. */
  | { kind: 'slash' }
  | { kind: 'nothing' }
  | { kind: 'invalid'; why: string };

/** What lies below a strict pin. */
type Pinned =
  | { kind: 'current'; name: Buffer }
  | { kind: 'snapshot'; id: string; name: Buffer }
  | { kind: 'slash' | 'nothing' }
  | { kind: 'snapshots' | 'base' | 'current.json' };

/** Where the URLs of a mirror begin whose prefix has nothing but what is current: `BASE_HEADER` says it. */
export const OWN_PREFIX = '/-/mirrors/';

/** The pages of the server itself, below `/-/`; at `/` as well, where no mirror has that place. */
export const OWN_PAGES = ['', 'still', 'status.json', 'metrics', 'healthz'] as const;

/** Finds out what a request is about. Pure. @param target as in the request line (RFC 9112, 3.2). */
export function routeOf(target: string, mirrors: readonly ServedMirror[]): Route {
  const segments = segmentsOf(pathOf(target));
  if (typeof segments === 'string') return { kind: 'invalid', why: segments };
  const [first, ...others] = segments;
  for (const mirror of mirrors) {
    const rest = below(mirror.prefix, segments);
    if (rest !== undefined && (first !== '-' || mirror.prefix !== '/'))
      return inMirror(mirror, rest);
    const name = first === '-' ? undefined : below(mirror.content, segments);
    if (name !== undefined) return { kind: 'current', mirror, name: nameOf(name) };
  }
  if (first === '-') return { kind: 'own', path: others.join('/') };
  const path = `/${segments.join('/')}/`;
  if (mirrors.some(({ prefix, content }) => [prefix, content].includes(path))) {
    return { kind: 'slash' };
  }
  const isWhole = mirrors.some(({ prefix, content }) => [prefix, content].includes('/'));
  return isWhole ? { kind: 'nothing' } : { kind: 'own', path: segments.join('/') };
}

function inMirror(mirror: ServedMirror, segments: readonly string[]): Route {
  const [first, token, ...rest] = segments;
  if (first === 'pins') {
    if (token === undefined || token === '') return { kind: 'pins', mirror };
    if (rest.length === 0) return { kind: 'pin', mirror, token };
    return { kind: 'pinned', mirror, token, within: withinBase(rest) };
  }
  const place = withinBase(segments);
  switch (place.kind) {
    case 'nothing':
      return inChannel(mirror, segments) ?? { kind: place.kind };
    case 'slash':
      return { kind: place.kind };
    case 'current':
    case 'snapshot':
      return { ...place, mirror };
    default:
      return { kind: place.kind, mirror };
  }
}

/** A strict pin has none: it is one snapshot, whatever that is called. */
function inChannel(mirror: ServedMirror, segments: readonly string[]): Route | undefined {
  const [first = '', second, ...rest] = segments;
  const announced = first.endsWith('.json') ? first.slice(0, -'.json'.length) : undefined;
  if (announced !== undefined && second === undefined && isChannelName(announced))
    return { kind: 'channel.json', mirror, channel: announced };
  if (!isChannelName(first)) return undefined;
  if (second === undefined) return { kind: 'channel without slash', mirror, channel: first };
  return { kind: 'channel', mirror, channel: first, name: nameOf([second, ...rest]) };
}

function withinBase([first = '', second, ...rest]: readonly string[]): Pinned {
  switch (first) {
    case '':
      return { kind: 'base' };
    case 'current.json':
      return { kind: second === undefined ? first : 'nothing' };
    case 'current':
      if (second === undefined) return { kind: 'slash' };
      return { kind: first, name: nameOf([second, ...rest]) };
    case 'snapshots':
      if (second === undefined) return { kind: 'slash' };
      if (second === '') return { kind: first };
      if (rest.length === 0) return { kind: 'slash' };
      return { kind: 'snapshot', id: second, name: nameOf(rest) };
    default:
      return { kind: 'nothing' };
  }
}

function nameOf(segments: readonly string[]): Buffer {
  return Buffer.from(segments.join('/'), 'latin1');
}

/** The segments after a prefix, if they begin with it. The last is empty if the path ends with a slash. */
function below(prefix: string, segments: readonly string[]): readonly string[] | undefined {
  const first = prefix.split('/').slice(1, -1);
  const isBelow =
    segments.length > first.length && first.every((segment, at) => segment === segments[at]);
  return isBelow ? segments.slice(first.length) : undefined;
}

/** The path of a request's target, also of one that a proxy is asked for. */
function pathOf(target: string): string {
  const [path = ''] = target.split(/[?#]/, 1);
  const authority = /^https?:\/\/[^/]*/i.exec(path)?.[0] ?? '';
  return path.slice(authority.length) || '/';
}

/**
 * The decoded segments of a path, as latin1 text, a character a byte; why it is invalid, if it is. Empty ones
 * and `.` mean nothing, as in apt's `http://host/debian/./Packages`, except at the end, where they stay as an empty
 * one.
 */
function segmentsOf(path: string): string[] | string {
  if (!path.startsWith('/')) return 'the path does not begin with a slash';
  let isInvalid = false;
  const decoded = path.replaceAll(/%([0-9a-f]{2})?/gi, (_, hex: string | undefined) => {
    if (hex === undefined) isInvalid = true;
    return String.fromCharCode(Number.parseInt(hex ?? '0', 16));
  });
  if (isInvalid) return 'a % in the path is followed by no two hexadecimal digits';
  if (decoded.includes('\0')) return 'the path contains a NUL';
  const all = decoded.split('/').slice(1);
  if (all.includes('..')) return 'the path has a segment "..", which leads up';
  const isDirectory = ['', '.'].includes(all.at(-1) ?? '');
  const named = all.filter((segment) => segment !== '' && segment !== '.');
  return isDirectory ? [...named, ''] : named;
}
