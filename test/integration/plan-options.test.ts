import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type FileWork, fileWork } from '../support/file-work.ts';
import { runForJson } from '../support/program.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { describeTree, difference } from '../support/tree.ts';

/** An upstream with symlinks of all kinds, rules in its directories, and directories that rules empty. */
function makeSource(work: FileWork): void {
  for (const name of ['source', 'outside', 'source/a', 'source/b', 'source/c', 'source/c/deep'])
    work.directory(name);
  for (const name of ['a/file', 'a/k.txt', 'b/only.txt', 'c/x.o', 'c/keep.o', 'c/deep/y.o', 'core'])
    work.write(`source/${name}`, `content of ${name}`);
  work.write('outside/file', 'outside');
  for (const rules of ['.rules', '.rsync-filter'])
    work.write(`source/c/${rules}`, '+ keep.o\n- *.o\n');
  work.write('source/c/.cvsignore', 'deep\n');
  work.symlink('source/to-directory', 'a');
  work.symlink('source/to-file', 'a/file');
  work.symlink('source/a/away', `${work.root}/outside`);
}

/** What such options choose otherwise than before, and what they do not choose. */
function changeSource(work: FileWork): void {
  work.write('source/a/file', 'another content');
  work.remove('source/to-directory');
  work.symlink('source/to-directory', 'c');
  work.remove('source/a/away');
  work.symlink('source/a/away', `${work.root}/outside/file`);
  for (const rules of ['.rules', '.rsync-filter'])
    work.write(`source/c/${rules}`, '- keep.o\n+ k.o\n');
  work.write('source/c/.cvsignore', 'keep.o\n');
  work.write('source/c/k.o', 'new');
  work.write('source/b/file', 'new');
  work.directory('source/new');
  work.write('source/new/other.txt', 'new');
  work.link('source/new/linked.o', 'source/c/x.o');
  work.remove('source/core');
}

test.for([
  '--copy-links',
  '--copy-links --hard-links',
  '--copy-unsafe-links',
  '--copy-dirlinks',
  '--munge-links',
  '--cvs-exclude',
  '-F',
  '--filter=:_.rules --exclude=k*',
  '--filter=:_.rules --exclude=*.o',
  '--filter=hide_*.txt --prune-empty-dirs',
  '--prune-empty-dirs --exclude=*.txt --hard-links',
])('a plan has the effect of %s', async (words) => {
  const options = words.split(' ');
  const home = scratchDirectory();
  const work = fileWork(home);
  const [source, root] = [join(home, 'source'), join(home, 'mirror')];
  const hardLinks = options.includes('--hard-links');
  makeSource(work);
  for (const step of ['first', 'second']) {
    if (step === 'second') changeSource(work);
    const sync = ['sync', source, root, '--allow-shrink', '--', ...options];
    expect(await runForJson(sync)).toMatchObject({ outcome: 'published', strategy: 'plan' });
    const fresh = join(home, step);
    const archive = ['--archive', '--safe-links', '--modify-window=-1'];
    execFileSync('rsync', [...archive, ...options, '--', `${source}/`, `${fresh}/`]);
    const current = describeTree(join(root, 'current'), { hardLinks });
    expect(difference(describeTree(fresh, { hardLinks }), current), step).toEqual([]);
    expect(await runForJson(sync)).toMatchObject({ outcome: 'unchanged' });
  }
});
