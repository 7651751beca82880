import { lstatSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { execaSync } from 'execa';

/** Flips one bit in the middle of a file, as a bad disk or cable does: its size stays. */
export function flipBit(path: string): void {
  const content = readFileSync(path);
  const middle = content.length >> 1;
  content[middle] = (content[middle] ?? 0) ^ 1;
  writeFileSync(path, content);
}

/** Flips a bit of a file as a failing disk does: not even its time changes. */
export function rot(path: string | Buffer, at = 0): void {
  const { atime, mtime } = lstatSync(path);
  const content = readFileSync(path);
  content[at] = (content[at] ?? 0) ^ 1;
  const { mtimeNs } = lstatSync(path, { bigint: true });
  writeFileSync(path, content, { flag: 'r+' });
  utimesSync(path, atime, mtime);
  const time = `@${mtimeNs / 1_000_000_000n}.${String(mtimeNs % 1_000_000_000n).padStart(9, '0')}`;
  execaSync('xargs', ['-0', 'touch', '-m', '-d', time, '--'], { input: Buffer.from(path) });
}
