import { realpathSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { MirrorlatchError } from '../../errors.ts';
import { lstatIfThere } from '../../system/files.ts';
import type { ServedRoot } from '../pins/served-mirror.ts';
import { hasBaseElsewhere, placeOf } from './mirror-bases.ts';
import { OWN_PAGES, OWN_PREFIX } from './routes.ts';

/** A name that needs no escape in a URL. */
const PLAIN = /^[A-Za-z0-9._~+-]+$/;

/**
 * Reads `ROOT` or `ROOT=/PREFIX/`; or `ROOT/current=/PREFIX/`, where what is current lies right below the prefix.
 *
 * @throws MirrorlatchError USAGE
 */
export function parseServedRoot(word: string): ServedRoot {
  const at = word.lastIndexOf('=/');
  if (at === -1) refuseRelativePlace(word);
  const path = at === -1 ? word : word.slice(0, at);
  const isCurrent = namesCurrent(path);
  const root = isCurrent ? dirname(path) : path;
  const own = basename(resolve(root));
  const place = at === -1 ? `/${own}/` : `${word.slice(at + 1).replace(/\/+$/, '')}/`;
  const segments = place.split('/').slice(1, -1);
  if (segments[0] === '-') refuseOwn('/-/', path, place);
  const name = segments.join('-') || own;
  const isPlain = [name, ...segments].every(
    (part) => PLAIN.test(part) && !['.', '..', '-'].includes(part),
  );
  if (root === '' || !isPlain) {
    throw new MirrorlatchError('USAGE', `${JSON.stringify(place)} cannot begin a URL`, {
      hint: `Name the mirror's part of the URL with letters, digits and . _ ~ + -, such as ${path}=/debian/`,
    });
  }
  return isCurrent
    ? { root, name, prefix: `${OWN_PREFIX}${name}/`, content: place }
    : { root, name, prefix: place, content: `${place}current/` };
}

/** A word such as `ROOT=debian`, if it is not the path of a directory. */
function refuseRelativePlace(word: string): void {
  const [, path, place = ''] = /^(.+?)=(.*)$/s.exec(word) ?? [];
  if (path === undefined || lstatIfThere(word) !== undefined) return;
  // Of a URL, the path is meant.
  const meant = place.replace(/^https?:\/\/[^/]*/i, '').replace(/^\/+|\/+$/g, '');
  throw new MirrorlatchError(
    'USAGE',
    `the place ${JSON.stringify(place)} of ${path} does not begin with a slash`,
    { hint: `Write ${path}=${meant === '' ? '/' : `/${meant}/`}` },
  );
}

/** What `parseServedRoot` reads. */
export function servedWord({ root, prefix, content }: Omit<ServedRoot, 'name'>): string {
  const isBelow = content === `${prefix}current/`;
  return isBelow ? `${root}=${prefix}` : `${join(root, 'current')}=${content}`;
}

/** Whether a path is that of the symlink `current` of a mirror. */
function namesCurrent(path: string): boolean {
  return basename(path) === 'current' && lstatIfThere(path)?.isDirectory() !== true;
}

/**
 * Refuses mirrors of which one would hide another, a part of it that the other needs, or a page of the server.
 *
 * @throws MirrorlatchError USAGE
 */
export function refuseRivals(roots: readonly ServedRoot[]): void {
  refuseHiddenPages(roots);
  roots.forEach((one, at) => {
    for (const other of roots.slice(0, at)) {
      refuseSameRoot(other, one);
      refuseSamePlace(other, one);
      refuseHidden(other, one);
      refuseHidden(one, other);
    }
  });
}

/** Where a mirror has `/`, the pages of the server are below `/-/` alone. */
function refuseHiddenPages(roots: readonly ServedRoot[]): void {
  if (roots.some(({ prefix, content }) => prefix === '/' || content === '/')) return;
  for (const { root, prefix, content } of roots) {
    const [path, place] = hasBaseElsewhere({ prefix, content })
      ? [join(root, 'current'), content]
      : [root, prefix];
    const page = OWN_PAGES.find((name) => place.startsWith(`/${name}/`));
    if (page !== undefined) refuseOwn(`/${page}`, path, place);
  }
}

function refuseOwn(page: string, path: string, place: string): never {
  throw new MirrorlatchError(
    'USAGE',
    `${page} is a page of the server itself, so ${path} cannot be at ${place}`,
    { hint: `Give it another part of the URL: ${path}=/OTHER/` },
  );
}

/** One run of a client that reads a mirror by two names would be two runs, and see two snapshots. */
function refuseSameRoot(one: ServedRoot, other: ServedRoot): void {
  const real = realRoot(one);
  if (real !== realRoot(other)) return;
  const both = one.root === other.root ? one.root : `${one.root} and ${other.root}`;
  throw new MirrorlatchError('USAGE', `the mirror ${real} is named twice: ${both}`, {
    hint: 'Name it once: a mirror has one place.',
  });
}

function realRoot({ root }: ServedRoot): string {
  try {
    return realpathSync(root);
  } catch {
    // What opens the mirror says what is wrong.
    return resolve(root);
  }
}

function refuseSamePlace(one: ServedRoot, other: ServedRoot): void {
  const { content, name, prefix } = one;
  const isApart = content !== other.content && placeOf(one) !== placeOf(other);
  if (isApart && name !== other.name && prefix !== other.prefix) return;
  const place = content === other.content ? content : placeOf(one);
  throw new MirrorlatchError(
    'USAGE',
    `two mirrors would be served at ${place}: ${one.root} and ${other.root}`,
    { hint: `Give one of them another part of the URL: ${other.root}=/OTHER/` },
  );
}

/** What a mirror has below its prefix. */
const OWN_PLACES = ['current/', 'snapshots/', 'pins/', 'current.json/'];

function refuseHidden(hidden: ServedRoot, hiding: ServedRoot): void {
  const places = [hiding.prefix, hiding.content];
  const name = OWN_PLACES.find((own) =>
    places.some((place) => place.startsWith(`${hidden.prefix}${own}`)),
  );
  if (name === undefined) return;
  const place = hiding.prefix.startsWith(hidden.prefix) ? hiding.prefix : hiding.content;
  throw new MirrorlatchError(
    'USAGE',
    `${hiding.root} at ${place} would hide ${hidden.prefix}${name.replace(/\/$/, '')} of ${hidden.root}`,
    { hint: `Give it another part of the URL: ${hiding.root}=/OTHER/` },
  );
}
