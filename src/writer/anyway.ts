import { describeFinding } from '../checks/finding.ts';
import type { CheckedRecord } from '../mirror/history/history-line.ts';

/** By whom a tree was published although what is wrong with it was known; undefined if it was not. */
export function describeAnyway(checked: CheckedRecord | null | undefined): string | undefined {
  const [first] = checked?.wrong ?? [];
  if (first === undefined) return undefined;
  const count = checked?.findings ?? 0;
  const more = count > 1 ? `, and ${count - 1} more` : '';
  const by = checked?.anyway === undefined ? '' : ` by ${checked.anyway.by}`;
  return `was published anyway${by}, although ${describeFinding(first)}${more}`;
}
