import type { BigIntStats } from 'node:fs';
import { opendir } from 'node:fs/promises';

/** An entry of a directory before it is looked at. */
export interface Name {
  /** One character per byte (latin1). */
  readonly name: string;
  /** Whether the entry is the file or directory itself, and no symlink to one. */
  readonly isItself: boolean;
}

/** The names of a directory: directories first, then in the order of bytes. */
export interface Names {
  readonly length: number;
  slice(start: number, end: number): Name[];
}

/** The names of a directory that is in use now. */
interface Shared {
  /** Undefined if there was no room for them. */
  readonly texts: Promise<readonly string[] | undefined>;
  users: number;
}

const inUse = new Map<string, Shared>();

/** With so many names in memory, some 64 bytes each, those of another directory are not read. */
const MOST_NAMES = 200_000;
let namesInMemory = 0;

/**
 * Calls `work` with the names of an open directory. All who use them at one time share them, so that many
 * clients of a large directory take no more memory than one.
 *
 * @param inTurn reads them when there is time for it.
 * @returns false if there is no room for them, and `work` was not called.
 */
export async function withNames(
  descriptor: number,
  status: BigIntStats,
  inTurn: <Result>(read: () => Promise<Result>) => Promise<Result>,
  work: (names: Names) => Promise<void>,
): Promise<boolean> {
  const key = `${status.dev}:${status.ino}:${status.ctimeNs}`;
  const shared = inUse.get(key) ?? {
    texts: inTurn(async () => (namesInMemory < MOST_NAMES ? readNames(descriptor) : undefined)),
    users: 0,
  };
  inUse.set(key, shared);
  shared.users += 1;
  let texts: readonly string[] | undefined;
  try {
    texts = await shared.texts;
    if (texts !== undefined) await work(namesOf(texts));
    return texts !== undefined;
  } finally {
    shared.users -= 1;
    if (shared.users === 0) {
      inUse.delete(key);
      namesInMemory -= texts?.length ?? 0;
    }
  }
}

function namesOf(texts: readonly string[]): Names {
  return {
    length: texts.length,
    slice: (start, end) => texts.slice(start, end).map(nameOf),
  };
}

/** How many names the kernel is asked for at a time. */
const AT_A_TIME = 1024;

async function readNames(descriptor: number): Promise<string[]> {
  const options = { encoding: 'latin1', bufferSize: AT_A_TIME } as const;
  const directories: string[] = [];
  const others: string[] = [];
  for await (const entry of await opendir(`/proc/self/fd/${descriptor}`, options)) {
    const isItself = entry.isFile() || entry.isDirectory();
    (entry.isDirectory() ? directories : others).push(textOf({ name: entry.name, isItself }));
  }
  // Without a function that compares, it takes half the time.
  const texts = [...directories.sort(), ...others.sort()];
  namesInMemory += texts.length;
  return texts;
}

/** In no name, and before every other byte: so a text takes the place of its name. An object would take twice the memory. */
const IS_LINK = '\0';

function textOf({ name, isItself }: Name): string {
  return isItself ? name : `${name}${IS_LINK}`;
}

function nameOf(text: string): Name {
  const isItself = !text.endsWith(IS_LINK);
  return { name: isItself ? text : text.slice(0, -1), isItself };
}
