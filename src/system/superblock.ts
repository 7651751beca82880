import { closeSync, constants, openSync, readSync, statSync } from 'node:fs';

/** Of the superblock of ext2 to ext4: see "The Super Block" in the documentation of the kernel. */
const SUPERBLOCK = { at: 1024, length: 1024 };
const MAGIC = { at: 0x38, value: 0xef53 };
const STATE = { at: 0x3a, clean: 0x1, withErrors: 0x2 };
const COMPATIBLE_FEATURES = { at: 0x5c, hasJournal: 0x4 };

/**
 * The state of the ext2, ext3 or ext4 of `directory`, as tune2fs(8) names it: `clean`, `not clean`, either
 * `with errors`. Without a journal, a filesystem is not clean as long as it is mounted, so that counts as
 * clean.
 *
 * @param device such as /dev/sda1; undefined is returned where it is something else, as in a container, or
 *   where only root may read it.
 */
export function stateOfExt(directory: string, device: string): string | undefined {
  const superblock = readSuperblock(directory, device);
  if (superblock?.readUInt16LE(MAGIC.at) !== MAGIC.value) return undefined;
  const state = superblock.readUInt16LE(STATE.at);
  const hasJournal =
    superblock.readUInt32LE(COMPATIBLE_FEATURES.at) & COMPATIBLE_FEATURES.hasJournal;
  const isClean = state & STATE.clean || !hasJournal;
  return `${isClean ? 'clean' : 'not clean'}${state & STATE.withErrors ? ' with errors' : ''}`;
}

function readSuperblock(directory: string, device: string): Buffer | undefined {
  let descriptor: number | undefined;
  try {
    if (statSync(device).rdev !== statSync(directory).dev) return undefined;
    descriptor = openSync(device, constants.O_RDONLY | constants.O_NONBLOCK);
    const superblock = Buffer.alloc(SUPERBLOCK.length);
    readSync(descriptor, superblock, 0, SUPERBLOCK.length, SUPERBLOCK.at);
    return superblock;
  } catch {
    // There are many reasons why it cannot be read, and no need to.
    return undefined;
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}
