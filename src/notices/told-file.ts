import type { Layout } from '../mirror/layout.ts';
import { checkNotices, parseJson } from '../mirror/settings/records.ts';
import { withSettingsLock } from '../mirror/settings/settings.ts';
import { lstatIfThere, otherThing, readTextIfThere, writeWhole } from '../system/files.ts';
import { NOTHING_TOLD, type Told } from './plan-notices.ts';

/**
 * Changes what is remembered of what a recipient was told. Two processes that look at one time do not tell
 * the same.
 *
 * @throws MirrorlatchError PERMISSION for another user than the owner of the mirror, BUSY, IO.
 */
export function changeTold<Result>(
  layout: Layout,
  recipient: string,
  change: (told: Told) => { told: Told; result: Result },
): Result {
  return withSettingsLock(layout, () => {
    const all = readAll(layout);
    const before = all[recipient] ?? NOTHING_TOLD;
    const { told, result } = change(before);
    if (JSON.stringify(told) !== JSON.stringify(before))
      writeWhole(layout.notices, `${JSON.stringify({ ...all, [recipient]: told })}\n`);
    return result;
  });
}

/** What is damaged may be told once more. */
function readAll({ notices }: Layout): Readonly<Record<string, Told>> {
  if (lstatIfThere(notices)?.isFile() === false) throw otherThing(notices, 'a file');
  const checked = checkNotices(parseJson(readTextIfThere(notices)));
  return 'record' in checked ? checked.record : {};
}
