import { resolve } from 'node:path';
import { MirrorlatchError } from '../errors.ts';

/**
 * Where a mirror is copied from. `argument` is for rsync and always ends in a slash, as does a
 * daemon's `module`; its `path` lies below that and may be empty.
 */
export type Source =
  | { kind: 'local'; argument: string; path: string }
  | { kind: 'ssh'; argument: string; host: string }
  | { kind: 'daemon'; argument: string; host: string; module: string; path: string }
  /** A tree that another host pushes; `name` is what that host calls it. See `pushed.ts`. */
  | { kind: 'pushed'; argument: string; name: string };

/** What a source is called in reports and in the history. */
export function sourceName(source: Source): string {
  return source.kind === 'pushed' ? source.name : source.argument;
}

/**
 * Reads SRC as rsync(1) does (GENERAL): `rsync://host/module/path` and `host::module/path` are a
 * daemon, `host:path` is a remote shell when no slash comes before the colon, all else is a local
 * path. It is always the contents of SRC that are mirrored, with a trailing slash or without.
 *
 * @throws MirrorlatchError USAGE for a source that rsync would take for something else.
 */
export function parseSource(text: string): Source {
  if (text === '' || text.includes('\0')) {
    throw new MirrorlatchError('USAGE', `${JSON.stringify(text)} is not a source`, {
      hint: 'Give a directory, host:path, host::module/path or rsync://host/module/path.',
    });
  }
  const daemon =
    /^rsync:\/\/([^/]*)(\/|$)/i.exec(text) ?? /^((?:\[[^\]/]*\]|[^/:[\]])*)::/.exec(text);
  if (daemon) {
    const host = safeHost(daemon[1] ?? '', text);
    const [module, ...path] = text
      .slice(daemon[0].length)
      .split('/')
      .filter((name) => name !== '' && name !== '.');
    if (module === undefined) {
      // rsync would list the modules and end with 0: an empty tree, as it were.
      throw new MirrorlatchError('USAGE', `the source ${JSON.stringify(text)} names no module`, {
        hint: `See which there are with: rsync rsync://${host}/`,
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
  const shell = /^((?:[^/:[\]]*@)?(?:\[[^\]/]*\]|[^/:[\]]*)):/.exec(text);
  if (shell) {
    const host = safeHost(shell[1] ?? '', text);
    // Nothing behind the colon is the user's home there; a slash would make the root of it.
    const argument = text.length === shell[0].length ? `${text}./` : withSlash(text);
    return { kind: 'ssh', argument, host };
  }
  const path = resolve(text);
  return { kind: 'local', argument: withSlash(path), path };
}

/** A mirror on another host, which is reached by ssh. */
export interface Destination {
  user: string | undefined;
  /** Without the brackets of an IPv6 address. */
  host: string;
  port: number | undefined;
  /** The mirror's ROOT there; a relative one lies in the user's home. */
  root: string;
}

/**
 * Reads ROOT as rsync(1) reads a destination, and `ssh://[user@]host[:port]/ROOT` too.
 *
 * @returns undefined for a local path.
 * @throws MirrorlatchError USAGE for what names a host, but no mirror on it.
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
      hint: 'A mirror on another host is reached by ssh: host:ROOT or ssh://host/ROOT',
    });
  }
  if (source.kind !== 'ssh') return undefined;
  const at = source.host.lastIndexOf('@');
  const user = at === -1 ? undefined : source.host.slice(0, at);
  const root = text.slice(source.host.length + 1);
  return destinationOf(text, user, source.host.slice(at + 1), undefined, root);
}

function destinationOf(
  text: string,
  user: string | undefined,
  host: string,
  port: number | undefined,
  path: string | undefined,
): Destination {
  // Nobody expands a tilde on the way; ssh starts in the home.
  const root = path?.replace(/^~\/+/, '').replace(/(?<=.)\/+$/, '');
  const isSafe = !/^-|^$/.test(host) && !/^-|^$/.test(user ?? 'any') && (port ?? 1) <= 65_535;
  if (!isSafe || root === undefined || root === '' || /^~|[\0\n]/.test(root)) {
    throw noDestination(text);
  }
  return { user, host: host.replace(/^\[|\]$/g, ''), port, root };
}

function noDestination(text: string): MirrorlatchError {
  return new MirrorlatchError('USAGE', `${JSON.stringify(text)} names no mirror on another host`, {
    hint: 'Give host:ROOT or ssh://[user@]host[:port]/ROOT. For a local directory write ./ before it.',
  });
}

function withSlash(text: string): string {
  return text.endsWith('/') ? text : `${text}/`;
}

/** A host name with a leading dash would be read as an option by ssh(1). */
function safeHost(host: string, source: string): string {
  const name = host.slice(host.lastIndexOf('@') + 1);
  if (name !== '' && !host.startsWith('-') && !name.startsWith('-')) return host;
  throw new MirrorlatchError('USAGE', `the source ${JSON.stringify(source)} names no usable host`, {
    hint: 'For a local directory whose name has a colon or a leading dash, write ./ before it.',
  });
}
