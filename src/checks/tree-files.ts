import {
  type BigIntStats,
  closeSync,
  createReadStream,
  lstatSync,
  openSync,
  readSync,
  realpathSync,
} from 'node:fs';
import { pipeline, type Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { errnoOf, MirrorlatchError } from '../errors.ts';
import { bytePath } from '../mirror/byte-path.ts';
import { RealParents } from '../mirror/trees/real-parents.ts';
import { howToInstall } from '../system/child.ts';
import { type ChildOptions, runProgram } from '../system/process.ts';
import { PIECE, READ_ONLY } from './hash-file.ts';

/** A regular file of a tree. */
export interface FoundFile {
  /** Without symlinks below the tree. */
  path: Buffer;
  stats: BigIntStats;
}

/** What cannot be understood, such as an index that is cut off. */
export class Malformed extends Error {
  override readonly name = 'Malformed';
}

/** The programs that undo a compression, by the end of the names of its files. Node knows gzip itself. */
const PROGRAMS: Readonly<Record<string, string>> = {
  xz: 'xz -dc',
  lzma: 'xz -dc',
  zst: 'zstd -dc',
  bz2: 'bzip2 -dc',
  lz4: 'lz4 -dc',
  Z: 'gzip -dc',
  // It needs a name, and takes off the end of it.
  zck: 'unzck -c /dev/stdin',
};

/** By which bytes a file begins that is compressed in one of these ways. */
const SIGNATURES: readonly (readonly [form: string, bytes: string])[] = [
  ['gz', '\x1f\x8b'],
  ['Z', '\x1f\x9d'],
  ['xz', '\xfd7zXZ\0'],
  ['zst', '\x28\xb5\x2f\xfd'],
  ['bz2', 'BZh'],
  ['lz4', '\x04\x22\x4d\x18'],
];

/** What an index names need not be there, nor be a name that an entry can have: those have at most 255 bytes, and paths 4095. */
const NOTHING_THERE = ['ENOENT', 'ENOTDIR', 'ELOOP', 'ENAMETOOLONG'];

/**
 * What is called so in a tree; undefined if nothing is, or can be.
 *
 * @param name one character per byte (latin1).
 */
export function entryIn(tree: string, name: string): BigIntStats | undefined {
  try {
    return lstatSync(bytePath(tree, name), { bigint: true });
  } catch (error) {
    if (NOTHING_THERE.includes(errnoOf(error) ?? '')) return undefined;
    throw error;
  }
}

/** The files of one tree, into which links may lead, but not out of it. */
export class TreeFiles {
  readonly tree: string;
  readonly #real: Buffer;
  readonly #parents: RealParents;
  readonly #options: Pick<ChildOptions, 'inherit' | 'signal'>;

  constructor(tree: string, options: Pick<ChildOptions, 'inherit' | 'signal'>) {
    this.tree = tree;
    this.#real = Buffer.from(`${realpathSync(tree)}/`);
    this.#parents = new RealParents(tree);
    this.#options = options;
  }

  /** @param name one character per byte (latin1). */
  find(name: string): FoundFile | 'missing' | 'not-regular' {
    const path = bytePath(this.tree, name);
    const stats = entryIn(this.tree, name);
    if (stats === undefined) return 'missing';
    if (!this.#parents.leadTo(name) || stats.isSymbolicLink()) return this.#follow(path);
    return stats.isFile() ? { path, stats } : 'not-regular';
  }

  isThere(name: string): boolean {
    return typeof this.find(name) === 'object';
  }

  #follow(path: Buffer): FoundFile | 'missing' | 'not-regular' {
    try {
      const real = realpathSync(path, { encoding: 'buffer' });
      const stats = lstatSync(real, { bigint: true });
      const isWithin = real.subarray(0, this.#real.length).equals(this.#real);
      return isWithin && stats.isFile() ? { path: real, stats } : 'not-regular';
    } catch (error) {
      if (NOTHING_THERE.includes(errnoOf(error) ?? '')) return 'missing';
      throw error;
    }
  }

  /** The content of a file as it is. */
  bytesOf({ path }: FoundFile): Readable {
    return createReadStream(path, { flags: READ_ONLY as unknown as string, highWaterMark: PIECE });
  }

  /**
   * The content of a file without the compression that its name ends in.
   *
   * @throws Malformed where it cannot be undone; MirrorlatchError UNAVAILABLE without the program for it.
   */
  contentOf(name: string, file: FoundFile): AsyncGenerator<Buffer> {
    return this.#uncompressed(/\.(\w+)$/.exec(name)?.[1] ?? '', file);
  }

  /** The same for a file whose name does not say how it is compressed: its first bytes do. */
  contentByItself(file: FoundFile): AsyncGenerator<Buffer> {
    const start = this.startOf(file, 6).toString('latin1');
    const [form = ''] = SIGNATURES.find(([, bytes]) => start.startsWith(bytes)) ?? [];
    return this.#uncompressed(form, file);
  }

  /** The first bytes of a file. */
  startOf({ path }: FoundFile, count: number): Buffer {
    const descriptor = openSync(path, READ_ONLY);
    try {
      const buffer = Buffer.alloc(count);
      return buffer.subarray(0, readSync(descriptor, buffer));
    } finally {
      closeSync(descriptor);
    }
  }

  async *#uncompressed(form: string, file: FoundFile): AsyncGenerator<Buffer> {
    const program = PROGRAMS[form];
    if (program !== undefined) yield* this.#undone(program, file);
    else if (form === 'gz') {
      try {
        yield* pipeline(this.bytesOf(file), createGunzip({ chunkSize: UNPACKED_PIECE }), () => {});
      } catch (error) {
        if (errnoOf(error) === 'EIO') throw error;
        throw new Malformed(error instanceof Error ? error.message : String(error));
      }
    } else yield* this.bytesOf(file);
  }

  async *#undone(program: string, { path }: FoundFile): AsyncGenerator<Buffer> {
    const descriptor = openSync(path, READ_ONLY);
    let output: Readable | undefined;
    const { inherit = [], signal } = this.#options;
    // A name need not be valid UTF-8, as the words of a command line have to be.
    const ended = runProgram('sh', ['-c', `exec ${program} <&3`], {
      inherit: [descriptor, ...inherit],
      signal,
      onOutput: (stream) => {
        output = stream;
      },
    }).finally(() => closeSync(descriptor));
    ended.catch(() => {});
    if (output !== undefined) yield* output as AsyncIterable<Buffer>;
    const { exitCode, stderr } = await ended;
    signal?.throwIfAborted();
    if (exitCode === NOT_FOUND) throw lacking(program.replace(/ .*/, ''));
    if (exitCode !== 0) throw new Malformed(stderr.trim().split('\n')[0] ?? '');
  }
}

/** How much of a content is unpacked at once: with the 16 KiB that are usual, the calls cost more; bytes. */
const UNPACKED_PIECE = 128 * 1024;

/** What a shell ends with when there is no such program. */
const NOT_FOUND = 127;

/** The error when a check needs a program that is not installed. */
export function lacking(program: string): MirrorlatchError {
  return new MirrorlatchError('UNAVAILABLE', `a check needs ${program}, which is not installed`, {
    hint: howToInstall(program),
  });
}

/** A line that is longer than this is no line of an index; bytes. */
const LONGEST_LINE = 4 * 1024 * 1024;

/**
 * The lines of a text, many at a time, one character per byte (latin1).
 *
 * @throws Malformed for one that is too long to be a line.
 */
export async function* linesOf(content: AsyncIterable<Buffer>): AsyncGenerator<string[]> {
  for await (const text of wholeLinesOf(content)) yield text.split('\n');
}

/** The same, undivided and without the end of the last of them. */
export async function* wholeLinesOf(content: AsyncIterable<Buffer>): AsyncGenerator<string> {
  let rest = '';
  for await (const chunk of content) {
    const text = rest + chunk.toString('latin1');
    const end = text.lastIndexOf('\n');
    rest = text.slice(end + 1);
    if (rest.length > LONGEST_LINE) throw new Malformed('it has a line of more than 4 MiB');
    if (end !== -1) yield text.slice(0, end);
  }
  if (rest !== '') yield rest;
}
