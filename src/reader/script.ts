import { readFileSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Layout } from '../mirror/layout.ts';
import { readTextIfThere, writeWhole } from '../system/files.ts';

/** The standalone client, a POSIX sh script. The path holds in `src`, in `dist` and in its bundle. */
export const readerPath: string = fileURLToPath(new URL('../reader/reader.sh', import.meta.url));

/** The program itself, as a client calls it. */
export const programPath: string = fileURLToPath(new URL('../mirrorlatch', import.meta.url));

/** By everybody, and writable by its owner alone. */
const EXECUTABLE = 0o755;

/** What interactive shells read at their start, see `interactiveShell`. */
export const shellFiles: string = fileURLToPath(new URL('../reader/shells', import.meta.url));

export function readerText(): string {
  return readFileSync(readerPath, 'utf8');
}

/** Puts the reader of this version where clients that mount the mirror find it. */
export function placeReader(layout: Layout): void {
  const text = readerText();
  const isThere =
    readTextIfThere(layout.reader) === text &&
    (statSync(layout.reader).mode & 0o7777) === EXECUTABLE;
  if (!isThere) writeWhole(layout.reader, text, EXECUTABLE);
}
