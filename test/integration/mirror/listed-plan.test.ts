import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ListedChanges } from '../../../src/mirror/listed/listed-changes.ts';
import { ListedPlan } from '../../../src/mirror/listed/listed-plan.ts';
import { fileListOf } from '../../support/file-list.ts';
import { fileWork } from '../../support/file-work.ts';
import { scratchDirectory } from '../../support/scratch.ts';

/** What a plan makes of a list that comes after the true one of a small tree. */
async function planned(next: (text: string) => string) {
  const home = scratchDirectory();
  const tree = join(home, 'tree');
  mkdirSync(tree);
  const work = fileWork(tree);
  work.directory('d');
  work.directory('d/e');
  work.write('d/e/c', 'c');
  work.write('d/a', 'a');
  work.symlink('link', 'd');
  const before = fileListOf(tree, { timeOf: () => 1n }).toString('latin1');
  const [old, fresh] = ['old', 'fresh'].map((name) => Buffer.from(join(home, name)));
  writeFileSync(old ?? '', before, 'latin1');
  writeFileSync(fresh ?? '', next(before), 'latin1');
  const session = { inherit: [], signal: new AbortController().signal };
  const changes = new ListedChanges(home, session, () => false);
  const plan = new ListedPlan(tree, ({ name }) => name === 'left-out');
  await changes.add(old ?? Buffer.from(''), fresh ?? Buffer.from(''));
  const entries: string[] = [];
  await changes.eachOfLast((change) => {
    for (const { name, change: what, type } of plan.entriesOf(change))
      entries.push(`${what} ${type} ${name}`);
  });
  plan.refuseHoles();
  return { entries, growth: plan.growth };
}

const more = (line: string) => (text: string) => text.replace('\n\n[Check', `\n${line}\n\n[Check`);
const without = (name: string) => (text: string) =>
  text.replace(new RegExp(`\n[^\n]*\t${name}(?=\n)`), '');

describe('the plan of a list', () => {
  test('says of a tree what rsync would say, and how its totals grow', async () => {
    const next = (text: string) =>
      [without('d/e/c'), without('d/e'), more('2\td\t9\td/new\n2\tf\t5\td/new/x\n2\tf\t7\td/e')]
        .reduce((list, change) => change(list), text)
        .replace(/1(\tf\t)1(\td\/a)/, '2$13$2');
    expect(await planned(next)).toEqual({
      entries: [
        'changed file d/a',
        'new file d/e',
        'deleted file d/e/c',
        'new directory d/new',
        'new file d/new/x',
      ],
      growth: { files: 1, directories: 0, entries: 1, bytes: 2 + 7 - 1 + 5 },
    });
  });

  test.each([
    ['lacks what it drops a directory of', without('d/e'), 'drops d/e, but not all that is in it'],
    ['has an entry in no directory', more('2\tf\t1\tnone/x'), 'has none/x, but not its directory'],
    ['has an entry in a file', more('2\tf\t1\td/a/x'), 'has d/a/x, but not its directory'],
    ['has an entry behind a symlink', more('2\tf\t1\tlink/x'), 'has link/x, but not its directory'],
    ['has an entry twice', more('2\tf\t1\tx\n3\tf\t1\tx'), 'names x twice'],
    ['has a path outside', more('2\tf\t1\t../x'), 'has a name that is none: ../x'],
    ['has a path that leads out', more('2\tf\t1\td/../../x'), 'has a name that is none'],
    ['has an absolute path', more('2\tf\t1\t/etc/passwd'), 'has a name that is none: /etc/passwd'],
    ['has the top itself', more('2\td\t1\t.'), 'has a name that is none: .'],
    ['has an empty name', more('2\tf\t1\t'), 'has a name that is none'],
    ['has a slash at an end', more('2\td\t1\td/'), 'has a name that is none: d/'],
    ['has a control character', more('2\tf\t1\tx\u0007'), String.raw`that is none: x\x07`],
    ['has a NUL', more('2\tf\t1\tx\0y'), 'has a name that is none'],
    ['has a name that no filesystem has', more(`2\tf\t1\t${'x'.repeat(256)}`), 'that is none'],
    ['has a line without a type', more('f\tx'), 'has a line that makes no sense: f\\x09x'],
    ['has a type that nobody knows', more('2\tx\t1\tx'), 'has a line that makes no sense'],
    ['has no lines', more('x'.repeat(200_000)), 'has no lines'],
    ['has what is left out', more('2\tf\t1\tleft-out'), 'which is left out by its name'],
    ['has what few may read', more('2\tf*\t1\tx'), 'has x, which not everyone may read'],
    ['sums what is no file', more(`${'0'.repeat(40)}\tlink`), 'link, which is no file'],
    ['is cut', (text: string) => text.slice(0, -3), 'is cut: it has no end'],
    ['has another version', (text: string) => text.replace('2', '4'), 'has another format'],
    ['is empty', () => '', 'has another format'],
  ])('refuses one that %s', async (_, next, why) => {
    await expect(planned(next)).rejects.toThrow(why);
  });
});
