import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { MirrorlatchError } from '../errors.ts';
import { realPathToBe } from '../system/files.ts';
import { quoteForSh } from '../system/quote.ts';

/**
 * Where a mirror is copied from. `argument` is for rsync and always ends with a slash, as does
 * `module`. A daemon's `path` is relative to its module and may be empty.
 */
export type Source =
  | { kind: 'local'; argument: string; path: string }
  | { kind: 'ssh'; argument: string; host: string }
  | { kind: 'daemon'; argument: string; host: string; module: string; path: string }
  /** A tree that another host pushes; `name` is that host's name for it. See `pushed.ts`. */
  | { kind: 'pushed'; argument: string; name: string };

const FORMS = 'Give a directory, host:path, host::module/path or rsync://host/module/path.';

/** What a source is called in reports and in the history. */
export function sourceName(source: Source): string {
  return source.kind === 'pushed' ? source.name : source.argument;
}

/**
 * Reads SRC as rsync(1) does (GENERAL): `rsync://host/module/path` and `host::module/path` name a
 * daemon; `host:path`, with no slash before the colon, uses a remote shell; anything else is a
 * local path. A trailing slash makes no difference: the contents of SRC are mirrored.
 *
 * @throws MirrorlatchError USAGE for a source that rsync would misread.
 */
export function parseSource(text: string): Source {
  if (text === '' || text.includes('\0')) {
    throw new MirrorlatchError('USAGE', `${JSON.stringify(text)} is not a source`, {
      hint: FORMS,
    });
  }
  refusePassword(text);
  const daemon =
    /^rsync:\/\/([^/]*)(\/|$)/i.exec(text) ?? /^((?:\[[^\]/]*\]|[^/:[\]])*)::/.exec(text);
  if (daemon) {
    const host = safeHost(daemon[1] ?? '', text);
    const [module, ...path] = text
      .slice(daemon[0].length)
      .split('/')
      .filter((name) => name !== '' && name !== '.');
    if (module === undefined) {
      // rsync would list the modules and exit with 0, as if the source were empty.
      throw new MirrorlatchError('USAGE', `the source ${JSON.stringify(text)} names no module`, {
        hint: `List the modules with: rsync rsync://${host}/`,
      });
    }
    return {
      kind: 'daemon',
      argument: withSlash(text),
      host,
      module: withSlash(daemon[0] + module),
      path: path.join('/'),
    };
  }
  const scheme = /^[a-z][a-z0-9+.-]*:\/\//i.exec(text);
  if (scheme) {
    // rsync would take the scheme for the name of a host.
    throw new MirrorlatchError('USAGE', `rsync cannot read from ${scheme[0]}`, { hint: FORMS });
  }
  const shell = /^((?:[^/:[\]]*@)?(?:\[[^\]/]*\]|[^/:[\]]*)):/.exec(text);
  if (shell) {
    const host = safeHost(shell[1] ?? '', text);
    // An empty path is the user's home on that host; a mere slash would be the root directory.
    const argument = text.length === shell[0].length ? `${text}./` : withSlash(text);
    return { kind: 'ssh', argument, host };
  }
  const path = resolve(text);
  return { kind: 'local', argument: withSlash(path), path };
}

/** rsync(1) reads no password there, but takes what stands before it for the name of a host. */
function refusePassword(text: string): void {
  const server =
    /^rsync:\/\/([^/:@]*):(?!\d+\/).*@/is.exec(text) ?? /^([^/:@]+):[^:]*@[^/:]+::/.exec(text);
  const shell = /^([^/:@]+):[^/:@]*@[^/:]+:/.exec(text);
  if (server === null && shell === null) return;
  throw new MirrorlatchError('USAGE', 'a password cannot be a part of the source', {
    hint: server
      ? `Write ${server[1]}@ and the host, and the option --password-file=FILE.`
      : `Write ${shell?.[1]}@ and the host. Give ssh a key of its own: ssh-keygen, then ssh-copy-id.`,
  });
}

/** Whether both name one place, as far as can be seen from here. */
export function isSameSource(one: Source, other: Source): boolean {
  if (one.kind === 'local' && other.kind === 'local') {
    return realPathToBe(one.path) === realPathToBe(other.path);
  }
  if (one.kind === 'daemon' && other.kind === 'daemon') {
    const place = ({ host, module, path }: typeof one) =>
      [host, module.replace(/\/$/, '').replace(/^.*[/:]/s, ''), path].join('/');
    return place(one) === place(other);
  }
  return one.kind === other.kind && one.argument === other.argument;
}

/**
 * A warning about a text with a colon that rsync(1) reads as a path on another host, although there is
 * one of that name here; undefined for any other text.
 *
 * @param isToBeMade it names what need not be there yet: then the directory with the colon is enough.
 */
export function namesakeWarning(text: string, isToBeMade = false): string | undefined {
  const isPlain = /^([a-z]+:\/\/|\.{0,2}\/|[^/:]*(\/|$))/i.test(text);
  if (isPlain || !existsSync(isToBeMade ? text.replace(/\/.*/s, '') : text)) return undefined;
  const here = quoteForSh(`./${text}`);
  return `${quoteForSh(text)} is taken for a path on another host; the path here is written ${here}`;
}

/** A warning about a local source that is not there, such as on a disk that is not mounted yet. */
export function absenceWarning(text: string): string | undefined {
  const source = parseSource(text);
  if (source.kind !== 'local' || existsSync(source.path)) return undefined;
  return `there is no directory ${source.path} yet`;
}

/** A mirror on another host, which is reached by ssh. */
export interface Destination {
  user: string | undefined;
  /** Without the brackets of an IPv6 address. */
  host: string;
  port: number | undefined;
  /** The mirror's ROOT on that host, relative to the user's home unless absolute. */
  root: string;
}

/**
 * Reads ROOT as rsync(1) reads a destination, or as `ssh://[user@]host[:port]/ROOT`.
 *
 * @returns undefined for a local path.
 * @throws MirrorlatchError USAGE for a host without a usable path of a mirror.
 */
export function parseDestination(text: string): Destination | undefined {
  const url = /^ssh:\/\/(?:([^@/]*)@)?(\[[^\]/]*\]|[^/:[\]]*)(?::(\d{1,5}))?(\/.*)?$/is.exec(text);
  if (url) {
    const [, user, host = '', port, root] = url;
    return destinationOf(text, user, host, port === undefined ? undefined : Number(port), root);
  }
  if (/^ssh:\/\//i.test(text)) throw noDestination(text);
  if (text === '' || text.includes('\0')) return undefined;
  const source = parseSource(text);
  if (source.kind === 'daemon') {
    throw new MirrorlatchError('USAGE', `${JSON.stringify(text)} is an rsync server`, {
      hint: `An rsync server can only be the source: mirrorlatch sync ${quoteForSh(text)} ROOT. A mirror on another host is reached by ssh, as host:ROOT or ssh://host/ROOT.`,
    });
  }
  if (source.kind !== 'ssh') return undefined;
  const at = source.host.lastIndexOf('@');
  const user = at === -1 ? undefined : source.host.slice(0, at);
  const root = text.slice(source.host.length + 1);
  return destinationOf(text, user, source.host.slice(at + 1), undefined, root);
}

/**
 * Where a text that names a mirror leads outside this host, also if no mirror can be there; undefined
 * for a local path.
 */
export function destinationIn(text: string): Destination | 'server' | undefined {
  if (/^rsync:\/\/|^[^/]*::/i.test(text)) return 'server';
  try {
    return parseDestination(text);
  } catch {
    return undefined;
  }
}

function destinationOf(
  text: string,
  user: string | undefined,
  host: string,
  port: number | undefined,
  path: string | undefined,
): Destination {
  // No shell expands the tilde, but ssh starts in the home directory anyway.
  const root = path?.replace(/^~\/+/, '').replace(/(?<=.)\/+$/, '');
  const isSafe = !/^-|^$/.test(host) && !/^-|^$/.test(user ?? 'any') && (port ?? 1) <= 65_535;
  if (!isSafe || root === undefined || root === '' || /^~|[\0\n]/.test(root)) {
    throw noDestination(text);
  }
  return { user, host: host.replace(/^\[|\]$/g, ''), port, root };
}

function noDestination(text: string): MirrorlatchError {
  return new MirrorlatchError('USAGE', `${JSON.stringify(text)} names no mirror on another host`, {
    hint: 'Give host:ROOT or ssh://[user@]host[:port]/ROOT. Begin a local path with ./',
  });
}

function withSlash(text: string): string {
  return text.endsWith('/') ? text : `${text}/`;
}

/** ssh(1) would read a host name with a leading dash as an option. */
function safeHost(host: string, source: string): string {
  const name = host.slice(host.lastIndexOf('@') + 1);
  if (name !== '' && !host.startsWith('-') && !name.startsWith('-')) return host;
  throw new MirrorlatchError('USAGE', `the source ${JSON.stringify(source)} names no usable host`, {
    hint: 'Begin a local path that has a colon or a leading dash with ./',
  });
}
