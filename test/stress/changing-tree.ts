import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { fileWork } from '../support/file-work.ts';
import { runsAsRoot } from '../support/privilege.ts';

/** Longer than rsync writes in one call, so that a kill can come in the middle of a file. */
const LARGE = 600_000;

/** Makes the tree before its change, with an entry for each case that a sync distinguishes. */
export function writeFirstTree(root: string): void {
  mkdirSync(root, { mode: 0o755 });
  const work = fileWork(root);
  for (const name of ['kept', 'content', 'mode', 'owner', 'time', 'gone', 'swapped']) {
    work.write(name, `${name} of the first tree`);
  }
  work.write('same size', 'first ');
  work.write('large', Buffer.alloc(LARGE, 'first'));
  work.symlink('link', 'kept');
  work.directory('kept directory');
  for (const name of ['a', 'b', 'c', 'd', 'e', 'f']) work.write(`kept directory/${name}`, name);
  work.directory('gone directory');
  work.write('gone directory/gone', 'gone');
  work.directory('becomes a file');
  work.write('becomes a file/inside', 'inside');
  work.mtime('.', '1600000000.123456789');
}

/** Changes that tree as its upstream does before the next sync. */
export function changeTree(root: string): void {
  const work = fileWork(root);
  work.write('content', 'content of the second tree');
  work.write('same size', 'second');
  work.write('large', Buffer.alloc(LARGE, 'second'));
  work.write('new', 'new in the second tree');
  work.directory('new directory');
  for (const name of ['a', 'b', 'c']) work.write(`new directory/${name}`, `new ${name}`);
  work.mode('mode', 0o600);
  if (runsAsRoot) work.owner('owner', 12_345, 23_456);
  work.mtime('time', '1500000000.987654321');
  work.remove('link');
  work.symlink('link', 'new');
  work.remove('gone');
  work.remove('gone directory');
  work.remove('becomes a file');
  work.write('becomes a file', 'a file now');
  work.remove('swapped');
  work.directory('swapped');
  work.write('swapped/inside', 'a directory now');
  work.mtime('.', '1600000001.123456789');
}

/** A command for `lock` that makes staging equal to another tree, its last argument. */
export const FILL_STAGING: readonly string[] = [
  'sh',
  '-c',
  'exec rsync --archive --delete --modify-window=-1 "$0/" "$MIRRORLATCH_STAGING/"',
];

/** Copies a whole mirror or tree with all attributes and hard links. */
export function copyTree(from: string, to: string): void {
  execFileSync('cp', ['-a', '--', from, to]);
}
