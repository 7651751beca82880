import { MirrorlatchError } from '../../errors.ts';
import { lstatIfThere, otherThing, readTextIfThere, writeWhole } from '../../system/files.ts';
import { quoteForSh } from '../../system/quote.ts';
import type { Layout } from '../layout.ts';
import { fillReserve, withReserve } from '../reserve.ts';
import { checkMarks, type Mark, parseJson } from '../settings/records.ts';
import { withSettingsLock } from '../settings/settings.ts';
import { snapshotIds } from '../survey.ts';

export type { Mark } from '../settings/records.ts';

/**
 * What people say of single snapshots: tags, which a rule may keep, and pins, which keep them for ever.
 * It lies in `.mirrorlatch/marks.json`, under the lock of the settings, so that nobody waits for a sync.
 *
 * A pin holds the lease of its snapshot while it is written, and prune looks at the marks again when it has
 * taken that lease exclusively. So of the two, whoever comes second finds what the first has done.
 */
export type Marks = ReadonlyMap<string, Mark>;

export const NO_MARKS: Mark = { tags: [] };

/**
 * The marks by the ids of their snapshots, of which some may be gone.
 *
 * @throws MirrorlatchError CONFIGURATION when they cannot be made out. Then nothing may be pruned: which
 *   snapshots are pinned is not known.
 */
export function readMarks({ root, marks }: Layout): Marks {
  const found = lstatIfThere(marks);
  if (found === undefined) return new Map();
  if (!found.isFile()) throw otherThing(marks, 'a file');
  const checked = checkMarks(parseJson(readTextIfThere(marks)));
  if ('record' in checked) return new Map(Object.entries(checked.record.snapshots));
  const aside = `${marks}.damaged`;
  throw new MirrorlatchError(
    'CONFIGURATION',
    `${marks} does not hold valid pins and tags, so nothing is pruned: ${checked.problem}`,
    {
      hint: `Repair the file. Or move it away, and pin again what has to stay before the next sync prunes: mv ${quoteForSh(marks)} ${quoteForSh(aside)}; mirrorlatch list ${quoteForSh(root)}`,
      details: { path: marks },
    },
  );
}

/**
 * Changes the mark of one snapshot; one that says nothing is dropped.
 *
 * @returns the new mark.
 * @throws MirrorlatchError as `readMarks`; BUSY when the lock of the settings stays held, PERMISSION.
 */
export function changeMark(layout: Layout, id: string, change: (mark: Mark) => Mark): Mark {
  const marks = changeMarks(layout, (before) => {
    const { [id]: mark = NO_MARKS, ...others } = before;
    const changed = change(mark);
    const isEmpty = changed.tags.length === 0 && changed.pin === undefined;
    return isEmpty ? others : { ...others, [id]: changed };
  });
  return marks[id] ?? NO_MARKS;
}

/**
 * The tags of a snapshot that is about to be published, in place of what another of its name has left.
 * What is damaged stays so, without tags.
 *
 * @throws MirrorlatchError as `changeMark`.
 */
export function markNew(layout: Layout, id: string, tags: readonly string[]): void {
  if (tags.length === 0 && !(marksIfReadable(layout)?.has(id) ?? false)) return;
  changeMark(layout, id, () => ({ tags: [...tags] }));
}

/** The marks; undefined if they cannot be made out. */
export function marksIfReadable(layout: Layout): Marks | undefined {
  try {
    return readMarks(layout);
  } catch {
    return undefined;
  }
}

/**
 * Drops the marks of snapshots that are gone. Only for the writer: what it is about to publish may have
 * its marks already.
 */
export function dropMarksOfGone(layout: Layout): void {
  const present = new Set(snapshotIds(layout));
  if ([...readMarks(layout).keys()].every((id) => present.has(id))) return;
  changeMarks(layout, (marks) =>
    Object.fromEntries(Object.entries(marks).filter(([id]) => present.has(id))),
  );
}

type Snapshots = Readonly<Record<string, Mark>>;

function changeMarks(layout: Layout, change: (before: Snapshots) => Snapshots): Snapshots {
  return withSettingsLock(layout, () => {
    const before = Object.fromEntries(readMarks(layout));
    const snapshots = change(before);
    const text = textOf(snapshots);
    if (text !== textOf(before)) {
      withReserve(layout, () => writeWhole(layout.marks, text));
      fillReserve(layout);
    }
    return snapshots;
  });
}

function textOf(snapshots: Snapshots): string {
  return `${JSON.stringify({ format: 1, snapshots }, undefined, 2)}\n`;
}
