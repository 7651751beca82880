import { readFileSync, writeFileSync } from 'node:fs';

/** Flips one bit in the middle of a file, as a bad disk or cable does: its size stays. */
export function flipBit(path: string): void {
  const content = readFileSync(path);
  const middle = content.length >> 1;
  content[middle] = (content[middle] ?? 0) ^ 1;
  writeFileSync(path, content);
}
