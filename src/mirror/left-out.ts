import type { LeftOutEntry, LeftOutWhy } from '../rsync/itemize.ts';
import { readableName } from './names.ts';
import type { LeftOutRecord } from './records.ts';

/** Entries of the source that a tree lacks, for one reason (I15). */
export interface LeftOut extends LeftOutRecord {
  why: LeftOutWhy;
}

const REASONS: { [Why in LeftOutWhy]: string } & { [why: string]: string | undefined } = {
  'unsafe-link': 'symlinks that lead out of the tree; --without safe-links includes them',
  temporary: 'named like temporary files of rsync; --without temp-excludes includes them',
  'update-mark': 'says that the source is being updated; --without update-marks includes it',
  'max-size': 'larger than --max-size',
  'min-size': 'smaller than --min-size',
  'not-regular':
    'devices, special files or links that this user or an option keeps rsync from making',
};

const MOST_NAMES = 3;

/** Counts what is left out, by reason. */
export class LeftOutTally {
  readonly list: LeftOut[] = [];

  has(why: LeftOutWhy): boolean {
    return this.list.some((one) => one.why === why);
  }

  add({ why }: LeftOutEntry, name: string): void {
    const known = this.list.find((one) => one.why === why);
    if (known === undefined) {
      this.list.push({ why, count: 1, names: [readableName(name).name] });
      return;
    }
    known.count += 1;
    if (known.names.length < MOST_NAMES) known.names.push(readableName(name).name);
  }
}

/** `a, b, c and 3 more: larger than --max-size` */
export function describeLeftOut({ why, count, names }: LeftOutRecord): string {
  const more = count > names.length ? ` and ${count - names.length} more` : '';
  return `${names.join(', ')}${more}: ${REASONS[why] ?? why}`;
}
