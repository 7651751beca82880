import { linesOfHistory } from '../mirror/history/history.ts';
import { trimHistory } from '../mirror/history/history-trim.ts';
import { LIVE } from '../mirror/layout.ts';
import { isLackOfSpace } from '../mirror/reserve.ts';
import { snapshotIds } from '../mirror/survey.ts';
import { lstatIfThere } from '../system/files.ts';
import type { Writer } from './writer.ts';

/** A history of this size is trimmed; bytes. A command reads that in a few milliseconds. */
const LIMIT = 512 * 1024;

/**
 * Takes old lines out of a history that has grown too long. Readers find the old file or the new one, and
 * who follows it goes on after the last line that it has read.
 *
 * It is no failure if that cannot be done: the next command tries again.
 */
export function trimLongHistory(writer: Writer): void {
  const { layout, lock } = writer;
  try {
    const size = Number(lstatIfThere(layout.history)?.size ?? 0n);
    if (size <= LIMIT) return;
    const present = [...snapshotIds(layout), LIVE];
    const left = trimHistory(linesOfHistory(layout), present, Date.now());
    const content = Buffer.from(left?.map(({ text }) => `${text}\n`).join('') ?? '', 'latin1');
    // Or else each command would write again what has to stay.
    if (left !== undefined && content.length <= size / 2) lock.replaceFile(layout.history, content);
  } catch (error) {
    lock.assertHeld();
    if (!isLackOfSpace(error))
      writer.reportProblem(error, 'the history could not be freed of old lines');
  }
}
