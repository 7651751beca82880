import { pipeline } from 'node:stream';
import { extract } from 'tar-stream';
import { Malformed } from './tree-files.ts';

/** A regular file in a tar archive. */
export interface Member {
  /** One character per byte (latin1), but one of UTF-8 where a header of pax(1) has it. */
  name: string;
  /** What is left unread of it is skipped. */
  content: AsyncIterable<Buffer>;
}

const REGULAR: readonly (string | null)[] = ['file', 'contiguous-file'];

/** Its types lack these. Before POSIX, archives had no mark of their format. */
const OPTIONS: object = { filenameEncoding: 'latin1', allowUnknownFormat: true };

/** At the end of an archive there are two blocks of zeros, of which readers demand one. */
const END = 512;

/**
 * The regular files of a tar archive (pax(1), ustar and pax formats, and GNU's long names), in its order. Nothing
 * of it is kept, whatever its headers say. To the end of the archive all is read, so that a compression around it
 * is checked, too.
 *
 * @param isOpen whether it may lack its end, as a part of an .apk file does.
 * @throws Malformed for what is no such archive, or is cut off; what `content` throws.
 */
export async function* membersOf(
  content: AsyncIterable<Buffer>,
  { isOpen = false } = {},
): AsyncGenerator<Member> {
  const source = new Source(content);
  const members = extract(OPTIONS);
  // What goes wrong comes out of the members.
  pipeline(source.pieces(), members, () => {});
  try {
    for await (const member of members) {
      const { name, type } = member.header;
      if (REGULAR.includes(type))
        yield { name, content: source.explained(member as AsyncIterable<Buffer>) };
      member.resume();
    }
  } catch (error) {
    throw source.explain(error);
  }
  if (!isOpen && source.zeros < END) throw new Malformed('it is cut off');
}

/** The bytes of an archive. */
class Source {
  /** How many of them were read last that are zero. */
  zeros = 0;
  #error: unknown;
  readonly #content: AsyncIterable<Buffer>;

  constructor(content: AsyncIterable<Buffer>) {
    this.#content = content;
  }

  async *pieces(): AsyncGenerator<Buffer> {
    try {
      for await (const piece of this.#content) {
        const zeros = zerosAtEndOf(piece);
        this.zeros = zeros === piece.length ? this.zeros + zeros : zeros;
        yield piece;
      }
    } catch (error) {
      this.#error = error;
      throw error;
    }
  }

  async *explained<Item>(items: AsyncIterable<Item>): AsyncGenerator<Item> {
    try {
      yield* items;
    } catch (error) {
      throw this.explain(error);
    }
  }

  /** What has gone wrong: the archive is not right unless its bytes could not be read. */
  explain(error: unknown): unknown {
    if (this.#error !== undefined) return this.#error;
    const isCutOff = error instanceof Error && error.message === 'Unexpected end of data';
    return new Malformed(isCutOff ? 'it is cut off' : 'it is no tar archive');
  }
}

function zerosAtEndOf(piece: Buffer): number {
  return piece.length - 1 - piece.findLastIndex((byte) => byte !== 0);
}
