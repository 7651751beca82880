import { MirrorlatchError } from '../../errors.ts';
import { isChannelName } from '../../mirror/settings/policy.ts';
import { percentDecoded } from '../percent.ts';
import { basicAuthorization } from './basic-authorization.ts';

/** A mirror that is named by a URL. */
export interface MirrorUrl {
  /** As the user typed it. */
  readonly given: string;
  /** Its directory with `current/` and `current.json`; ends with a slash, and has no user and no query. */
  readonly base: URL;
  /** Where clients read what is current, if that is not `current/` in its directory. */
  readonly current?: URL;
  /** The channel that they read in place of what is current. */
  readonly channel?: string;
  /** The value of an Authorization header, if the URL names a user. */
  readonly authorization: string | undefined;
}

/**
 * Reads a URL of a mirror: of its directory, or of anything through its `current`. Pure.
 *
 * @throws MirrorlatchError USAGE
 */
export function parseMirrorUrl(given: string): MirrorUrl {
  const url = URL.canParse(given) ? new URL(given) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    throw new MirrorlatchError('USAGE', `${JSON.stringify(given)} is no URL of a mirror`, {
      hint: 'Name it as its clients do, for example: http://mirror.example.org/debian/current/',
    });
  }
  const segments = segmentsOf(url);
  const at = segments.map(percentDecoded).lastIndexOf('current');
  const directory = at === -1 ? segments : segments.slice(0, at);
  const base = new URL(url.origin);
  base.pathname = directory
    .map((segment) => `/${segment}`)
    .join('')
    .concat('/');
  return { given, base, authorization: basicAuthorization(url) };
}

/** Whether a proxy can look into what is requested of the mirror. Pure. */
export function isPlain({ base }: MirrorUrl): boolean {
  return base.protocol === 'http:';
}

/**
 * The URLs through which clients read the mirror, all of which lead to what is pinned: that of the channel, if there is
 * one, and that of what is current. The first is below none of the others. Pure.
 */
export function placesOf({ base, current, channel }: MirrorUrl): readonly [URL, ...URL[]] {
  const ofCurrent = current ?? new URL('current/', base);
  return channel === undefined ? [ofCurrent] : [new URL(`${channel}/`, base), ofCurrent];
}

/** The URL through which clients read the mirror. Pure. */
export function placeOf(mirror: MirrorUrl): URL {
  return placesOf(mirror)[0];
}

/**
 * The mirror whose clients read what is current, or a channel, right below the place that was named, if its server says so;
 * otherwise the same. Pure.
 *
 * @param base what the server says of where the mirror is, relative to that place or absolute.
 * @param channel what it says of the channel there.
 */
export function withBase(mirror: MirrorUrl, base: unknown, channel: unknown): MirrorUrl {
  if (typeof base !== 'string' || !URL.canParse(base, mirror.base.href)) return mirror;
  const there = new URL(base, mirror.base);
  if (!isSameOrigin(there, mirror.base) || !there.pathname.endsWith('/')) return mirror;
  return isChannelName(channel)
    ? { ...mirror, base: there, channel }
    : { ...mirror, base: there, current: mirror.base };
}

/** The mirror of which the place that was named is a channel, if it is one. Pure. */
export function asChannel(mirror: MirrorUrl): MirrorUrl | undefined {
  // Its URL would not go on with `current`.
  if (segmentsOf(new URL(mirror.given)).length > segmentsOf(mirror.base).length) return undefined;
  const channel = percentDecoded(mirror.base.pathname.split('/').at(-2) ?? '');
  return isChannelName(channel)
    ? { ...mirror, base: new URL('../', mirror.base), channel }
    : undefined;
}

/**
 * What of a URL comes after a directory, exactly as it was written; undefined if the URL leads elsewhere. Web servers
 * decode names, slashes among them, and join slashes: a URL that is written otherwise leads to the same file. Pure.
 *
 * @param directory the URL of a directory, with its slash.
 * @param url absolute, such as the target of a request to a proxy (RFC 9112, 3.2.2); not an ambiguous one.
 * @returns a path without a slash at its begin, with the query; empty for the directory with its slash.
 */
export function below(directory: URL, url: string): string | undefined {
  // As nearly every client writes it.
  if (url.startsWith(directory.href) && !UNUSUAL.test(url)) return url.slice(directory.href.length);
  const { origin, path, query } = partsOf(url);
  if (!URL.canParse(origin) || !isSameOrigin(new URL(origin), directory)) return undefined;
  const plain = DOTS.test(path) ? resolvedDecoded(path) : path;
  const wanted = segmentsOf(directory);
  // Names and what separates them in turn, after the first slash.
  const written = plain.split(/(\/|%2f)/i).slice(2);
  for (const name of wanted) {
    while (written[0] === '') written.splice(0, 2);
    if (percentDecoded(written[0] ?? '') !== percentDecoded(name)) return undefined;
    written.splice(0, 2);
  }
  return written.length === 0 ? undefined : `${written.join('')}${query}`;
}

/**
 * Whether it depends on the server where a URL leads: some decode slashes and join them before they resolve `..`, some
 * afterwards. No client writes that by chance. Pure.
 */
export function isAmbiguous(url: string): boolean {
  if (!UNUSUAL.test(url)) return false;
  const { path } = partsOf(url);
  if (!DOTS.test(path)) return false;
  const names = (text: string) => percentDecoded(text.replaceAll(/(?:\/|%2f)+/gi, '/'));
  return names(resolvedAsWritten(path)) !== names(resolvedDecoded(path));
}

/** Resolves `.` and `..` as RFC 3986, 5.2.4, has it: an empty name is a name, and only a plain slash separates names. */
function resolvedAsWritten(path: string): string {
  return resolved(path.split('/').slice(1));
}

/** Resolves `.` and `..` in what a path is once it is decoded, and its slashes are joined. */
function resolvedDecoded(path: string): string {
  const names = path.split(SLASHES).slice(1);
  return resolved(names.filter((name, at) => name !== '' || at === names.length - 1));
}

function resolved(names: readonly string[]): string {
  const kept: string[] = [];
  for (const name of names) {
    const plain = percentDecoded(name);
    if (plain === '..') kept.pop();
    else if (plain !== '.') kept.push(name);
  }
  // It is a directory, as it is with a slash at its end.
  if (/^\.{1,2}$/.test(percentDecoded(names.at(-1) ?? ''))) kept.push('');
  return `/${kept.join('/')}`;
}

/** What a client asks for, as it was written. */
function partsOf(url: string): { origin: string; path: string; query: string } {
  const [, origin = '', path = '', query = ''] =
    /^([a-z]+:\/\/[^/?#]*)([^?#]*)(\?[^#]*)?/i.exec(url) ?? [];
  return { origin, path, query };
}

function segmentsOf({ pathname }: URL): string[] {
  return pathname.split(SLASHES).filter((segment) => segment !== '');
}

const SLASHES = /\/|%2f/i;

/** What may be a name that is to be resolved, or no part of what a server is asked for. */
const UNUSUAL = /#|(?:\/|%2f)\.|%2e/i;

/** The directories `.` and `..`, which a client may have left in a path, also encoded. */
const DOTS = /(?:^|\/|%2f)(?:\.|%2e){1,2}(?:\/|%2f|$)/i;

/** Replaces the URLs of directories, also without their slashes, and all that begins with them. Pure. */
export function replaceUrls(text: string, from: readonly URL[], to: URL): string {
  const plain = (url: URL) => url.href.replace(/\/$/, '');
  const escaped = from.map((url) => plain(url).replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  // A name may go on: current.json is no part of current.
  const pattern = new RegExp(`(?:${escaped.join('|')})(?![\\w.~%-])`, 'g');
  return text.replaceAll(pattern, () => plain(to));
}

/** Whether a text names the URL of one of these directories, or what is below it. Pure. */
export function namesUrl(text: string, urls: readonly URL[]): boolean {
  return replaceUrls(text, urls, new URL('http://elsewhere.invalid/')) !== text;
}

/** Whether two URLs are of one server, as far as their names say that. */
export function isSameOrigin(one: URL, other: URL): boolean {
  // A host may end with the dot of the root of DNS.
  const name = ({ protocol, host }: URL) => `${protocol}${host.replace(/\.(?=:|$)/, '')}`;
  return name(one) === name(other);
}
