import { readdirSync, realpathSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { asMirrorlatchError, errnoOf, MirrorlatchError } from '../errors.ts';
import { directoriesOf, type Layout, layoutOf, ownNames, rootByName } from '../mirror/layout.ts';
import { makeGate } from '../mirror/locks/gate.ts';
import { refuseOtherOwnersRoot } from '../mirror/locks/ownership.ts';
import { type Mirror, mirrorBehindMount, mirrorWith, refusePartOfMirror } from '../mirror/open.ts';
import { fillReserve } from '../mirror/reserve.ts';
import type { Settings } from '../mirror/settings/records.ts';
import { createSettings, type GivenSettings, newSettings } from '../mirror/settings/settings.ts';
import { sealStaging } from '../mirror/staging.ts';
import { placeReader } from '../reader/script.ts';
import {
  ifThere,
  lstatIfThere,
  makeDirectories,
  makeOpenDirectory,
  readlinkIfThere,
  realPathToBe,
  syncDirectory,
} from '../system/files.ts';
import { makeOwnDirectory } from '../system/own-files.ts';
import { quoteForSh } from '../system/quote.ts';

/**
 * Makes an empty mirror in a directory that is missing or empty, or finishes one that a crash left
 * half made: `mirror.json` comes last. Whatever the umask says, everybody who may enter `root` may
 * read what is in it.
 *
 * @throws MirrorlatchError USAGE when another process has made one of the other mode meanwhile,
 *   CONFIGURATION when other things lie where the mirror's own would go.
 */
export function createMirror(
  root: string,
  given: GivenSettings,
  options: { mayHoldOtherThings?: boolean; mode?: Settings['mode'] } = {},
): Mirror {
  checkNewRoot(root, options);
  refuseOtherOwnersRoot(realPathToBe(resolve(root)));
  const { mode = 'snapshots' } = options;
  const wanted = newSettings(given, mode);
  const path = resolve(root);
  try {
    makeDirectories(path, makeOpenDirectoryOnDisk);
    const layout = layoutOf(realpathSync(path));
    makeOwnDirectory(layout.state, 0o755);
    const settings = createSettings(layout, wanted, () => {
      for (const directory of directoriesOf(layout, mode)) makeOwnDirectory(directory, 0o755);
      if (mode === 'in-place') makeGate(layout);
      sealStaging(layout);
      placeReader(layout);
      fillReserve(layout);
    });
    if (settings.mode !== mode) throw otherMode(root, settings.mode);
    for (const directory of [layout.state, layout.root]) syncDirectory(directory);
    return { layout, settings };
  } catch (error) {
    throw asMirrorlatchError(error, `the mirror ${root} cannot be made`);
  }
}

/** @throws MirrorlatchError USAGE in a directory of the kernel, such as /proc, where mkdir(2) finds nothing to be there. */
function makeOpenDirectoryOnDisk(path: string): void {
  try {
    makeOpenDirectory(path);
  } catch (error) {
    const above = dirname(path);
    if (errnoOf(error) !== 'ENOENT' || lstatIfThere(above) === undefined) throw error;
    throw new MirrorlatchError('USAGE', `no directory can be made in ${above}`, {
      hint: `Name one on a disk, such as /srv/mirror/debian. To see what is mounted there: findmnt -T ${quoteForSh(above)}`,
      cause: error,
    });
  }
}

/** The error when a mirror exists, but is kept in another way than is wanted. */
export function otherMode(root: string, mode: Settings['mode']): MirrorlatchError {
  const is = mode === 'in-place' ? 'an in-place mirror' : 'a mirror with snapshots';
  return new MirrorlatchError('USAGE', `${root} is already ${is}`, {
    hint: 'Make the other one in a directory of its own.',
  });
}

/**
 * Checks whether a mirror can be made of `root`, and changes nothing.
 *
 * @throws MirrorlatchError USAGE or CONFIGURATION when not.
 */
export function checkNewRoot(
  root: string,
  { mayHoldOtherThings = false }: { mayHoldOtherThings?: boolean } = {},
): void {
  if (resolve(root) === '/') {
    throw new MirrorlatchError('USAGE', '/ cannot be a mirror', {
      hint: 'Give a directory of its own, such as /srv/mirror/debian.',
    });
  }
  try {
    refusePartOfMirror(root, mirrorWith(root) ?? mirrorBehindMount(root));
    refuseFileInTheWay(resolve(root));
    const real = ifThere(() => realpathSync(root));
    if (real !== undefined) refuseForeignEntries(layoutOf(real), mayHoldOtherThings);
  } catch (error) {
    throw asMirrorlatchError(error, `the mirror ${root} cannot be made`);
  }
}

/** Of what exists on the way to `path`, the last has to be a directory. */
function refuseFileInTheWay(path: string): void {
  const found = ifThere(() => statSync(path));
  if (found === undefined && readlinkIfThere(path) !== undefined) throw leadsNowhere(path);
  if (found === undefined) refuseFileInTheWay(dirname(path));
  else if (!found.isDirectory()) {
    throw new MirrorlatchError('USAGE', `${path} is not a directory`, {
      hint: 'Name a new or empty directory for the mirror.',
    });
  }
}

/**
 * The error for a symlink to what is missing. One that leads into a mirror, as an adopted directory does,
 * has readers: what was made at its end would be the tree that they see.
 */
function leadsNowhere(link: string): MirrorlatchError {
  const wanted = realPathToBe(link);
  const root = rootByName(wanted);
  const missing = root === undefined ? 'which does not exist' : `and there is no mirror in ${root}`;
  return new MirrorlatchError('USAGE', `${link} is a symlink to ${wanted}, ${missing}`, {
    hint:
      root === undefined
        ? `Make that directory: mkdir -p ${quoteForSh(wanted)}`
        : 'Check that its disk is mounted. For a mirror of its own, name another directory.',
  });
}

function refuseForeignEntries(layout: Layout, mayHoldOtherThings: boolean): void {
  if (lstatIfThere(layout.state)?.isDirectory()) return;
  const found = readdirSync(layout.root).filter((name) => name !== 'lost+found');
  const ours = found.filter((name) => ownNames(layout).includes(name));
  const inTheWay = mayHoldOtherThings || ours.length > 0 ? ours : found;
  if (inTheWay.length === 0) return;
  const shown = inTheWay
    .slice(0, 3)
    .map((name) => JSON.stringify(name))
    .join(', ');
  throw new MirrorlatchError('CONFIGURATION', `${layout.root} is not empty: it holds ${shown}`, {
    hint:
      ours.length > 0
        ? 'Move these away, or make the mirror in another directory.'
        : `If rsync has filled it, take it over: mirrorlatch init --adopt ${quoteForSh(layout.root)}. If these are to stay beside the mirror: mirrorlatch init ${quoteForSh(layout.root)}`,
  });
}
