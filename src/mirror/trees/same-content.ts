import { closeSync, constants, openSync, readSync } from 'node:fs';
import type { Turns } from '../../system/event-loop.ts';

/** Content is compared in chunks of this size; bytes. */
const CHUNK = 1024 * 1024;

/** Whether two files have the same bytes. Follows no symlink in the place of one. */
export async function hasSameContent(one: Buffer, other: Buffer, turns: Turns): Promise<boolean> {
  const open = (path: Buffer): number => openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  const ours = open(one);
  try {
    const theirs = open(other);
    try {
      const [chunk, same] = [Buffer.alloc(CHUNK), Buffer.alloc(CHUNK)];
      for (let at = 0; ; at += CHUNK) {
        const length = readWhole(ours, chunk, at);
        if (length !== readWhole(theirs, same, at)) return false;
        if (!chunk.subarray(0, length).equals(same.subarray(0, length))) return false;
        if (length < CHUNK) return true;
        await turns.turn();
      }
    } finally {
      closeSync(theirs);
    }
  } finally {
    closeSync(ours);
  }
}

function readWhole(descriptor: number, into: Buffer, position: number): number {
  let length = 0;
  while (length < into.length) {
    const count = readSync(descriptor, into, length, into.length - length, position + length);
    if (count === 0) break;
    length += count;
  }
  return length;
}
