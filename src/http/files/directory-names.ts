import type { BigIntStats } from 'node:fs';
import { opendir } from 'node:fs/promises';

/** An entry of a directory before it is looked at. */
export interface Name {
  /** One character per byte (latin1). */
  readonly name: string;
  /** Whether the entry is the file or directory itself, and no symlink to one. */
  readonly isItself: boolean;
}

/** The names of the directories that are in use now. */
const inUse = new Map<string, { readonly names: Promise<readonly Name[]>; users: number }>();

/**
 * Calls `work` with the names of an open directory: directories first, then in the order of bytes. All who
 * use them at one time share them, so that many clients of a large directory take no more memory than one.
 */
export async function withNames(
  descriptor: number,
  status: BigIntStats,
  work: (names: readonly Name[]) => Promise<void>,
): Promise<void> {
  const key = `${status.dev}:${status.ino}:${status.ctimeNs}`;
  const shared = inUse.get(key) ?? { names: readNames(descriptor), users: 0 };
  inUse.set(key, shared);
  shared.users += 1;
  try {
    await work(await shared.names);
  } finally {
    shared.users -= 1;
    if (shared.users === 0) inUse.delete(key);
  }
}

/** How many names the kernel is asked for at a time. */
const AT_A_TIME = 1024;

async function readNames(descriptor: number): Promise<Name[]> {
  const options = { encoding: 'latin1', bufferSize: AT_A_TIME } as const;
  const directories: Name[] = [];
  const others: Name[] = [];
  for await (const entry of await opendir(`/proc/self/fd/${descriptor}`, options)) {
    const isItself = entry.isFile() || entry.isDirectory();
    (entry.isDirectory() ? directories : others).push({ name: entry.name, isItself });
  }
  for (const list of [directories, others]) list.sort((a, b) => (a.name < b.name ? -1 : 1));
  return [...directories, ...others];
}
