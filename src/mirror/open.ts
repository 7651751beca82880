import { readdirSync, realpathSync } from 'node:fs';
import { basename, dirname, isAbsolute, join, resolve } from 'node:path';
import { asMirrorlatchError, MirrorlatchError } from '../errors.ts';
import { type Destination, destinationIn } from '../rsync/source.ts';
import {
  ifAllowed,
  ifThere,
  lstatIfThere,
  readlinkIfThere,
  realPathToBe,
} from '../system/files.ts';
import { otherPathsOf } from '../system/mounts.ts';
import { quoteForSh } from '../system/quote.ts';
import { emptyName, type Layout, layoutOf } from './layout.ts';
import type { Settings } from './settings/records.ts';
import { readSettings } from './settings/settings.ts';
import { isWebUrl } from './web-url.ts';

export interface Mirror {
  layout: Layout;
  settings: Settings;
}

/**
 * Opens the mirror at `root`.
 *
 * @param maker the command that makes one, up to its path, for a caller that wants one made.
 * @throws MirrorlatchError NO_MIRROR when there is none; CONFIGURATION for broken settings.
 */
export function openMirror(root: string, maker?: string): Mirror {
  const mirror = findMirror(root);
  if (mirror !== undefined) return mirror;
  throw new MirrorlatchError('NO_MIRROR', `there is no mirror in ${root}`, {
    hint: hintForNone(root, maker),
  });
}

function hintForNone(root: string, maker: string | undefined): string {
  if (isWebUrl(root))
    return `It is a URL. To run a command that reads it: mirrorlatch run --http ${quoteForSh(root)} -- COMMAND`;
  const around = mirrorMeant(root);
  if (around !== undefined)
    return `It is a part of a mirror. Name the mirror itself: ${quoteForSh(around.root)}`;
  const destination = destinationIn(root);
  if (destination !== undefined && destination !== 'server')
    return `It is on another host: ${commandThere(destination, ['status', destination.root])}`;
  const astray = mirrorAstray(root);
  if (astray !== undefined)
    return `There is no ${root} in ${process.cwd()}, which is in the mirror ${astray.root}. Give an absolute path.`;
  const below = mirrorsBelow(root);
  if (below.length > 0) return `It contains mirrors. Name one: ${below.map(quoteForSh).join(' ')}`;
  if (maker === undefined && holdsOtherThings(root))
    return `The directory has neither .mirrorlatch nor a symlink named current. A mirror is kept in a directory of its own: mirrorlatch sync ${quoteForSh(root)} ROOT`;
  const check = 'Check the path, and that its disk is mounted.';
  return maker === undefined ? check : `${check} Make a new one with: ${maker} ${quoteForSh(root)}`;
}

/** Whether nothing in a directory is that of a mirror. An empty one may be that of a disk that is not mounted. */
function holdsOtherThings(directory: string): boolean {
  const names = ifAllowed(() => ifThere(() => readdirSync(directory))) ?? [];
  return names.length > 0 && !names.some((name) => name === '.mirrorlatch' || name === 'current');
}

/** How many mirrors are named. */
const FEW = 5;

/** The first mirrors that lie right below a directory. */
function mirrorsBelow(directory: string): string[] {
  const names = ifAllowed(() => ifThere(() => readdirSync(directory))) ?? [];
  const isMirror = (path: string) =>
    ifAllowed(() => lstatIfThere(layoutOf(path).settings)) !== undefined;
  const below: string[] = [];
  for (const name of names.sort()) {
    const path = join(directory, name);
    if (below.length < FEW && isMirror(path)) below.push(path);
  }
  return below;
}

/** The command line that runs mirrorlatch with these words on the host of a mirror. */
export function commandThere({ user, host, port }: Destination, words: readonly string[]): string {
  const options = port === undefined ? [] : ['-p', String(port)];
  const there = ['mirrorlatch', ...words].map(quoteForSh).join(' ');
  return ['ssh', ...options, user === undefined ? host : `${user}@${host}`, there]
    .map(quoteForSh)
    .join(' ');
}

/**
 * Refuses a path that is a part of a mirror where the mirror itself is wanted.
 *
 * @param around that mirror; undefined for a path that is a part of none.
 * @throws MirrorlatchError USAGE
 */
export function refusePartOfMirror(path: string, around: Layout | undefined): void {
  if (around === undefined) return;
  if (mirrorAstray(path) !== undefined) {
    throw new MirrorlatchError('USAGE', `${path} would be in the mirror ${around.root}`, {
      hint: `Give an absolute path: the working directory, ${process.cwd()}, is in that mirror.`,
    });
  }
  const root = quoteForSh(around.root);
  throw new MirrorlatchError('USAGE', `${path} is a part of the mirror ${around.root}`, {
    hint: `Name the mirror itself, ${root}, or a directory elsewhere.`,
  });
}

/**
 * The mirror that `path` is a part of, such as `current` or a directory below it, or the directory of
 * `--serve-at`; `path` need not exist. Undefined when there is none.
 */
export function mirrorAround(path: string): Layout | undefined {
  const real = realPathToBe(resolve(path));
  for (let part = real; part !== dirname(part); part = dirname(part)) {
    const layout = layoutOf(dirname(part));
    const isPart = [layout.snapshots, layout.gate, layout.state].includes(part);
    if (isPart && lstatIfThere(layout.settings) !== undefined) return layout;
    const server = mirrorThatServes(part);
    if (server !== undefined) return server;
  }
  return undefined;
}

/**
 * The mirror of which `path` shows a part through a bind mount. No name on the way says so, but what is
 * written there may change a published snapshot (I2).
 */
export function mirrorBehindMount(path: string): Layout | undefined {
  for (const other of otherPathsOf(realPathToBe(resolve(path)))) {
    const around = mirrorAround(other);
    if (around !== undefined) return around;
  }
  return undefined;
}

/** The mirror that a person means who named a part of it; undefined for a path gone astray. */
export function mirrorMeant(path: string): Layout | undefined {
  return mirrorAstray(path) === undefined ? mirrorAround(path) : undefined;
}

/**
 * The mirror into which `path` leads only because the working directory is in it: nothing has that name
 * there, so what is meant is elsewhere. To a command for this mirror no hint may lead.
 */
function mirrorAstray(path: string): Layout | undefined {
  if (isAbsolute(path) || lstatIfThere(path) !== undefined) return undefined;
  const around = mirrorWith(path);
  return around?.root === mirrorWith('.')?.root ? around : undefined;
}

/** The mirror that `path` is a part of, or in whose ROOT it lies. */
export function mirrorWith(path: string): Layout | undefined {
  return mirrorAround(path) ?? mirrorAbove(path);
}

/** The mirror in whose ROOT `path` lies, be it as a part of it or not. */
function mirrorAbove(path: string): Layout | undefined {
  const real = realPathToBe(resolve(path));
  for (let above = dirname(real); above !== dirname(above); above = dirname(above)) {
    const layout = layoutOf(above);
    if (lstatIfThere(layout.settings) !== undefined) return layout;
  }
  return undefined;
}

/** The symlink beside a served directory that leads to its mirror: nothing in the directory does. */
export function servedMark(directory: string): string {
  return join(dirname(directory), `.${basename(directory)}.mirrorlatch-serves`);
}

/** The mirror that serves a directory, if both say so. */
export function mirrorThatServes(directory: string): Layout | undefined {
  const target = readlinkIfThere(servedMark(directory));
  if (target === undefined) return undefined;
  const layout = layoutOf(target);
  const { serveAt } = readSettings(layout) ?? {};
  return serveAt !== undefined && realPathToBe(serveAt) === directory ? layout : undefined;
}

/**
 * Opens a mirror that is not written in place.
 *
 * @throws MirrorlatchError as `openMirror`; USAGE for an in-place mirror.
 */
export function openMirrorWithSnapshots(root: string): Mirror {
  const mirror = openMirror(root);
  if (mirror.settings.mode === 'snapshots') return mirror;
  throw new MirrorlatchError(
    'USAGE',
    `${mirror.layout.root} is written in place: it has no snapshots`,
    { hint: `Look at its tree with: mirrorlatch gate status ${quoteForSh(mirror.layout.root)}` },
  );
}

/**
 * The mirror at `root`, which may be a symlink; undefined when there is none.
 *
 * @throws MirrorlatchError CONFIGURATION when its settings are broken; USAGE for an empty name.
 */
export function findMirror(root: string): Mirror | undefined {
  if (root === '') throw emptyName();
  try {
    const real = ifThere(() => realpathSync(root));
    if (real === undefined) return undefined;
    const layout = layoutOf(real);
    const settings = readSettings(layout);
    return settings && { layout, settings };
  } catch (error) {
    throw asMirrorlatchError(error, `the mirror ${root} cannot be read`);
  }
}

/**
 * Refuses options that are about snapshots.
 *
 * @param options whether each was given, by its name.
 * @throws MirrorlatchError USAGE
 */
export function refuseOptionsInPlace(
  options: Readonly<Record<string, boolean>>,
  hint: string,
): void {
  const given = Object.keys(options).filter((name) => options[name]);
  if (given.length === 0) return;
  throw new MirrorlatchError(
    'USAGE',
    `${given.join(', ')} cannot be used with an in-place mirror`,
    {
      hint,
    },
  );
}
