import { ifAllowed, lstatIfThere, readTextIfThere } from '../system/files.ts';
import { quoteForSh } from '../system/quote.ts';
import { currentJson, parseCurrentJson } from './current-json.ts';
import type { Layout } from './layout.ts';
import type { SyncLock } from './locks/sync-lock.ts';
import { isLackOfSpace } from './reserve.ts';
import type { CurrentRecord } from './settings/records.ts';

/**
 * The file ROOT/current.json, with which a plain web server over ROOT is enough for a client that pins a
 * snapshot. Every flip of `current` writes it after the symlink, so that its `path` always exists, and
 * before the flip is on record. A file of a person's that has its name is left alone. Each channel has such a
 * file, too.
 */

/** A larger file is not ours; bytes. */
const LARGEST = 4096n;

/**
 * Writes what `current` or a channel names. Where the disk is full to the last block, no file is better than one
 * that names what a prune may remove: the next command that writes to the mirror makes it.
 *
 * @param name `current`, or that of the channel.
 * @returns whether the directory of the mirror has changed, and has to be flushed.
 * @throws MirrorlatchError LOCK_LOST; IO when the disk fails.
 */
export function announce(
  layout: Layout,
  lock: SyncLock,
  name: string,
  named: Pick<CurrentRecord, 'id' | 'previous' | 'publishedAt'>,
): boolean {
  const path = layout.announcement(name);
  const found = lookAt(path);
  const text = currentJson(named);
  if (found === 'foreign' || found?.text === text) return false;
  try {
    lock.placeFile(path, text);
  } catch (error) {
    if (!isLackOfSpace(error)) throw error;
    if (found !== undefined) lock.removeFile(path);
  }
  return true;
}

/**
 * Removes the file, because nothing is current, or with its channel.
 *
 * @throws MirrorlatchError LOCK_LOST.
 */
export function withdraw(layout: Layout, lock: SyncLock, name: string): void {
  const path = layout.announcement(name);
  const found = lookAt(path);
  if (found !== undefined && found !== 'foreign') lock.removeFile(path);
}

/** The id that the file names; undefined if there is none of ours. */
export function announcedId(layout: Layout, name: string): string | undefined {
  const found = lookAt(layout.announcement(name));
  return found === undefined || found === 'foreign' ? undefined : parseCurrentJson(found.text)?.id;
}

/** Whether something that the mirror did not make has the name of the file. */
export function isForeign(layout: Layout, name: string): boolean {
  return lookAt(layout.announcement(name)) === 'foreign';
}

/** What to say of it. */
export function describeForeign(layout: Layout, name: string): string {
  const path = layout.announcement(name);
  const [from, to] = [path, `${path}.old`].map(quoteForSh);
  return `${path} was not made by mirrorlatch and is left alone, so readers by HTTP cannot learn from it what ${name === 'current' ? 'is current' : `${name} names`}. Move it away with: mv -T ${from} ${to}`;
}

/** Our file, or that something else has its name; undefined if nothing has. */
function lookAt(path: string): { text: string } | 'foreign' | undefined {
  const found = lstatIfThere(path);
  if (found === undefined) return undefined;
  const isSmallFile = found.isFile() && found.size <= LARGEST;
  const text = isSmallFile ? ifAllowed(() => readTextIfThere(path)) : undefined;
  return text === undefined || parseCurrentJson(text) === undefined ? 'foreign' : { text };
}
