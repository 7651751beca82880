import { ifAllowed, lstatIfThere, readTextIfThere } from '../system/files.ts';
import { quoteForSh } from '../system/quote.ts';
import { currentJson, parseCurrentJson } from './current-json.ts';
import type { Layout } from './layout.ts';
import type { CurrentRecord } from './records.ts';
import { isLackOfSpace } from './reserve.ts';
import type { SyncLock } from './sync-lock.ts';

/**
 * The file ROOT/current.json, with which a plain web server over ROOT is enough for a client that pins a
 * snapshot. Every flip of `current` writes it after the symlink, so that its `path` always exists, and
 * before the flip is on record. A file of a person's that has its name is left alone.
 */

/** A larger file is not ours; bytes. */
const LARGEST = 4096n;

/**
 * Writes what is current. Where the disk is full to the last block, no file is better than one that names
 * what a prune may remove: the next command that writes to the mirror makes it.
 *
 * @returns whether the directory of the mirror has changed, and has to be flushed.
 * @throws MirrorlatchError LOCK_LOST; IO when the disk fails.
 */
export function announceCurrent(
  layout: Layout,
  lock: SyncLock,
  current: Pick<CurrentRecord, 'id' | 'previous' | 'publishedAt'>,
): boolean {
  const found = lookAt(layout);
  const text = currentJson(current);
  if (found === 'foreign' || found?.text === text) return false;
  try {
    lock.placeFile(layout.currentJson, text);
  } catch (error) {
    if (!isLackOfSpace(error)) throw error;
    if (found !== undefined) lock.removeFile(layout.currentJson);
  }
  return true;
}

/**
 * Removes the file, because nothing is current.
 *
 * @throws MirrorlatchError LOCK_LOST.
 */
export function forgetCurrent(layout: Layout, lock: SyncLock): void {
  const found = lookAt(layout);
  if (found !== undefined && found !== 'foreign') lock.removeFile(layout.currentJson);
}

/** The id that the file names; undefined if there is none of ours. */
export function announcedId(layout: Layout): string | undefined {
  const found = lookAt(layout);
  return found === undefined || found === 'foreign' ? undefined : parseCurrentJson(found.text)?.id;
}

/** Whether something that the mirror did not make has the name of the file. */
export function isForeign(layout: Layout): boolean {
  return lookAt(layout) === 'foreign';
}

/** What to say of it. */
export function describeForeign({ currentJson: path }: Layout): string {
  const [from, to] = [path, `${path}.old`].map(quoteForSh);
  return `${path} was not made by mirrorlatch and is left alone, so readers by HTTP cannot learn from it what is current. Move it away with: mv -T ${from} ${to}`;
}

/** Our file, or that something else has its name; undefined if nothing has. */
function lookAt({ currentJson: path }: Layout): { text: string } | 'foreign' | undefined {
  const found = lstatIfThere(path);
  if (found === undefined) return undefined;
  const isSmallFile = found.isFile() && found.size <= LARGEST;
  const text = isSmallFile ? ifAllowed(() => readTextIfThere(path)) : undefined;
  return text === undefined || parseCurrentJson(text) === undefined ? 'foreign' : { text };
}
