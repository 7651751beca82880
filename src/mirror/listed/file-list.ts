import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import type { Entry } from '../../rsync/itemize.ts';
import { readableName } from '../names.ts';

/**
 * A list of all entries of a tree that its upstream publishes in it, as create-filelist makes it for
 * quick-fedora-mirror (https://pagure.io/quick-fedora-mirror): Fedora, EPEL, Rocky Linux and others have
 * one at the top of each module, `fullfiletimelist-MODULE`. The fields are separated by tabs:
 *
 * ```
 * [Version]
 * 2
 *
 * [Files]
 * 1779964652  f   3194  10.1/os/repodata/repomd.xml
 * 1779964652  d   6144  10.1/os/repodata
 *
 * [Checksums SHA1]
 * 6e4d1b06789df65e2c5fdbdbe3627211af4b5d3f  10.1/os/repodata/repomd.xml
 *
 * [End]
 * ```
 *
 * - The time is the later one of mtime and ctime, in whole seconds: each change of an entry is seen, that
 *   of its mode, owner or link count too. An older create-filelist writes a fraction.
 * - The type is `f` (whatever is none of the others), `d` or `l`; `-` behind it says that not everyone may
 *   read the entry, `*` that it lies in such a directory.
 * - The path is relative to the directory that the list lies in. Nothing is escaped.
 * - The order is that in which the directories were read, a directory after its content. It is none.
 * - It may lack itself and other lists at the top, dangling symlinks, and what not even the group may read.
 */
export interface ListedEntry {
  type: Extract<Entry['type'], 'file' | 'directory' | 'symlink'>;
  /** Bytes; of a directory whatever the upstream's filesystem says. */
  size: number;
  /** Whole seconds since the epoch. */
  time: number;
  /** Not everyone may read it: an upstream may leave it out of what it serves. */
  isRestricted: boolean;
}

/** Why a list cannot be used, as the end of a sentence that begins with the list. */
export class FileListFault extends Error {}

const HEAD = /^\[Version\]\n[23]\n\n\[Files\]\n/;
const END = '\n[End]\n';

const TYPES: Record<string, ListedEntry['type']> = { f: 'file', d: 'directory', l: 'symlink' };

/**
 * Opens a list without following a symlink, and checks that it is whole.
 *
 * @throws FileListFault
 */
export function openFileList(path: Buffer): number {
  const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants;
  const descriptor = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  try {
    const found = fstatSync(descriptor);
    if (!found.isFile()) throw new FileListFault('is no file');
    const head = readAt(descriptor, 64, 0);
    const tail = readAt(descriptor, END.length, Math.max(0, found.size - END.length));
    if (!HEAD.test(head)) throw new FileListFault('has another format');
    if (tail !== END) throw new FileListFault('is cut: it has no end');
    return descriptor;
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
}

function readAt(descriptor: number, length: number, position: number): string {
  const buffer = Buffer.alloc(length);
  return buffer.toString('latin1', 0, readSync(descriptor, buffer, 0, length, position));
}

/** What a list, or a tree, says of one name. */
export interface Facts {
  /** Undefined where only a checksum is listed. */
  entry?: ListedEntry;
  /** In hexadecimal; its length tells the algorithm. */
  checksums: string[];
}

const ENTRY = /^(\d{1,12})(?:\.\d+)?\t([dfl])([-*]?)\t(\d{1,15})\t/;
const CHECKSUM = /^([0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64}|[0-9a-f]{128})\t/;

/**
 * The name that a line of a list is about, and the line without it, which `addFact` understands.
 *
 * @param line one character per byte (latin1).
 * @returns undefined for a line that is about no entry.
 * @throws FileListFault for a line that makes no sense, and for a name that no tree can have.
 */
export function splitLine(line: string): { name: string; fact: string } | undefined {
  const [fields] = ENTRY.exec(line) ?? CHECKSUM.exec(line) ?? [];
  if (fields !== undefined) return { name: checked(line.slice(fields.length)), fact: fields };
  if (line === '' || /^\[[A-Za-z0-9 ]+\]$|^[23]$/.test(line)) return undefined;
  throw new FileListFault(`has a line that makes no sense: ${readableName(line).name}`);
}

/** @throws FileListFault for a second one of its kind. */
export function addFact(facts: Facts, name: string, fact: string): void {
  const [, time, type = '', mark, size] = ENTRY.exec(fact) ?? [];
  if (time === undefined) {
    facts.checksums.push(fact.trimEnd());
    return;
  }
  if (facts.entry !== undefined) throw new FileListFault(`names ${readableName(name).name} twice`);
  facts.entry = {
    type: TYPES[type] ?? 'file',
    size: Number(size),
    time: Number(time),
    isRestricted: mark !== '',
  };
}

/** A path below the tree: rsync and the kernel must take each part of it for a name. */
function checked(name: string): string {
  const isPath = name.split('/').every((part) => !/^\.{0,2}$/.test(part) && part.length <= 255);
  if (isPath && name.length <= 4000 && !hasControls(name)) return name;
  throw new FileListFault(`has a name that is none: ${readableName(name).name}`);
}

/** Whether a name has bytes that would end a line or a field of a list. */
export function hasControls(name: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: it is about them
  return /[\x00-\x1f\x7f]/.test(name);
}
