import type { LeftOutEntry, LeftOutWhy } from '../../rsync/itemize.ts';
import type { LeftOutRecord } from '../history/history-line.ts';
import { nameInLine, readableName } from '../names.ts';

/** Entries of the source that a tree lacks, for one reason (I15). */
export interface LeftOut extends LeftOutRecord {
  why: LeftOutWhy;
}

interface Reason {
  ofOne: string;
  ofMany: string;
}

const REASONS: { [Why in LeftOutWhy]: Reason } & { [why: string]: Reason | undefined } = {
  'unsafe-link': {
    ofOne: 'a symlink that leads out of the tree; --without safe-links includes it',
    ofMany: 'symlinks that lead out of the tree; --without safe-links includes them',
  },
  temporary: {
    ofOne: 'named like a temporary file of rsync; --without temp-excludes includes it',
    ofMany: 'named like temporary files of rsync; --without temp-excludes includes them',
  },
  'update-mark': {
    ofOne: 'says that the source is being updated; --without update-marks includes it',
    ofMany: 'say that the source is being updated; --without update-marks includes them',
  },
  'max-size': alike('larger than --max-size'),
  'min-size': alike('smaller than --min-size'),
  'not-regular': {
    ofOne: 'a device, special file or link that this user or an option keeps rsync from making',
    ofMany: 'devices, special files or links that this user or an option keeps rsync from making',
  },
};

function alike(reason: string): Reason {
  return { ofOne: reason, ofMany: reason };
}

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
  const { ofOne, ofMany } = REASONS[why] ?? alike(why);
  return `${names.map(nameInLine).join(', ')}${more}: ${count === 1 ? ofOne : ofMany}`;
}
