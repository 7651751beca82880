import { NewFiles } from '../../mirror/plan/basis.ts';
import { Fingerprint } from '../../mirror/plan/fingerprint.ts';
import { takesBasis } from '../../rsync/delta.ts';
import type { Entry } from '../../rsync/itemize.ts';
import { Arrivals } from './arrivals.ts';
import type { SyncContext } from './context.ts';

/** Hears of each entry that a plan counts. */
export interface EntryListener {
  add(entry: Entry): void;
  /** Called when the plan is complete, or has failed. */
  close(): void;
}

/** What a look at the source finds to differ, without a list of it. */
export class Differences implements EntryListener {
  readonly fingerprint = new Fingerprint();
  /** What is to come; undefined where nothing asks for it. */
  readonly arrivals: Arrivals | undefined;
  count = 0;
  /** The name of one of them, one character per byte (latin1). */
  example = '';

  /** @param stamps see `SyncContext`: with them, what comes is compared with what was to come. */
  constructor({ stamps }: Pick<SyncContext, 'stamps'> = {}) {
    this.arrivals = stamps && new Arrivals();
  }

  add(entry: Entry): void {
    this.fingerprint.add(entry);
    // What is linked to an entry that stays does not come.
    if (entry.linkTo === undefined) this.arrivals?.add(entry);
    this.count += 1;
    if (this.example === '' || entry.type !== 'directory') this.example = entry.name;
  }

  close(): void {}
}

/** The list of a look's new files, for which earlier versions may be of use. */
export function newFilesFor({ writer, transfer, base }: SyncContext): NewFiles {
  return new NewFiles(writer.layout, base !== undefined && takesBasis(transfer));
}
