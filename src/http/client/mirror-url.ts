import { MirrorlatchError } from '../../errors.ts';

/** A mirror that is named by a URL. */
export interface MirrorUrl {
  /** As the user typed it. */
  readonly given: string;
  /** Its directory with `current/` and `current.json`; ends with a slash, and has no user and no query. */
  readonly base: URL;
  /** Where clients read what is current, if that is not `current/` in its directory. */
  readonly current?: URL;
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
  const { username, password } = url;
  const user = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  const segments = url.pathname.split('/').filter((segment) => segment !== '');
  const at = segments.map(decoded).lastIndexOf('current');
  const directory = at === -1 ? segments : segments.slice(0, at);
  const base = new URL(url.origin);
  base.pathname = directory
    .map((segment) => `/${segment}`)
    .join('')
    .concat('/');
  return {
    given,
    base,
    authorization: username === '' ? undefined : `Basic ${Buffer.from(user).toString('base64')}`,
  };
}

/** The URL through which clients read the mirror. Pure. */
export function currentOf({ base, current }: MirrorUrl): URL {
  return current ?? new URL('current/', base);
}

/**
 * The mirror whose clients read what is current right below the place that was named, if its server says so; otherwise
 * the same. Pure.
 *
 * @param base what the server says, relative to that place or absolute.
 */
export function withBase(mirror: MirrorUrl, base: unknown): MirrorUrl {
  if (typeof base !== 'string' || !URL.canParse(base, mirror.base.href)) return mirror;
  const there = new URL(base, mirror.base);
  const isOurs = isSameOrigin(there, mirror.base) && there.pathname.endsWith('/');
  return isOurs ? { ...mirror, base: there, current: mirror.base } : mirror;
}

/**
 * What of a URL comes after a directory, exactly as it was written; undefined if the URL leads elsewhere. Web servers
 * decode names, and join slashes: a URL that is written otherwise leads to the same file. Pure.
 *
 * @param directory the URL of a directory, with its slash.
 * @param url absolute, such as the target of a request to a proxy (RFC 9112, 3.2.2).
 * @returns a path without a slash at its begin, with the query; empty for the directory with its slash.
 */
export function below(directory: URL, url: string): string | undefined {
  // As nearly every client writes it.
  if (url.startsWith(directory.href) && !UNUSUAL.test(url)) return url.slice(directory.href.length);
  const [, origin = '', written = ''] = /^([a-z]+:\/\/[^/?#]*)([^#]*)/i.exec(url) ?? [];
  if (!URL.canParse(origin) || !isSameOrigin(new URL(origin), directory)) return undefined;
  const [path = '', ...queries] = written.split('?');
  const query = queries.length === 0 ? '' : `?${queries.join('?')}`;
  const plain = DOTS.test(path) ? new URL(`${origin}${path}`).pathname : path;
  const wanted = directory.pathname.split('/').filter((segment) => segment !== '');
  const segments = plain.split('/').slice(1);
  for (const name of wanted) {
    while (segments[0] === '') segments.shift();
    if (decoded(segments.shift() ?? '') !== decoded(name)) return undefined;
  }
  return segments.length === 0 ? undefined : `${segments.join('/')}${query}`;
}

/** What may be a name that is to be resolved, or no part of what a server is asked for. */
const UNUSUAL = /#|\/\.|%2e/i;

/** The directories `.` and `..`, which a client may have left in a path, also encoded. */
const DOTS = /(?:^|\/)(?:\.|%2e){1,2}(?:\/|$)/i;

function isSameOrigin(one: URL, other: URL): boolean {
  // A host may end with the dot of the root of DNS.
  const name = ({ protocol, host }: URL) => `${protocol}${host.replace(/\.(?=:|$)/, '')}`;
  return name(one) === name(other);
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}
