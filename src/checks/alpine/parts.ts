import { gunzipSync, inflateRawSync } from 'node:zlib';
import { errnoOf } from '../../errors.ts';
import { type Member, membersOf } from '../tar.ts';
import { Malformed } from '../tree-files.ts';

/**
 * A package and an index are several files of gzip one after another, each of which has a part of a tar archive
 * (https://wiki.alpinelinux.org/wiki/Apk_spec): first the signatures, in a package then what controls it and its
 * data, and in an index all the rest.
 */
export interface Part {
  /** Where it begins and ends; bytes. */
  start: number;
  end: number;
  isSignature: boolean;
  /** Without its compression. */
  content: Buffer;
}

/** What the parts before the data may have at most, without their compression; bytes. */
const LONGEST_PART = 16 * 1024 ** 2;

/**
 * The signatures at the start of a file, and the part after them.
 *
 * @param head the first bytes of the file; parts that go on after them are left out.
 * @throws Malformed for what is none.
 */
export function partsIn(head: Buffer): Part[] {
  const parts: Part[] = [];
  for (let start = 0; ; ) {
    const part = partAt(head, start);
    if (part === undefined) return parts;
    parts.push(part);
    if (!part.isSignature) return parts;
    start = part.end;
  }
}

/** The sum and the size after the compressed bytes (RFC 1952, section 2.3.1). */
const TRAILER = 8;

function partAt(head: Buffer, start: number): Part | undefined {
  const begin = afterHeader(head, start);
  if (begin === undefined) return undefined;
  try {
    const how = { info: true, maxOutputLength: LONGEST_PART };
    // With `info`, it says how much it has taken.
    const inflated = inflateRawSync(head.subarray(begin), how) as unknown as Inflated;
    const { buffer: content, engine } = inflated;
    const end = begin + engine.bytesWritten + TRAILER;
    if (end > head.length) return undefined;
    // It compares the sum in the trailer, too, as apk does.
    gunzipSync(head.subarray(start, end), { maxOutputLength: LONGEST_PART });
    return { start, end, isSignature: beginsWithSignature(content), content };
  } catch (error) {
    if (errnoOf(error) === 'Z_BUF_ERROR') return undefined;
    throw new Malformed(error instanceof Error ? error.message : String(error));
  }
}

interface Inflated {
  buffer: Buffer;
  engine: { bytesWritten: number };
}

/** Where the compressed bytes begin (RFC 1952, section 2.3); undefined if the head ends before. */
function afterHeader(head: Buffer, start: number): number | undefined {
  let at = start + 10;
  if (at > head.length) return undefined;
  if (head[start] !== 0x1f || head[start + 1] !== 0x8b) throw new Malformed('it is no gzip');
  const flags = head[start + 3] ?? 0;
  if (flags & FLAGS.extra) {
    if (at + 2 > head.length) return undefined;
    at += 2 + head.readUInt16LE(at);
  }
  for (const flag of [FLAGS.name, FLAGS.comment]) {
    if (!(flags & flag)) continue;
    const end = head.indexOf(0, at);
    if (end === -1) return undefined;
    at = end + 1;
  }
  if (flags & FLAGS.sum) at += 2;
  return at < head.length ? at : undefined;
}

const FLAGS = { sum: 2, extra: 4, name: 8, comment: 16 };

/** By the name of its first file, before which there may be headers of pax(1). */
function beginsWithSignature(content: Buffer): boolean {
  let at = 0;
  while ('xg'.includes(content.toString('latin1', at + 156, at + 157) || '-')) {
    const size = Number.parseInt(content.toString('latin1', at + 124, at + 135), 8);
    if (!(size < content.length)) return false;
    at += 512 + Math.ceil(size / 512) * 512;
  }
  return content.toString('latin1', at, at + 6) === '.SIGN.';
}

/** The files in a part. It lacks the end of an archive, unless it is the last. */
export function filesIn({ content }: Part): AsyncGenerator<Member> {
  return membersOf(once(content), { isOpen: true });
}

async function* once(content: Buffer): AsyncGenerator<Buffer> {
  yield content;
}
