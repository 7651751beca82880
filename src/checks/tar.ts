import { Malformed } from './tree-files.ts';

/** A regular file in a tar archive. */
export interface Member {
  /** One character per byte (latin1). */
  name: string;
  /** What is left unread of it is skipped. */
  content: AsyncIterable<Buffer>;
}

const BLOCK = 512;

/** The most that a header for a long name may have; bytes. */
const LONGEST_HEADER = 1024 * 1024;

/**
 * The regular files of a tar archive (pax(1), ustar and pax formats, and GNU's long names), in its order. Nothing
 * of it is kept, whatever its headers say. To the end of the archive all is read, so that a compression around it
 * is checked, too.
 *
 * @param isOpen whether it may lack its end, as a part of an .apk file does.
 * @throws Malformed for what is no such archive, or is cut off.
 */
export async function* membersOf(
  content: AsyncIterable<Buffer>,
  { isOpen = false } = {},
): AsyncGenerator<Member> {
  const bytes = new Bytes(content);
  try {
    yield* membersIn(bytes, isOpen);
  } finally {
    await bytes.close();
  }
}

async function* membersIn(bytes: Bytes, isOpen: boolean): AsyncGenerator<Member> {
  let said: Said = {};
  for (let ends = 0; ends < 2; ) {
    const block = await bytes.take(BLOCK);
    if (block.length === 0 && (isOpen || ends > 0)) return;
    if (block.length < BLOCK) throw new Malformed('it is cut off');
    if (block.every((byte) => byte === 0)) {
      ends += 1;
      continue;
    }
    ends = 0;
    const { name, size, type } = { ...headerIn(block), ...said };
    if (SAYING.has(type)) {
      if (size > LONGEST_HEADER) throw new Malformed('it has a name of more than 1 MiB');
      const text = (await bytes.take(size)).toString('latin1');
      if (text.length < size) throw new Malformed('it is cut off');
      said = { ...said, ...saidBy(type, text) };
      await bytes.skip(paddingOf(size));
      continue;
    }
    said = {};
    // Only these have content, whatever size the header of another names.
    const left = WITHOUT_CONTENT.has(type) ? 0 : size;
    const end = bytes.position + left;
    if (REGULAR.has(type)) yield { name, content: bytes.until(end) };
    await bytes.skip(end - bytes.position + paddingOf(left));
  }
  await bytes.drain();
}

const REGULAR: ReadonlySet<string> = new Set(['0', '\0', '7']);

/** Links, devices, directories and pipes. */
const WITHOUT_CONTENT: ReadonlySet<string> = new Set(['1', '2', '3', '4', '5', '6']);

/** The types of headers that say something of the next member. */
const SAYING: ReadonlySet<string> = new Set(['x', 'L']);

/** What a header says of the next member. */
type Said = Partial<Pick<Header, 'name' | 'size'>>;

interface Header {
  name: string;
  /** bytes */
  size: number;
  type: string;
}

function headerIn(block: Buffer): Header {
  const sum = block.reduce((total, byte, at) => total + (at >= 148 && at < 156 ? 32 : byte), 0);
  if (sum !== numberIn(block, 148, 8)) throw new Malformed('it is no tar archive');
  const [name, prefix] = [textIn(block, 0, 100), textIn(block, 345, 155)];
  const isPosix = block.toString('latin1', 257, 263) === 'ustar\0';
  return {
    name: isPosix && prefix !== '' ? `${prefix}/${name}` : name,
    size: numberIn(block, 124, 12),
    type: block.toString('latin1', 156, 157),
  };
}

function textIn(block: Buffer, start: number, length: number): string {
  return upToNul(block.toString('latin1', start, start + length));
}

function upToNul(text: string): string {
  const end = text.indexOf('\0');
  return end === -1 ? text : text.slice(0, end);
}

/** Octal digits, or with the highest bit set a number to the base 256, as GNU tar writes large ones. */
function numberIn(block: Buffer, start: number, length: number): number {
  const isBinary = ((block[start] ?? 0) & 0x80) !== 0;
  const digits = textIn(block, start, length).trim();
  if (!isBinary && !/^[0-7]*$/.test(digits)) throw new Malformed('it is no tar archive');
  const number = isBinary
    ? block.subarray(start + 1, start + length).reduce((total, byte) => total * 256 + byte, 0)
    : Number.parseInt(digits || '0', 8);
  if (!Number.isSafeInteger(number)) throw new Malformed('it has a member that is too large');
  return number;
}

/** A name of GNU, or the records `LENGTH KEY=VALUE\n` of pax. */
function saidBy(type: string, text: string): Said {
  if (type === 'L') return { name: upToNul(text) };
  const said: Said = {};
  for (let at = 0; at < text.length; ) {
    const [record = '', digits = ''] = /^(\d{1,7}) /.exec(text.slice(at, at + 8)) ?? [];
    const length = Number(digits);
    if (length <= record.length || text[at + length - 1] !== '\n')
      throw new Malformed('it has a header that is none of pax');
    const body = text.slice(at + record.length, at + length - 1);
    const [key, value] = [body.split('=', 1)[0], body.slice(body.indexOf('=') + 1)];
    if (key === 'path') said.name = value;
    if (key === 'size') said.size = sizeOf(value);
    at += length;
  }
  return said;
}

function sizeOf(digits: string): number {
  const size = Number(digits);
  if (!/^\d+$/.test(digits) || !Number.isSafeInteger(size))
    throw new Malformed('it has a member that is too large');
  return size;
}

function paddingOf(size: number): number {
  return (BLOCK - (size % BLOCK)) % BLOCK;
}

/** What comes piece by piece, as many bytes at a time as are asked for. */
class Bytes {
  /** How many were taken. */
  position = 0;
  #rest: Buffer = Buffer.alloc(0);
  readonly #content: AsyncIterator<Buffer>;

  constructor(content: AsyncIterable<Buffer>) {
    this.#content = content[Symbol.asyncIterator]();
  }

  /** @returns fewer at the end. */
  async take(count: number): Promise<Buffer> {
    const pieces: Buffer[] = [];
    for await (const piece of this.until(this.position + count)) pieces.push(piece);
    return pieces.length === 1 ? (pieces[0] as Buffer) : Buffer.concat(pieces);
  }

  /** The pieces up to there, or to the end. */
  async *until(end: number): AsyncGenerator<Buffer> {
    while (this.position < end) {
      const piece = await this.#next(end - this.position);
      if (piece === undefined) return;
      yield piece;
    }
  }

  /** @throws Malformed where there are fewer. */
  async skip(count: number): Promise<void> {
    const end = this.position + count;
    while (this.position < end)
      if ((await this.#next(end - this.position)) === undefined)
        throw new Malformed('it is cut off');
  }

  async drain(): Promise<void> {
    while ((await this.#next(Number.MAX_SAFE_INTEGER)) !== undefined);
  }

  /** Lets go of where the rest would come from. */
  async close(): Promise<void> {
    await this.#content.return?.();
  }

  async #next(most: number): Promise<Buffer | undefined> {
    if (this.#rest.length === 0) {
      const { done, value } = await this.#content.next();
      if (done === true) return undefined;
      this.#rest = value;
    }
    const piece = this.#rest.subarray(0, most);
    this.#rest = this.#rest.subarray(piece.length);
    this.position += piece.length;
    return piece;
  }
}
