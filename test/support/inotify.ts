import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { eventually } from './eventually.ts';

/** How many inotify watches a process holds (proc(5), fdinfo). */
export function inotifyWatches({ pid }: { readonly pid: number }): number {
  const directory = `/proc/${pid}/fdinfo`;
  return readdirSync(directory)
    .flatMap((name) => {
      try {
        return readFileSync(join(directory, name), 'utf8').split('\n');
      } catch {
        return [];
      }
    })
    .filter((line) => line.startsWith('inotify wd:')).length;
}

/**
 * Waits until a `wait` or `watch` watches the mirror. By then it has looked at it once, and what it
 * saw did not end it.
 */
export async function isWatching(program: { readonly pid: number }): Promise<void> {
  await eventually(() => expect(inotifyWatches(program)).toBe(1));
}
