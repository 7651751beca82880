import { isUtf8 } from 'node:buffer';
import { lstatSync, realpathSync } from 'node:fs';
import { basename, join } from 'node:path';
import { asMirrorlatchError, MirrorlatchError } from '../errors.ts';
import { channelId } from '../mirror/channels/channels.ts';
import { currentId, previousId } from '../mirror/current.ts';
import {
  becameCurrentAt,
  type HistoryEntry,
  publicationOf,
  readHistory,
} from '../mirror/history/history.ts';
import { indexOf } from '../mirror/history/history-index.ts';
import type { Layout } from '../mirror/layout.ts';
import { findMirror, type Mirror, openMirror } from '../mirror/open.ts';
import { rememberedBy } from '../mirror/settings/settings.ts';
import { ifAllowed, ifThere, lstatIfThere } from '../system/files.ts';
import { quoteForSh } from '../system/quote.ts';

export interface CurrentSnapshot {
  root: string;
  id: string;
  /** Absolute and without symlinks: it stays the same whatever is published. */
  path: string;
  /** The exact path, if it is not UTF-8 and `path` can only resemble it. */
  pathBytes?: Buffer;
  /** False for a tree that another program keeps, with a symlink `current` of its own. */
  managed: boolean;
  /** What `current`, or the channel, named before, if that still exists. */
  previous: string | null;
  /** When that came to name it; ISO 8601, UTC. */
  publishedAt: string | null;
  /** Regular files, and their bytes, if the sync that made it counted them. */
  files: number | null;
  bytes: number | null;
}

/**
 * What `current` names now, resolved once. It also works for trees that other programs keep, such as
 * Capistrano, atomic-rsync, or any script that replaces a symlink `current`.
 *
 * @throws MirrorlatchError NO_MIRROR when nothing has been published yet, or there is no such channel.
 */
export function current(
  root: string,
  { channel }: { channel?: string | undefined } = {},
): CurrentSnapshot {
  try {
    if (channel !== undefined) return currentOfChannel(openMirror(root), channel);
    const mirror = findMirror(root);
    return mirror === undefined ? currentOfForeignTree(root) : currentOfMirror(mirror);
  } catch (error) {
    throw asMirrorlatchError(error, `the current snapshot of ${root} cannot be read`);
  }
}

/** The same of a channel. */
function currentOfChannel({ layout }: Mirror, channel: string): CurrentSnapshot {
  const id = channelId(layout, channel);
  const history = readHistory(layout);
  const last = indexOf(history).moves.get(channel)?.at(-1);
  const move = last?.event === 'promoted' && last.id === id ? last : undefined;
  const before = move?.previous ?? null;
  const isThere = before !== null && lstatIfThere(layout.snapshot(before)) !== undefined;
  return {
    ...snapshotOf(layout, history, id),
    previous: isThere ? before : null,
    publishedAt: move?.at ?? null,
  };
}

function currentOfMirror({ layout, settings }: Mirror): CurrentSnapshot {
  const id = currentId(layout);
  if (id === undefined) {
    const shown = quoteForSh(layout.root);
    const source = rememberedBy(settings).source === undefined ? 'SRC ' : '';
    throw new MirrorlatchError('NO_MIRROR', `${layout.root} has no snapshot yet`, {
      hint: `Make one with: mirrorlatch sync ${source}${shown}, or wait for one with: mirrorlatch wait ${shown}`,
    });
  }
  const history = readHistory(layout);
  return {
    ...snapshotOf(layout, history, id),
    previous: previousId(layout) ?? null,
    publishedAt: becameCurrentAt(history, id)?.toISOString() ?? null,
  };
}

function snapshotOf(
  layout: Layout,
  history: readonly HistoryEntry[],
  id: string,
): Omit<CurrentSnapshot, 'previous' | 'publishedAt'> {
  const publication = publicationOf(history, id);
  return {
    root: layout.root,
    id,
    // The snapshots may have been moved to another disk, with a symlink in their place.
    path: ifAllowed(() => realpathSync(layout.snapshot(id))) ?? layout.snapshot(id),
    managed: true,
    files: publication?.files ?? null,
    bytes: publication?.bytes ?? null,
  };
}

function currentOfForeignTree(root: string): CurrentSnapshot {
  const link = join(root, 'current');
  const isForeign =
    lstatIfThere(link)?.isSymbolicLink() && lstatIfThere(join(root, '.mirrorlatch')) === undefined;
  // Throws: there is no mirror.
  if (!isForeign) openMirror(root);
  const bytes = ifThere(() => realpathSync.native(link, 'buffer'));
  if (bytes === undefined || !lstatSync(bytes).isDirectory()) {
    throw new MirrorlatchError('NO_MIRROR', `${link} does not lead to a directory`, {
      hint: `See where it leads with: ls -l ${link}`,
    });
  }
  const path = bytes.toString('utf8');
  return {
    root: realpathSync(root),
    id: basename(path),
    path,
    ...(isUtf8(bytes) ? {} : { pathBytes: bytes }),
    managed: false,
    previous: null,
    publishedAt: null,
    files: null,
    bytes: null,
  };
}
