import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  closeSync,
  futimesSync,
  linkSync,
  mkdirSync,
  openSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
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

/** Makes a tree of `files` files and a stamp in `root`; an unfinished one when `signal` is aborted. */
export async function makeTree(root: string, files: number, signal: AbortSignal): Promise<void> {
  for (let index = 0; index < files; index++) {
    const path = join(root, pathOf(index));
    if (index % filesInDirectory === 0) {
      mkdirSync(dirname(path), { recursive: true });
      await setImmediate(undefined, { signal });
    }
    write(path, `${index}`, newest - ((index * 7919) % 31_536_000));
  }
  setStamp(root);
}

/** The file of a source that changes last with every change, as a mirror's own. */
export const stamp = 'lastupdate';

/** A change takes other files in each of so many rounds. */
export const mostRounds = 48;

/** One file of `share`, and different ones in each round. */
function* someOf(files: number, share: number, round: number): Generator<number> {
  for (let index = round * 2; index < files; index += share) yield index;
}

/** Gives one file of `share` new content of the same size, modified now, and then the stamp. */
export function changeSome(root: string, files: number, share: number, round: number): void {
  const now = Date.now() / 1000;
  for (const index of someOf(files, share, round)) {
    write(join(root, pathOf(index)), `${index}, changed in round ${round}`, now);
  }
  setStamp(root);
}

/** Removes one file of `share`, but none that `changeSome` changes, and sets the stamp. */
export function deleteSome(root: string, files: number, share: number, round: number): void {
  for (const index of someOf(files - 1, share, round)) rmSync(join(root, pathOf(index + 1)));
  setStamp(root);
}

function setStamp(root: string): void {
  writeFileSync(join(root, stamp), `${new Date().toISOString()}\n`);
}

/** Gives every fortieth file a second name: 5 % of all names are in a group then. */
export function linkSome(root: string, files: number): void {
  for (let index = 0; index < files; index += 40) {
    const path = join(root, pathOf(index));
    linkSync(path, `${path}.asc`);
  }
}

/** The list of all its files that a source may have. */
export const fileList = 'fullfiletimelist-bench';

/** Writes that list, as create-filelist of quick-fedora-mirror does. */
export function listFiles(root: string): void {
  const entries = `find . -mindepth 1 ! -name ${fileList} -printf '%T@\\t%C@\\t%y\\t%s\\t%P\\n'`;
  const later = `awk -F '\\t' -v OFS='\\t' '{ print int($1 > $2 ? $1 : $2), $3, $4, $5 }'`;
  const script = `{ printf '[Version]\\n2\\n\\n[Files]\\n'; ${entries} | ${later}
    printf '\\n[Checksums SHA1]\\n\\n[End]\\n'; } >${fileList}`;
  execFileSync('sh', ['-c', script], { cwd: root });
}

/** Makes `count` files in one directory, with the names of so many packages. */
export function fillDirectory(root: string, count: number, version: number): void {
  mkdirSync(root, { recursive: true });
  for (let index = 0; index < count; index++) {
    const name = createHash('md5').update(String(index)).digest('hex').slice(0, 12);
    write(
      join(root, `lib${name}_${version}.${index % 90}-1_amd64.deb`),
      `${version} ${index}`,
      newest,
    );
  }
  setStamp(root);
}
