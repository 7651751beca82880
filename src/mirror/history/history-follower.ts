import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { ifThere } from '../../system/files.ts';
import { currentId } from '../current.ts';
import { type Layout, LIVE } from '../layout.ts';
import { type HistoryEntry, parseHistoryLine } from './history.ts';

const NEWLINE = 10;

/** How long to wait for bytes that are still being written or have yet to arrive; ms. */
const PATIENCE_MS = 5_000;

/**
 * Follows history from now on: returns what `current` names now, and a follower of the entries that
 * come after it. A flip whose line is not yet written appears in both.
 *
 * @param clock a monotonic clock; ms.
 */
export function followHistory(
  layout: Layout,
  clock: () => number = () => performance.now(),
): { current: string | undefined; history: HistoryFollower } {
  for (;;) {
    const current = currentId(layout);
    const history = new HistoryFollower(layout, clock);
    if (currentId(layout) === current) return { current, history };
  }
}

/**
 * Returns each entry that is appended to `history.jsonl` once and in order, reading new bytes only.
 *
 * It remembers the last line that it has read, and where that line ends. While the line is still
 * there, what follows is new. Otherwise the file was trimmed, replaced or shortened: then it continues after
 * the line's new position or, if the line is gone, with entries of a later time.
 *
 * ```
 *   {"event":"published",…}\n{"event":"unchanged",…}\n{"event":"publ
 *                            └─────── #last ───────┘ │└ torn: not complete yet
 *                                                  #end
 * ```
 */
class HistoryFollower {
  readonly #layout: Layout;
  readonly #clock: () => number;
  #end = 0;
  #last: Buffer = Buffer.alloc(0);
  #lastAt = '';
  #inDoubtSince: number | undefined;
  readonly #returned = new ReturnedEntries();

  /** Starts after the entries that are there now. */
  constructor(layout: Layout, clock: () => number) {
    this.#layout = layout;
    this.#clock = clock;
    this.next();
  }

  /** The entries that were appended since the last call. */
  next(): HistoryEntry[] {
    const start = this.#end - this.#last.length;
    const bytes = ifThere(() => readFrom(this.#layout.history, start));
    if (bytes === undefined) return [];
    const entries = bytes.subarray(0, this.#last.length).equals(this.#last)
      ? this.#take(bytes, this.#last.length, start)
      : this.#takeAnew();
    return entries.filter((entry) => this.#returned.isNew(entry));
  }

  /** The entries in `bytes` from index `from` on; `bytes` begins at `offset` in the file. */
  #take(bytes: Buffer, from: number, offset: number): HistoryEntry[] {
    const entries: HistoryEntry[] = [];
    for (let start = from; start < bytes.length; ) {
      const newline = bytes.indexOf(NEWLINE, start);
      const end = newline === -1 ? bytes.length : newline;
      const line = bytes.subarray(start, end);
      const entry = parseHistoryLine(line.toString('utf8'));
      // A whole line counts without its newline too, as it does in `readHistory`.
      if (entry === undefined && newline === -1) break;
      // An NFS client may show zeros where another host's bytes will appear; a crash can leave some.
      if (entry === undefined && line.includes(0) && this.#isPatient()) return entries;
      if (line.length > 0) {
        this.#inDoubtSince = undefined;
        this.#end = offset + end;
        this.#last = Buffer.from(line);
      }
      if (entry !== undefined) {
        this.#lastAt = entry.at;
        entries.push(entry);
      }
      start = end + 1;
    }
    this.#inDoubtSince = undefined;
    return entries;
  }

  #takeAnew(): HistoryEntry[] {
    const bytes = ifThere(() => readFileSync(this.#layout.history)) ?? Buffer.alloc(0);
    const found = endOfLine(bytes, this.#last);
    if (found !== undefined) return this.#take(bytes, found, 0);
    // A program that rewrites the file in place truncates it first.
    if (this.#isPatient()) return [];
    const lastAt = this.#lastAt;
    this.#end = 0;
    this.#last = Buffer.alloc(0);
    return this.#take(bytes, 0, 0).filter(({ at }) => at > lastAt);
  }

  #isPatient(): boolean {
    const now = this.#clock();
    this.#inDoubtSince ??= now;
    return now - this.#inDoubtSince < PATIENCE_MS;
  }
}

/** How many removals are remembered: a late line comes soon, but a watch may last for years. */
const REMOVALS = 1000;

/**
 * Recognizes repeated entries. A host that lost the lock while it was suspended may still record a
 * flip that the host which took the lock over has already recorded.
 */
class ReturnedEntries {
  /** What `current` named after the last flip. */
  #current: string | undefined;
  /** Ids published and not pruned since, and ids pruned and not published since. Ids can recur. */
  readonly #published = new Set<string>();
  readonly #pruned = new Set<string>();

  isNew(entry: HistoryEntry): boolean {
    // An in-place mirror publishes its tree under the same id each time.
    if ('id' in entry && entry.id === LIVE) return true;
    switch (entry.event) {
      case 'published':
        if (this.#published.has(entry.id)) return false;
        this.#published.add(entry.id);
        return this.#isFlip(entry.id);
      case 'rolled-back':
        return this.#isFlip(entry.id);
      case 'pruned':
        if (this.#pruned.has(entry.id)) return false;
        this.#pruned.add(entry.id);
        this.#published.delete(entry.id);
        this.#forgetOldest();
        return true;
      default:
        return true;
    }
  }

  #forgetOldest(): void {
    const [oldest] = this.#pruned;
    if (this.#pruned.size > REMOVALS && oldest !== undefined) this.#pruned.delete(oldest);
  }

  /** A flip to the current snapshot is a repetition. */
  #isFlip(id: string): boolean {
    if (id === this.#current) return false;
    this.#current = id;
    this.#pruned.delete(id);
    return true;
  }
}

/** Where the last line equal to `line` ends in `bytes`; undefined if there is none. */
function endOfLine(bytes: Buffer, line: Buffer): number | undefined {
  for (let end = bytes.length; end >= line.length; ) {
    const start = bytes.lastIndexOf(line, end - line.length);
    if (start === -1) return undefined;
    end = start + line.length;
    const isWhole =
      (start === 0 || bytes[start - 1] === NEWLINE) &&
      (end === bytes.length || bytes[end] === NEWLINE);
    if (isWhole) return end;
    end -= 1;
  }
  return undefined;
}

/** The bytes of a file from `start` to its end. */
function readFrom(path: string, start: number): Buffer {
  const descriptor = openSync(path, 'r');
  try {
    const chunks: Buffer[] = [];
    for (let position = start; ; ) {
      const chunk = Buffer.alloc(64 * 1024);
      const length = readSync(descriptor, chunk, 0, chunk.length, position);
      if (length === 0) return Buffer.concat(chunks);
      chunks.push(chunk.subarray(0, length));
      position += length;
    }
  } finally {
    closeSync(descriptor);
  }
}
