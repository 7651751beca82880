const SPACE = 0x20;
const NUL = 0;
const ZERO = 0x30;
const NINE = 0x39;

/** So many values has half of an inode number. */
const HALF = 2 ** 32;

/** An inode number in two halves: it may be larger than what one number holds exactly. */
export interface InodeNumber {
  high: number;
  low: number;
}

/** All of an entry that matters here. */
export interface UseRecord {
  inode: InodeNumber;
  /** The code of the letter of its type: `f`, `d`, … */
  type: number;
  device: number;
  /** How many names it has. */
  links: number;
  /** Of 512 bytes (inode(7), st_blocks). */
  blocks: number;
  /** bytes */
  size: number;
}

/** What find(1) is to print of an entry, and what is enough if its inode may be known. */
export const WHOLE = '%y%D %i %n %b %s\\0';
export const SHORT = '%i %P\\0';

/** What is done with each record, which is of use until it returns. */
export interface UseListener {
  onWhole(record: Readonly<UseRecord>): void;
  /** @param nameOf returns the name, one character per byte (latin1). */
  onShort(inode: Readonly<InodeNumber>, nameOf: () => string): void;
}

/** Reads such records byte by byte: as text, millions of them would take longer than the search itself. */
export class UseRecords {
  readonly #listener: UseListener;
  readonly #record: UseRecord = {
    ...{ inode: { high: 0, low: 0 }, type: 0, device: 0, links: 0, blocks: 0, size: 0 },
  };
  /** The beginning of a record whose end is yet to come. */
  #rest = Buffer.alloc(0);
  #high = 0;
  #low = 0;
  #text: Buffer = this.#rest;
  #nameAt = 0;
  #nameEnd = 0;
  readonly #nameOf = () => this.#text.toString('latin1', this.#nameAt, this.#nameEnd);

  constructor(listener: UseListener) {
    this.#listener = listener;
  }

  /** Reads what comes next; a record may begin in one chunk and end in another. */
  read(chunk: Buffer): void {
    const text = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const end = text.lastIndexOf(NUL) + 1;
    this.#rest = Buffer.from(text.subarray(end));
    this.#text = text;
    for (let at = 0; at < end; ) {
      const first = text[at] ?? 0;
      const isShort = first >= ZERO && first <= NINE;
      at = isShort ? this.#readShort(text, at) : this.#readWhole(text, at + 1, first);
    }
  }

  /** @returns where the next record begins, as does `#readWhole`. */
  #readShort(text: Buffer, start: number): number {
    const { inode } = this.#record;
    this.#nameAt = this.#readNumber(text, start);
    inode.high = this.#high;
    inode.low = this.#low;
    this.#nameEnd = text.indexOf(NUL, this.#nameAt);
    this.#listener.onShort(inode, this.#nameOf);
    return this.#nameEnd + 1;
  }

  #readWhole(text: Buffer, start: number, type: number): number {
    const record = this.#record;
    let at = this.#readNumber(text, start);
    record.type = type;
    record.device = this.#high * HALF + this.#low;
    at = this.#readNumber(text, at);
    record.inode.high = this.#high;
    record.inode.low = this.#low;
    at = this.#readNumber(text, at);
    record.links = this.#low;
    at = this.#readNumber(text, at);
    record.blocks = this.#high * HALF + this.#low;
    at = this.#readNumber(text, at);
    record.size = this.#high * HALF + this.#low;
    this.#listener.onWhole(record);
    return at;
  }

  /** @returns where what comes after it and its separator begins. */
  #readNumber(text: Buffer, start: number): number {
    let [high, low, at] = [0, 0, start];
    for (; ; at += 1) {
      const byte = text[at] ?? NUL;
      if (byte === SPACE || byte === NUL) break;
      low = low * 10 + (byte - ZERO);
      high *= 10;
      if (low < HALF) continue;
      const carry = Math.floor(low / HALF);
      low -= carry * HALF;
      high += carry;
    }
    this.#high = high;
    this.#low = low;
    return at + 1;
  }
}
