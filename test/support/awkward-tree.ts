import { mkdirSync } from 'node:fs';
import { type BytePath, utf8 } from './byte-path.ts';
import { type FileWork, fileWork } from './file-work.ts';
import { runsAsRoot } from './privilege.ts';

/** Names that a shell, a list of files or a parser of rsync's output could misread. */
export const awkwardNames: readonly BytePath[] = [
  'new\nline',
  '\n',
  'ends with newline\n',
  'tab\tinside',
  'carriage\rreturn',
  'bell\x07 and escape\x1b[31m',
  "single'quote",
  'double"quote',
  'back`tick',
  '$(command) $variable %n %i',
  '-leading-dash',
  '--delete',
  ' leading space',
  'trailing space ',
  ' ',
  '\\#012',
  '\\',
  'back\\slash',
  'trailing backslash\\',
  '*',
  '?',
  '[x]',
  '{a,b}',
  '#x',
  ';y',
  '~',
  '+ plus',
  '- minus',
  '!',
  'a:b',
  'host::module',
  '...',
  '>f+++++++++ x',
  '*deleting   x',
  'a -> b',
  'a => b',
  utf8('ünïcode ✓ 漢字'),
  // "é", composed and decomposed: two names that look the same.
  utf8('\u00e9'),
  utf8('e\u0301'),
  'latin1 \xe9\xff\xfe',
  '\xff',
  'cut utf-8 \xe2\x9c',
  'x'.repeat(255),
  '\xc3'.repeat(255),
];

/** What an awkward tree includes. */
export interface AwkwardTreeOptions {
  /** Devices and files of other owners, which only root can make and copy. Default: if root. */
  readonly privileged?: boolean;
}

/**
 * Makes the directory `root` with everything that a mirror may contain and rsync can copy: each
 * awkward name as a file, a directory, a symlink and a symlink's target; links, modes, owners,
 * special files and times. No symlink leads out of the tree.
 */
export function buildAwkwardTree(root: string, options: AwkwardTreeOptions = {}): void {
  mkdirSync(root, { mode: 0o755 });
  const work = fileWork(root);
  writeNames(work);
  writeLinks(work);
  writeContents(work);
  writeSpecialFiles(work);
  writeModes(work);
  if (options.privileged ?? runsAsRoot) writePrivileged(work);
  writeTimes(work);
}

function writeNames(work: FileWork): void {
  work.directory('names');
  work.directory('names/files');
  work.directory('names/directories');
  work.directory('names/symlinks');
  for (const name of awkwardNames) {
    work.write(`names/files/${name}`, `the file ${name}`);
    work.directory(`names/directories/${name}`);
    work.symlink(`names/symlinks/${name}`, `../files/${name}`);
  }
  for (const name of awkwardNames.slice(0, 12)) {
    work.write(`names/directories/${name}/${name}`, `below ${name}`);
  }
}

function writeLinks(work: FileWork): void {
  work.directory('links');
  work.directory('links/elsewhere');
  work.symlink('links/to a file', '../contents/text');
  work.symlink('links/to a directory', 'elsewhere');
  work.symlink('links/to nothing', 'not there');
  work.symlink('links/to itself', 'to itself');
  work.symlink('links/to the top', '..');
  work.symlink('links/with a newline', 'new\nline -> target');
  work.symlink('links/latin1', '\xe9\xff');
  work.write('links/first', 'three names, one inode');
  work.link('links/second', 'links/first');
  work.link('links/elsewhere/third\n', 'links/first');
  work.write('links/empty', '');
  work.link('links/also empty', 'links/empty');
  work.write('links/one name', 'three names, one inode');
}

function writeContents(work: FileWork): void {
  work.directory('contents');
  work.directory('contents/empty directory');
  work.directory('contents/a');
  work.directory('contents/a/b');
  work.directory('contents/a/b/c');
  work.write('contents/a/b/c/deep', 'deep');
  work.write('contents/empty', '');
  work.write('contents/text', 'text\n');
  work.write('contents/zeros', Buffer.alloc(300_000));
  work.write('contents/all bytes', Buffer.from(Array.from({ length: 70_000 }, (_, i) => i % 251)));
}

function writeSpecialFiles(work: FileWork): void {
  work.directory('special');
  work.fifo('special/fifo');
}

function writeModes(work: FileWork): void {
  work.directory('modes');
  for (const mode of [0o400, 0o600, 0o664, 0o755, 0o777]) {
    work.write(`modes/file ${mode.toString(8)}`, 'mode', mode);
  }
  for (const mode of [0o700, 0o1777, 0o2775, 0o555]) {
    const path = `modes/directory ${mode.toString(8)}`;
    work.directory(path);
    work.write(`${path}/inside`, 'inside');
    work.directory(`${path}/below`);
    work.mode(path, mode);
  }
}

function writePrivileged(work: FileWork): void {
  work.directory('owners');
  work.write('owners/other user', 'other user');
  work.owner('owners/other user', 12_345, 0);
  work.write('owners/other group', 'other group');
  work.owner('owners/other group', 0, 23_456);
  work.write('owners/setuid', 'setuid');
  work.owner('owners/setuid', 12_345, 23_456);
  work.mode('owners/setuid', 0o4755);
  work.symlink('owners/symlink', 'other user');
  work.owner('owners/symlink', 12_345, 23_456);
  work.directory('owners/directory');
  work.owner('owners/directory', 12_345, 23_456);
  work.characterDevice('special/null', 1, 3);
}

/** Comes last, because every other step changes the time of a directory. */
function writeTimes(work: FileWork): void {
  work.directory('times');
  work.write('times/the first nanosecond of a second', 'time');
  work.write('times/the last nanosecond of a second', 'time');
  work.write('times/whole second', 'time');
  work.write('times/the epoch', 'time');
  work.write('times/before the epoch', 'time');
  work.write('times/in the future', 'time');
  work.symlink('times/symlink', 'whole second');
  work.directory('times/directory');
  work.mtime('times/the first nanosecond of a second', '1600000000.000000001');
  work.mtime('times/the last nanosecond of a second', '1600000000.999999999');
  work.mtime('times/whole second', '1600000000');
  work.mtime('times/the epoch', '0');
  work.mtime('times/before the epoch', '-86400');
  work.mtime('times/in the future', '2000000000.5');
  work.mtime('times/symlink', '1500000000.123456789');
  work.mtime('times/directory', '1500000000.987654321');
  work.mtime('.', '1400000000.000000001');
}
