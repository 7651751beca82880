import { type BigIntStats, fstatSync, read as readFrom } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { promisify } from 'node:util';
import { MirrorlatchError } from '../../errors.ts';
import { writeBody } from './write-body.ts';

const read = promisify(readFrom);

/** Bytes of a file, from the first to the last. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/**
 * One copy of half a megabyte through a buffer that stays in use costs a third of eight copies through new
 * ones. But a client that stops reading holds what it was sent last, so only a few get a large buffer at a
 * time, and thousands of slow ones a small one each.
 */
const LARGE_BYTES = 512 * 1024;
const SMALL_BYTES = 8 * 1024;
const MOST_LARGE = 8;

/** A client that takes a buffer in less time makes better use of a large one than another; ms. */
const FAST_MS = 100;

/** As many small buffers are kept as are in use at a time by clients that are not slow. */
const MOST_SMALL = 64;

/** The buffers that nobody uses, and how many more large ones may be made. */
const unused: { readonly large: Buffer[]; readonly small: Buffer[] } = { large: [], small: [] };
let toBeMade = MOST_LARGE;

/** An open file, and what it was then. */
export interface OpenFile {
  readonly descriptor: number;
  readonly status: Pick<BigIntStats, 'mtimeNs' | 'size'>;
}

/**
 * Writes bytes of an open file as the body of a response, and ends it. If the client goes away, it just
 * returns. If the file is written to meanwhile, the body is not sent to its end, so that the client knows.
 *
 * @throws the error of read(2), or MirrorlatchError BUSY if the file has changed.
 */
export async function sendDescriptor(
  request: IncomingMessage,
  response: ServerResponse,
  file: OpenFile,
  { start, end }: ByteRange,
): Promise<void> {
  let isFast = true;
  for (let position = start; position <= end; ) {
    const left = end + 1 - position;
    const buffer = takeBuffer(isFast && left > SMALL_BYTES);
    try {
      const length = Math.min(left, buffer.length);
      const { bytesRead } = await read(file.descriptor, buffer, 0, length, position);
      if (bytesRead === 0) throw changed();
      if (bytesRead === left) refuseIfChanged(file);
      const begun = performance.now();
      if (!(await writeBody(request, response, buffer.subarray(0, bytesRead)))) return;
      isFast = performance.now() - begun < FAST_MS;
      position += bytesRead;
    } finally {
      giveBack(buffer);
    }
  }
  response.end();
}

/** The content of an open file. @throws as `sendDescriptor` does. */
export async function readWhole(file: OpenFile): Promise<Buffer> {
  const size = Number(file.status.size);
  const content = Buffer.allocUnsafeSlow(size);
  for (let position = 0; position < size; ) {
    const { bytesRead } = await read(file.descriptor, content, position, size - position, position);
    if (bytesRead === 0) throw changed();
    position += bytesRead;
  }
  refuseIfChanged(file);
  return content;
}

/**
 * A tree in place, or of another program, may be written as it is read; what it was has been promised to the client
 * already. A file of a snapshot is always what it was.
 */
function refuseIfChanged({ descriptor, status }: OpenFile): void {
  const now = fstatSync(descriptor, { bigint: true });
  if (now.mtimeNs === status.mtimeNs && now.size === status.size) return;
  throw changed();
}

function changed(): MirrorlatchError {
  return new MirrorlatchError('BUSY', 'a file was changed while it was sent');
}

function takeBuffer(mayBeLarge: boolean): Buffer {
  const large = mayBeLarge ? takeLarge() : undefined;
  return large ?? unused.small.pop() ?? Buffer.allocUnsafeSlow(SMALL_BYTES);
}

function takeLarge(): Buffer | undefined {
  if (unused.large.length === 0 && toBeMade > 0) {
    toBeMade -= 1;
    return Buffer.allocUnsafeSlow(LARGE_BYTES);
  }
  return unused.large.pop();
}

function giveBack(buffer: Buffer): void {
  if (buffer.length === LARGE_BYTES) unused.large.push(buffer);
  else if (unused.small.length < MOST_SMALL) unused.small.push(buffer);
}
