import { Spool } from '../../mirror/spool.ts';
import type { Entry } from '../../rsync/itemize.ts';
import type { EntryListener } from './differences.ts';

/** The entries of a plan. */
export class EntrySpool extends Spool<Entry> implements EntryListener {
  close(): void {}
}
