import type { FileWork } from './file-work.ts';

/** A change that an upstream makes to its tree between two syncs. */
export interface TreeChange {
  /** Describes the change; also the name of its directory in the source. */
  readonly name: string;
  /** `root` to change owners; `outside` for symlinks that lead out of the tree. */
  readonly needs?: 'root' | 'outside';
  /**
   * The first step fills a new directory before the first sync; each later step precedes one more
   * sync. `outside` is an existing directory that is not part of the tree and that no sync may
   * touch: see `fillOutside`.
   */
  readonly steps: readonly ((work: FileWork, outside: string) => void)[];
}

/** The number of steps of the longest change. */
export const mostSteps = (): number => Math.max(...treeChanges.map(({ steps }) => steps.length));

/** Fills the directory outside the tree, to which the symlinks of some changes lead. */
export function fillOutside(work: FileWork): void {
  work.write('passwd', 'not part of the tree');
  work.directory('below');
  work.write('below/passwd', 'nor is this');
}

export const treeChanges: readonly TreeChange[] = [
  {
    name: 'a file becomes a directory and a file again',
    steps: [
      (work) => work.write('entry', 'a file'),
      (work) => {
        work.remove('entry');
        work.directory('entry');
        work.write('entry/inside', 'a directory');
      },
      (work) => {
        work.remove('entry');
        work.write('entry', 'a file');
      },
    ],
  },
  {
    name: 'a directory becomes a file and a directory again',
    steps: [
      (work) => makeDeep(work, 'entry'),
      (work) => {
        work.remove('entry');
        work.write('entry', 'a file');
      },
      (work) => {
        work.remove('entry');
        makeDeep(work, 'entry');
      },
    ],
  },
  {
    name: 'a symlink becomes the directory that it led to and a symlink again',
    steps: [
      (work) => {
        work.directory('target');
        work.write('target/passwd', 'of the target');
        work.symlink('entry', 'target');
      },
      (work) => {
        work.remove('entry');
        work.directory('entry');
        work.write('entry/passwd', 'of the new directory');
      },
      (work) => {
        work.remove('entry');
        work.symlink('entry', 'target');
      },
    ],
  },
  {
    name: 'a symlink to outside becomes a directory and a symlink again',
    needs: 'outside',
    steps: [
      (work, outside) => {
        work.symlink('entry', outside);
        work.symlink('below', `${outside}/below`);
      },
      (work) => {
        for (const path of ['entry', 'below']) {
          work.remove(path);
          work.directory(path);
          work.write(`${path}/passwd`, 'part of the tree');
        }
        work.directory('entry/below');
        work.write('entry/below/passwd', 'part of the tree');
      },
      (work, outside) => {
        work.remove('entry');
        work.symlink('entry', outside);
        work.remove('below');
      },
    ],
  },
  {
    name: 'a symlink becomes a file and a file becomes a symlink',
    steps: [
      (work) => {
        work.write('target', 'the target');
        work.symlink('link', 'target');
        work.write('file', 'a file');
      },
      (work) => {
        work.remove('link');
        work.write('link', 'a file');
        work.remove('file');
        work.symlink('file', 'target');
      },
    ],
  },
  {
    name: 'a directory with a deep tree becomes a symlink to its renamed self',
    steps: [
      (work) => makeDeep(work, 'entry'),
      (work) => {
        work.rename('entry', 'moved');
        work.symlink('entry', 'moved');
      },
    ],
  },
  {
    name: 'a fifo becomes a file and a file becomes a fifo',
    steps: [
      (work) => {
        work.fifo('fifo');
        work.write('file', 'a file');
      },
      (work) => {
        work.remove('fifo');
        work.write('fifo', 'a file');
        work.remove('file');
        work.fifo('file');
      },
    ],
  },
  {
    name: 'only the mode of a file changes',
    steps: [
      (work) => {
        work.write('file', 'mode', 0o644);
        work.write('read-only', 'mode', 0o444);
      },
      (work) => {
        work.mode('file', 0o755);
        work.mode('read-only', 0o600);
      },
      (work) => work.mode('file', 0o400),
    ],
  },
  {
    name: 'only the mode of a directory changes',
    steps: [
      (work) => {
        makeDeep(work, 'directory');
        makeDeep(work, 'read-only');
        work.mode('read-only', 0o555);
      },
      (work) => {
        work.mode('directory', 0o2775);
        work.mode('read-only', 0o755);
      },
      (work) => work.mode('directory', 0o555),
    ],
  },
  {
    name: 'only the owner of a file, a symlink and a directory changes',
    needs: 'root',
    steps: [
      (work) => {
        work.write('file', 'owner');
        work.write('group', 'owner');
        work.symlink('symlink', 'file');
        work.directory('directory');
        work.write('directory/inside', 'owner');
      },
      (work) => {
        for (const path of ['file', 'symlink', 'directory']) work.owner(path, 12_345, 0);
        work.owner('group', 0, 23_456);
      },
    ],
  },
  {
    name: 'only the time of a file and a symlink changes',
    steps: [
      (work) => {
        work.write('file', 'time');
        work.symlink('symlink', 'file');
      },
      (work) => {
        work.mtime('file', '1500000000');
        work.mtime('symlink', '1500000000');
      },
      (work) => work.mtime('file', '1500000000.000000001'),
    ],
  },
  {
    name: 'only the time of a directory changes',
    steps: [
      (work) => makeDeep(work, 'directory'),
      (work) => work.mtime('directory', '1500000000'),
      (work) => work.mtime('directory/b', '1500000000.000000001'),
    ],
  },
  {
    name: 'a file of the same size is rewritten within the same second',
    steps: [
      (work) => {
        work.write('file', 'version 1');
        work.mtime('file', '1600000000.100000000');
      },
      (work) => {
        work.write('file', 'version 2');
        work.mtime('file', '1600000000.100000001');
      },
      (work) => {
        work.write('file', 'version 3');
        work.mtime('file', '1600000000.000000000');
      },
    ],
  },
  {
    name: 'a file of another size keeps its exact time',
    steps: [
      (work) => {
        work.write('file', 'short');
        work.mtime('file', '1600000000.123456789');
      },
      (work) => {
        work.write('file', 'a longer content');
        work.mtime('file', '1600000000.123456789');
      },
      (work) => {
        work.write('file', '');
        work.mtime('file', '1600000000.123456789');
      },
    ],
  },
  {
    name: 'a file is deleted and its directory keeps its time',
    steps: [
      (work) => {
        makeDeep(work, 'directory');
        work.write('directory/stays', 'stays');
        work.write('directory/goes', 'goes');
        work.mtime('directory', '1600000000.123456789');
      },
      (work) => {
        work.remove('directory/goes');
        work.mtime('directory', '1600000000.123456789');
      },
    ],
  },
  {
    name: 'a file is added and its directory keeps its time',
    steps: [
      (work) => {
        work.directory('directory');
        work.write('directory/stays', 'stays');
        work.mtime('directory', '1600000000.123456789');
      },
      (work) => {
        work.write('directory/comes', 'comes');
        work.mtime('directory', '1600000000.123456789');
      },
    ],
  },
  {
    name: 'a deep tree with read-only directories is deleted and comes back',
    steps: [
      (work) => makeReadOnlyTree(work),
      (work) => {
        makeWritable(work);
        work.remove('deep');
      },
      (work) => makeReadOnlyTree(work),
    ],
  },
  {
    name: 'a file in a read-only directory changes, another comes and one goes',
    steps: [
      (work) => {
        work.directory('read-only');
        work.write('read-only/changes', 'old', 0o400);
        work.write('read-only/goes', 'old');
        work.mode('read-only', 0o555);
      },
      (work) => {
        work.mode('read-only', 0o755);
        work.remove('read-only/changes');
        work.write('read-only/changes', 'a new content', 0o400);
        work.write('read-only/comes', 'new');
        work.remove('read-only/goes');
        work.mode('read-only', 0o555);
      },
    ],
  },
  {
    name: 'a deep tree is new',
    steps: [
      () => undefined,
      (work) => {
        makeDeep(work, 'deep');
        work.directory('empty');
      },
    ],
  },
  {
    name: 'a file and a directory are renamed',
    steps: [
      (work) => {
        work.write('file', 'renamed later');
        makeDeep(work, 'directory');
      },
      (work) => {
        work.rename('file', 'file with another name');
        work.rename('directory', 'directory with another name');
      },
    ],
  },
  {
    name: 'two files change their names with each other',
    steps: [
      (work) => {
        work.write('a', 'first');
        work.write('b', 'second, longer');
      },
      (work) => {
        work.rename('a', 'c');
        work.rename('b', 'a');
        work.rename('c', 'b');
      },
    ],
  },
  {
    name: 'a symlink leads elsewhere',
    steps: [
      (work) => {
        work.symlink('symlink', 'first');
        work.symlink('same length and time', 'one');
        work.mtime('same length and time', '1600000000');
      },
      (work) => {
        work.remove('symlink');
        work.symlink('symlink', 'second\nline');
        work.remove('same length and time');
        work.symlink('same length and time', 'two');
        work.mtime('same length and time', '1600000000');
      },
    ],
  },
  {
    name: 'special names change, go and come',
    steps: [
      (work) => {
        for (const name of specialNames) {
          work.write(`changes ${name}`, 'old');
          work.write(`goes ${name}`, 'old');
          work.directory(`directory ${name}`);
          work.write(`directory ${name}/${name}`, 'old');
          work.write(name, 'old');
        }
      },
      (work) => {
        for (const name of specialNames) {
          work.write(`changes ${name}`, 'a new content');
          work.remove(`goes ${name}`);
          work.remove(`directory ${name}`);
          work.mode(name, 0o600);
        }
      },
      (work) => {
        for (const name of specialNames) {
          work.remove(name);
          work.directory(name);
          work.write(`${name}/${name}`, 'new');
        }
      },
    ],
  },
  {
    name: 'an old file gets another name for the same inode',
    steps: [
      (work) => {
        work.write('old', 'one inode');
        work.write('group a', 'one inode too');
        work.link('group b', 'group a');
        work.directory('directory');
      },
      (work) => {
        work.link('directory/new name', 'old');
        work.link('directory/third name', 'group b');
      },
      (work) => work.remove('old'),
    ],
  },
  {
    name: 'names of one inode are parted by a new content',
    steps: [
      (work) => {
        work.write('a', 'one inode');
        for (const name of ['b', 'c']) work.link(name, 'a');
      },
      (work) => {
        work.remove('b');
        work.write('b', 'an inode of its own');
      },
      (work) => {
        work.remove('c');
        work.link('c', 'b');
      },
    ],
  },
  {
    name: 'names of one inode change together',
    steps: [
      (work) => {
        work.write('a', 'one inode');
        work.link('b', 'a');
        work.directory('directory');
        work.link('directory/c', 'a');
      },
      (work) => work.write('a', 'one inode, another content'),
      (work) => work.mode('directory/c', 0o600),
    ],
  },
  {
    name: 'a file keeps its inode and becomes one with another that had the same content and time',
    steps: [
      (work) => {
        for (const name of ['a', 'b']) {
          work.write(name, 'the same');
          work.mtime(name, '1600000000.5');
        }
      },
      (work) => {
        work.remove('b');
        work.link('b', 'a');
      },
    ],
  },
];

/** Names whose changes rsync must report, and mirrorlatch must parse, without confusing them. */
const specialNames = [
  'new\nline',
  '\\#012',
  '-dash',
  ' space ',
  '#x',
  ';y',
  '*',
  '[x]',
  'latin1 \xff',
];

function makeDeep(work: FileWork, path: string): void {
  work.directory(path);
  work.write(`${path}/a`, 'a');
  work.directory(`${path}/b`);
  work.directory(`${path}/b/c`);
  work.directory(`${path}/b/c/empty`);
  work.write(`${path}/b/c/d`, 'd');
}

function makeReadOnlyTree(work: FileWork): void {
  makeDeep(work, 'deep');
  for (const path of ['deep/b/c', 'deep/b', 'deep']) work.mode(path, 0o555);
}

function makeWritable(work: FileWork): void {
  for (const path of ['deep', 'deep/b', 'deep/b/c']) work.mode(path, 0o755);
}
