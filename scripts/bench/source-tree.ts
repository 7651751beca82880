import { createHash } from 'node:crypto';
import { closeSync, futimesSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setImmediate } from 'node:timers/promises';

/** The size of each file, in bytes. */
export const fileBytes = 512;

/** Files in the directory of one package. */
const filesInDirectory = 20;

const letters = 'abcdefghijklmnopqrstuvwxyz';

/** 2025-01-01T00:00:00Z, in seconds; files are up to a year older. */
const newest = 1_735_689_600;

/** The path of file number `index`, in a layout like the pool of a package archive. */
function pathOf(index: number): string {
  const number = Math.floor(index / filesInDirectory);
  const letter = letters[number % letters.length] ?? '';
  const name = `${letter}${createHash('md5').update(String(number)).digest('hex').slice(0, 7)}`;
  const part = index % filesInDirectory;
  return join(
    'pool',
    'main',
    letter,
    name,
    `${name}-part${part}_1.${number % 90}-${part}_amd64.deb`,
  );
}

function write(path: string, seed: string, modified: number): void {
  const line = createHash('sha512').update(seed).digest();
  const content = Buffer.concat(Array.from({ length: fileBytes / line.length }, () => line));
  const file = openSync(path, 'w');
  writeSync(file, content);
  futimesSync(file, modified, modified);
  closeSync(file);
}

/** The number of directories in a tree of `files` files, without `root` itself. */
export function directoriesOf(files: number): number {
  const packages = Math.ceil(files / filesInDirectory);
  return packages + Math.min(packages, letters.length) + 2;
}

/** Makes a tree of `files` files in `root`; leaves an unfinished tree when `signal` is aborted. */
export async function makeTree(root: string, files: number, signal: AbortSignal): Promise<void> {
  for (let index = 0; index < files; index++) {
    const path = join(root, pathOf(index));
    if (index % filesInDirectory === 0) {
      mkdirSync(dirname(path), { recursive: true });
      await setImmediate(undefined, { signal });
    }
    write(path, `${index}`, newest - ((index * 7919) % 31_536_000));
  }
}

/** Every hundredth file, and different ones in each of 50 rounds. */
function* onePercent(files: number, round: number): Generator<number> {
  for (let index = round * 2; index < files; index += 100) yield index;
}

/** Gives every hundredth file new content of the same size, modified now. */
export function changeOnePercent(root: string, files: number, round: number): void {
  const now = Date.now() / 1000;
  for (const index of onePercent(files, round)) {
    write(join(root, pathOf(index)), `${index}, changed in round ${round}`, now);
  }
}

/** Removes every hundredth file, but none that `changeOnePercent` changes. */
export function deleteOnePercent(root: string, files: number, round: number): void {
  for (const index of onePercent(files - 1, round)) rmSync(join(root, pathOf(index + 1)));
}
