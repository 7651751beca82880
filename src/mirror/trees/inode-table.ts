/** How many inodes there is room for at first. */
const FIRST_ROOM = 1024;

/** An odd number for multiplicative hashing (Knuth, TAOCP 6.4). */
const FACTOR = 0x9e3779b1;

/**
 * The inodes that have several names, each with what is known of it. A million of them need about 60 MB:
 * the columns are typed arrays, and an inode is a row.
 */
export class InodeTable {
  /** The rows by hash, each plus 1; 0 is a free place. Its length is a power of 2. */
  #places = new Uint32Array(2 * FIRST_ROOM);
  #low = new Uint32Array(FIRST_ROOM);
  #high = new Uint32Array(FIRST_ROOM);
  #device = new Uint16Array(FIRST_ROOM);
  #count = 0;
  /** The trees in which it was seen first and last. */
  first = new Uint16Array(FIRST_ROOM);
  last = new Uint16Array(FIRST_ROOM);
  /** How many of its names have not been seen. */
  unseen = new Uint32Array(FIRST_ROOM);
  /** What it takes on disk; bytes. */
  disk = new Float64Array(FIRST_ROOM);
  /** The size of a regular file, 0 for others; bytes. */
  apparent = new Float64Array(FIRST_ROOM);

  get count(): number {
    return this.#count;
  }

  /**
   * The row of an inode; -1 if it has none.
   *
   * @param high and `low` the halves of its number, 32 bits each.
   * @param device a number for each device.
   */
  find(high: number, low: number, device: number): number {
    const mask = this.#places.length - 1;
    let place = hashOf(high, low, device) & mask;
    for (;;) {
      const row = (this.#places[place] ?? 0) - 1;
      if (row === -1) return -1;
      if (this.#low[row] === low && this.#high[row] === high && this.#device[row] === device)
        return row;
      place = (place + 1) & mask;
    }
  }

  /** Makes the row of an inode that has none. The parameters are those of `find`. */
  add(high: number, low: number, device: number): number {
    if (this.#count === this.#low.length) this.#grow();
    const row = this.#count;
    this.#count += 1;
    this.#low[row] = low;
    this.#high[row] = high;
    this.#device[row] = device;
    this.#place(row);
    return row;
  }

  #place(row: number): void {
    const mask = this.#places.length - 1;
    const [high, low, device] = [this.#high[row], this.#low[row], this.#device[row]];
    let place = hashOf(high ?? 0, low ?? 0, device ?? 0) & mask;
    while (this.#places[place] !== 0) place = (place + 1) & mask;
    this.#places[place] = row + 1;
  }

  #grow(): void {
    const room = Math.ceil(this.#low.length * 1.5);
    this.#low = enlarged(this.#low, new Uint32Array(room));
    this.#high = enlarged(this.#high, new Uint32Array(room));
    this.#device = enlarged(this.#device, new Uint16Array(room));
    this.first = enlarged(this.first, new Uint16Array(room));
    this.last = enlarged(this.last, new Uint16Array(room));
    this.unseen = enlarged(this.unseen, new Uint32Array(room));
    this.disk = enlarged(this.disk, new Float64Array(room));
    this.apparent = enlarged(this.apparent, new Float64Array(room));
    if (room * 1.5 <= this.#places.length) return;
    this.#places = new Uint32Array(2 * this.#places.length);
    for (let row = 0; row < this.#count; row += 1) this.#place(row);
  }
}

function hashOf(high: number, low: number, device: number): number {
  const hash = Math.imul(low ^ Math.imul(high + device, FACTOR), FACTOR);
  return hash ^ (hash >>> 15);
}

function enlarged<Column extends { set(from: Column): void }>(old: Column, larger: Column): Column {
  larger.set(old);
  return larger;
}
