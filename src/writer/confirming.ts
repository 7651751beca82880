import { appendHistory, readHistory } from '../mirror/history/history.ts';
import { indexOf } from '../mirror/history/history-index.ts';
import type { LookFigures } from '../mirror/history/history-line.ts';
import { changeMark } from '../mirror/retention/marks.ts';
import { refuseUnreplaceable } from '../mirror/served/served-directory.ts';
import { isCheckWanted } from '../mirror/settings/policy.ts';
import { ifAny } from './figures.ts';
import { serve } from './serving.ts';
import { commandToCheck, wasNeverChecked } from './unchecked.ts';
import type { Writer } from './writer.ts';

/** Nothing was to be published: `id` is what `current` names. */
export interface Unchanged {
  outcome: 'unchanged';
  id: string;
}

/**
 * Records that `id`, which is current, needs no successor.
 *
 * @param how a sync has found that.
 */
export async function confirmCurrent(
  writer: Writer,
  id: string,
  how: Partial<LookFigures> = {},
): Promise<Unchanged> {
  await refuseUnreplaceable(writer.layout, id, writer.signal);
  await serve(writer, id);
  writer.lock.assertHeld();
  addTags(writer, id);
  const { leftOut = [], ...others } = how;
  const isUnchecked = noticeUnchecked(writer, id) ? { isUnchecked: true } : {};
  const entry = { event: 'unchanged', at: now(), current: id, ...isUnchecked, ...others } as const;
  appendHistory(writer.layout, { ...entry, ...ifAny(leftOut) });
  return { outcome: 'unchanged', id };
}

/** Says once that nothing has checked what is current as is wanted now. @returns whether that is so. */
function noticeUnchecked(writer: Writer, id: string): boolean {
  const { layout, settings, policy } = writer;
  if (!isCheckWanted(policy.check)) return false;
  const { publications, lastSync } = indexOf(readHistory(layout));
  if (!wasNeverChecked(publications.get(id)?.checked, policy.check)) return false;
  if (lastSync?.event !== 'unchanged' || !lastSync.isUnchecked) {
    const command = commandToCheck(layout.root, settings, policy.check);
    writer.notice(
      `nothing is new, so nothing is checked; what is current was published without that. To check it: ${command}`,
    );
  }
  return true;
}

/** The state of the source that was to be tagged is that of the snapshot that is there. */
function addTags({ layout, tags }: Writer, id: string): void {
  if (tags.length === 0) return;
  changeMark(layout, id, (mark) => ({ ...mark, tags: [...new Set([...mark.tags, ...tags])] }));
}

function now(): string {
  return new Date().toISOString();
}
