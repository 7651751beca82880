import { readFileSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Layout } from '../mirror/layout.ts';
import { readTextIfThere, writeWhole } from '../system/files.ts';

/** The standalone reader, a POSIX sh script. The path is right in `src`, `dist` and the bundle. */
export const readerPath: string = fileURLToPath(new URL('../reader/reader.sh', import.meta.url));

/** The `mirrorlatch` program that guards call. */
export const programPath: string = fileURLToPath(new URL('../mirrorlatch', import.meta.url));

const EXECUTABLE = 0o755;

/** The directory of start-up files for interactive shells, see `interactiveShell`. */
export const shellFiles: string = fileURLToPath(new URL('../reader/shells', import.meta.url));

export function readerText(): string {
  return readFileSync(readerPath, 'utf8');
}

/** Puts this version's reader into the mirror, where clients that mount it find it. */
export function placeReader(layout: Layout): void {
  const text = readerText();
  const isThere =
    readTextIfThere(layout.reader) === text &&
    (statSync(layout.reader).mode & 0o7777) === EXECUTABLE;
  if (!isThere) writeWhole(layout.reader, text, EXECUTABLE);
}
