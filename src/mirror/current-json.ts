import { snapshotLink } from './layout.ts';
import { type CurrentRecord, checkCurrentRecord, parseJson } from './settings/records.ts';

/**
 * `current.json` names what is current to readers that come by HTTP, for whom a symlink is not visible: a
 * client that reads it once, and then asks for nothing but what lies below its `path`, sees one snapshot.
 *
 * ```
 * {"format":1,"id":"20261127T010203Z","path":"snapshots/20261127T010203Z/","previous":null,"publishedAt":"2026-11-27T01:02:09.123Z"}
 * ```
 */

/** The whole text, one line. */
export function currentJson(
  record: Pick<CurrentRecord, 'id' | 'previous' | 'publishedAt'>,
): string {
  const { id, previous, publishedAt } = record;
  const path = `${snapshotLink(id)}/`;
  const whole: CurrentRecord = { format: 1, id, path, previous, publishedAt };
  return `${JSON.stringify(whole)}\n`;
}

/** What a text says; undefined if it is no `current.json` of a format that this version knows. */
export function parseCurrentJson(text: string): CurrentRecord | undefined {
  const checked = checkCurrentRecord(parseJson(text));
  return 'record' in checked ? checked.record : undefined;
}
