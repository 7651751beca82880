import { renameSync, rmSync } from 'node:fs';
import { lstatIfThere, readTextIfThere, writeWhole } from '../system/files.ts';
import { currentId } from './current.ts';
import { discard } from './discard.ts';
import { trustMark } from './distrust.ts';
import { identityIfThere } from './identity.ts';
import type { Layout } from './layout.ts';

/**
 * An old snapshot that was recycled into a clone of what is current. The next sync that changes anything
 * has its clone without any work.
 *
 * A mark beside it names the tree, the snapshot that it equals, and the boot and the disk under which it
 * was made: nothing flushes it to disk, and another host cannot know whether it was finished. Without the
 * mark that fits, it is discarded.
 */

/** Keeps a tree that equals what is current as the spare. */
export function keepSpare(layout: Layout, tree: string): void {
  discardSpare(layout);
  renameSync(tree, layout.spare);
  writeWhole(layout.spareMark, markOf(layout), 0o600);
}

/** Whether there is a spare for what is current. */
export function hasSpare(layout: Layout): boolean {
  const mark = readTextIfThere(layout.spareMark);
  return mark !== undefined && mark === markOf(layout);
}

/** Moves the spare away, to be used. */
export function takeSpare(layout: Layout, path: string): void {
  renameSync(layout.spare, path);
  rmSync(layout.spareMark, { force: true });
}

/** @returns whether there was any. */
export function discardSpare(layout: Layout): boolean {
  rmSync(layout.spareMark, { force: true });
  if (lstatIfThere(layout.spare) === undefined) return false;
  discard(layout, layout.spare);
  return true;
}

function markOf(layout: Layout): string {
  const current = currentId(layout);
  const model = current && identityIfThere(layout.snapshot(current));
  return `${identityIfThere(layout.spare)} ${model} ${trustMark(layout)}\n`;
}
