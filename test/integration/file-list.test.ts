import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  lutimesSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type BytePath, below } from '../support/byte-path.ts';
import { type FileListOptions, fileListOf } from '../support/file-list.ts';
import { fileWork } from '../support/file-work.ts';
import { type ProgramResult, runProgram, transcript } from '../support/program.ts';
import { runPush } from '../support/push.ts';
import { startRsyncDaemon } from '../support/rsyncd.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { type SmallMirror, smallMirror } from '../support/small-mirror.ts';
import { startSshDaemon } from '../support/sshd.ts';
import { standInFor } from '../support/stand-in.ts';
import { describeTree, difference } from '../support/tree.ts';

const LIST = 'fullfiletimelist-test';

/** Later than any ctime, so that each change has a time of its own; s since the epoch. */
let now = 2_000_000_000;

/** A mirror whose source publishes a list of its files. */
interface ListedMirror extends SmallMirror {
  /** Gives an entry, not what it leads to, a later time, as any change does. */
  touch(...paths: BytePath[]): void;
  /** Publishes the list of what the source has now. */
  list(options?: FileListOptions): void;
  /** Syncs, and returns also whether everything was looked at. */
  look(...words: string[]): Promise<Look>;
}

interface Look {
  result: ProgramResult;
  outcome: unknown;
  isFull: boolean;
}

function listedMirror(home = scratchDirectory()): ListedMirror {
  const mirror = smallMirror({ home });
  const touch = (...paths: BytePath[]): void => {
    now += 10;
    for (const path of paths) lutimesSync(below(mirror.source, path), now, now);
  };
  const list = (options: FileListOptions = {}): void => {
    const content = fileListOf(mirror.source, { skip: [LIST, 'fullfilelist'], ...options });
    writeFileSync(join(home, 'list'), content);
    renameSync(join(home, 'list'), join(mirror.source, LIST));
  };
  return { ...mirror, touch, list, look: (...words) => look(mirror, mirror.source, words) };
}

async function look(
  mirror: SmallMirror,
  source: string,
  words: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Look> {
  const { root, home } = mirror;
  const children = join(home, 'children');
  writeFileSync(children, '');
  const [own, rsync] = words.includes('--')
    ? [words.slice(0, words.indexOf('--')), words.slice(words.indexOf('--'))]
    : [words, []];
  const all = ['sync', source, root, '--file-list', 'auto', '--allow-shrink'];
  const result = await runProgram([...all, ...own, ...rsync], {
    env: { MIRRORLATCH_DEBUG: children, ...env },
  });
  if (result.exitCode !== 0) throw new Error(transcript(result));
  const isFull = / starts: rsync .*--dry-run/.test(readFileSync(children, 'utf8'));
  return { result, outcome: mirror.history().at(-1)?.['event'], isFull };
}

/** What the mirror has otherwise than its source. */
function apart({ source, root }: SmallMirror): string[] {
  return difference(describeTree(source), describeTree(join(root, 'current')));
}

/** A mirror that has the list, and is known to agree with it. */
async function agreed(home?: string): Promise<ListedMirror> {
  const mirror = listedMirror(home);
  mirror.change({ 'd/a': 'a', 'd/b': 'b', 'd/e/c': 'c', fullfilelist: 'x', kept: 'kept' });
  symlinkSync('d/a', join(mirror.source, 'link'));
  mirror.list();
  expect(await mirror.look()).toMatchObject({ outcome: 'published', isFull: true });
  return mirror;
}

describe('a sync by the list of files', () => {
  test('looks at nothing but what has changed in it, also at a daemon', async () => {
    const mirror = await agreed();
    const daemon = await startRsyncDaemon([{ name: 'all', path: mirror.home }]);
    try {
      const url = `${daemon.url('all')}/source/`;
      const sync = () => look(mirror, url, ['--other-source']);
      expect(await sync()).toMatchObject({ outcome: 'unchanged', isFull: true });
      mirror.change({ 'd/a': 'A', 'd/b': null, 'new/file': 'n', fullfilelist: 'y' });
      mirror.touch('d/a', 'd', 'new', 'new/file');
      mirror.list();
      expect(await sync()).toMatchObject({ outcome: 'published', isFull: false });
      expect(apart(mirror)).toEqual([]);
      expect(mirror.history().at(-1)).toMatchObject({
        look: 'file-list',
        files: 8,
        newFiles: 4,
        deletedFiles: 1,
      });
      expect(await sync()).toMatchObject({ outcome: 'unchanged', isFull: false });
    } finally {
      await daemon.stop();
    }
  });

  test('says so, and when everything was looked at last', async () => {
    const mirror = await agreed();
    const { result } = await mirror.look();
    expect(result.stdout).toMatch(
      /^unchanged \(file list\): \S+ is the same as \S+ by its list of files; last look at everything \d+s ago \(/,
    );
    const status = await runProgram(['status', mirror.root]);
    expect(status.stdout).toMatch(/^last +found nothing to do, by its list of files, /m);
    mirror.change({ 'd/a': 'A' });
    mirror.touch('d/a');
    mirror.list();
    const changed = await mirror.look('--json');
    const { lookedAt } = mirror.history().at(-1) as { lookedAt: string };
    expect(JSON.parse(changed.result.stdout)).toMatchObject({
      outcome: 'published',
      look: 'file-list',
      lookedAt,
    });
    mirror.change({ 'd/b': 'B' });
    mirror.touch('d/b');
    mirror.list();
    expect((await mirror.look()).result.stdout).toMatch(/^published .* \(file list, /);
  });

  test('is one that a push brings, too, and says so at the other end', async () => {
    const mirror = listedMirror();
    mirror.list();
    const sshd = await startSshDaemon();
    try {
      const words = ['--file-list', 'auto'];
      expect((await runPush(sshd, mirror, { words })).stdout).toMatch(/^published /m);
      expect((await runPush(sshd, mirror, { words })).stdout).toMatch(
        /^unchanged \(file list\): /m,
      );
      mirror.change({ file: 'changed' });
      mirror.touch('file');
      mirror.list();
      expect((await runPush(sshd, mirror, { words })).stdout).toMatch(
        /^published .* \(file list, /m,
      );
      expect(apart(mirror)).toEqual([]);
    } finally {
      await sshd.stop();
    }
  });

  test('makes what the source has over random generations, and changes no snapshot', async () => {
    const mirror = await agreed();
    await mirror.look('--', '-H');
    const dice = fc.sample(fc.nat(), { numRuns: 2_000, seed: 9 });
    const roll = (sides: number): number => (dice.pop() ?? 0) % sides;
    for (let generation = 0; generation < 8; generation += 1) {
      const before = describeTree(join(mirror.root, 'current'));
      const path = join(mirror.root, 'snapshots', mirror.linked('current') ?? '');
      // A list tells whole seconds: what changes twice within one looks the same in it.
      await pause(1020 - (Date.now() % 1000));
      const done = Array.from({ length: 1 + roll(8) }, () => changeSomething(mirror, roll));
      mirror.list(generation % 2 === 0 ? {} : { skip: ['fullfilelist'] });
      const found = await mirror.look('--', '-H');
      expect(found, [...done, found.result.stderr].join('\n')).toMatchObject({
        outcome: 'published',
        isFull: false,
      });
      expect(apart(mirror), done.join('\n')).toEqual([]);
      expect(difference(before, describeTree(path))).toEqual([]);
      const files = [...describeTree(mirror.source).values()].filter(({ type }) => type === 'file');
      expect(mirror.history().at(-1)).toMatchObject({
        files: files.length,
        bytes: files.reduce((sum, { size }) => sum + Number(size), symlinkBytes(mirror)),
      });
    }
    // A list does not say which entries are names of one file.
    await mirror.look('--probe-max-age', '0s', '--', '-H');
    const linked = { hardLinks: true };
    const current = describeTree(join(mirror.root, 'current'), linked);
    expect(difference(describeTree(mirror.source, linked), current)).toEqual([]);
  });

  test('goes on with the next list if that changes during the transfer', async () => {
    const mirror = await agreed();
    mirror.change({ 'd/a': 'A', more: '1' });
    mirror.touch('d/a', 'more');
    mirror.list();
    cpSync(mirror.source, join(mirror.home, 'later'), {
      recursive: true,
      preserveTimestamps: true,
      verbatimSymlinks: true,
    });
    const later = { ...mirror, source: join(mirror.home, 'later') };
    writeFileSync(join(later.source, 'd/b'), 'changed meanwhile');
    rmSync(join(later.source, 'more'));
    now += 10;
    lutimesSync(join(later.source, 'd/b'), now, now);
    writeFileSync(
      join(later.source, LIST),
      fileListOf(later.source, { skip: [LIST, 'fullfilelist'] }),
    );
    const swap = `[ -e '${mirror.home}/swapped' ] || { : >'${mirror.home}/swapped'; rsync -a --delete '${later.source}/' '${mirror.source}/'; }`;
    const PATH = standInFor(
      'rsync',
      join(mirror.home, 'programs'),
      `case "$*" in *--info=progress2*) "$program" "$@"; code=$?; PATH=/usr/bin:/bin; ${swap}; exit $code ;; esac`,
    );
    const found = await look(mirror, mirror.source, [], { PATH });
    expect(found).toMatchObject({ outcome: 'published', isFull: false });
    expect(apart(mirror)).toEqual([]);
    expect(existsSync(join(mirror.root, 'current/more'))).toBe(false);
  });

  test('takes a lie for the truth at most until everything is looked at', async () => {
    const mirror = await agreed();
    symlinkSync('d', join(mirror.source, 'door'));
    const lineOf = (path: BytePath, line: string) =>
      path === 'door' ? line.replace('\tl\t', '\td\t') : line;
    mirror.list({ lineOf, more: '2000000000\tf\t1\tdoor/b' });
    const before = describeTree(join(mirror.root, 'current'));
    const path = join(mirror.root, 'snapshots', mirror.linked('current') ?? '');
    expect(await mirror.look()).toMatchObject({ outcome: 'published', isFull: false });
    expect(difference(before, describeTree(path))).toEqual([]);
    expect(await mirror.look('--probe-max-age', '0s')).toMatchObject({ isFull: true });
    expect(apart(mirror)).toEqual([]);
  });

  test('knows that a symlink which leads out of the tree is left out', async () => {
    const mirror = listedMirror();
    symlinkSync('/etc', join(mirror.source, 'out'));
    mirror.list();
    await mirror.look();
    mirror.change({ file: 'changed' });
    mirror.touch('file');
    mirror.list();
    expect(await mirror.look()).toMatchObject({ outcome: 'published', isFull: false });
    const leftOut = [{ why: 'unsafe-link', count: 1, names: ['out'] }];
    expect(mirror.history().at(-1)).toMatchObject({ leftOut, files: 3 });
    mirror.touch('out');
    mirror.list();
    const { result, isFull } = await mirror.look();
    expect(isFull).toBe(true);
    expect(result.stderr).toContain(`the list ${LIST} is about out, which`);
  });

  test('waits as long as the source has a mark of an update', async () => {
    const mirror = await agreed();
    mirror.change({ 'd/a': 'A', busy: '' });
    mirror.touch('d/a', 'busy');
    mirror.list({ skip: ['busy', LIST, 'fullfilelist'] });
    const sync = ['sync', mirror.source, mirror.root, '--file-list', LIST];
    const busy = await runProgram([...sync, '--busy-when', 'busy', '--retries', '0']);
    expect(busy.exitCode, transcript(busy)).toBe(69);
    expect(busy.stderr).toContain('the source is being updated: it has busy');
    mirror.change({ busy: null });
    expect(await mirror.look('--busy-when', 'busy')).toMatchObject({
      outcome: 'published',
      isFull: false,
    });
    expect(apart(mirror)).toEqual([]);
  });

  test('only says of a mirror in place whether there is anything new', async () => {
    const mirror = listedMirror();
    await runProgram(['init', mirror.root, '--in-place']);
    mirror.list();
    expect(await mirror.look()).toMatchObject({ outcome: 'published' });
    expect(await mirror.look()).toMatchObject({ outcome: 'unchanged', isFull: false });
    mirror.change({ file: 'changed' });
    mirror.touch('file');
    mirror.list();
    expect(await mirror.look()).toMatchObject({ outcome: 'published', isFull: true });
    expect(apart(mirror)).toEqual([]);
  });

  test('is no look at everything, which comes when the last one is too old', async () => {
    const mirror = await agreed();
    mirror.change({ 'd/b': 'hidden' });
    mirror.touch('d/b');
    expect(await mirror.look()).toMatchObject({ outcome: 'unchanged', isFull: false });
    expect(await mirror.look('--probe-max-age', '0s')).toMatchObject({
      outcome: 'published',
      isFull: true,
    });
    expect(apart(mirror)).toEqual([]);
  });

  test('does not rely on a look at everything that is to come from the future', async () => {
    const mirror = await agreed();
    const record = mirror.state('file-list.json');
    const known = JSON.parse(readFileSync(record, 'utf8'));
    writeFileSync(record, JSON.stringify({ ...known, lookedAt: Date.now() + 3_600_000 }));
    expect(await mirror.look()).toMatchObject({ outcome: 'unchanged', isFull: true });
    expect(await mirror.look()).toMatchObject({ outcome: 'unchanged', isFull: false });
  });

  test('announces no look at everything where stamps may say that nothing is new', async () => {
    const mirror = await agreed();
    writeFileSync(join(mirror.source, 'stamp'), '1');
    await mirror.look('--no-file-list');
    const { result } = await mirror.look('--probe', 'stamp');
    expect(result.stderr).toContain(`the list is left aside: the list ${LIST} is not known`);
    expect(result.stdout).toMatch(/^unchanged \(probe\)/);
    expect(result.stderr).not.toContain('looking at everything');
  });

  test('comes again once a list agrees that was older than the tree', async () => {
    const mirror = await agreed();
    mirror.change({ 'd/b': 'not listed yet' });
    mirror.touch('d/b');
    const { result } = await mirror.look('--probe-max-age', '0s');
    expect(result.stderr).toContain(
      `the list ${LIST} tells d/b of another size, so the next sync looks at everything again`,
    );
    expect((await mirror.look()).result.stderr).toContain(
      `looking at everything: the list ${LIST} is not known to describe what is current`,
    );
    mirror.list();
    expect(await mirror.look()).toMatchObject({ outcome: 'published', isFull: true });
    mirror.change({ 'd/a': 'A' });
    mirror.touch('d/a');
    mirror.list();
    expect(await mirror.look()).toMatchObject({ outcome: 'published', isFull: false });
    expect(apart(mirror)).toEqual([]);
  });
});

describe('everything is looked at', () => {
  test.each([
    ['no-such-list', 'a list no-such-list'],
    ['auto', 'a single fullfiletimelist-* at its top'],
  ])('for want of a list, which --file-list %s names', async (named, wanted) => {
    const mirror = smallMirror();
    await mirror.sync();
    const result = await runProgram(['sync', mirror.root, '--file-list', named]);
    expect(result.stderr).toContain(`looking at everything: current does not have ${wanted}`);
    expect(result.exitCode, transcript(result)).toBe(0);
  });

  const lies: Record<string, { lie: (mirror: ListedMirror) => FileListOptions; says: string }> = {
    'for a list that tells another size': {
      lie: () => ({
        lineOf: (path, line) => (path === 'd/a' ? line.replace(/\t\d+\td/, '\t9\td') : line),
      }),
      says: 'tells d/a of another size',
    },
    'for a list that tells another type': {
      lie: () => ({
        lineOf: (path, line) => (path === 'd/a' ? line.replace('\tf\t', '\tl\t') : line),
      }),
      says: 'tells d/a of another type',
    },
    'for a list that is older than a file': {
      lie: () => ({
        lineOf: (path, line) => (path === 'd/a' ? line.replace(/^\d+/, '1900000000') : line),
      }),
      says: 'tells d/a of another time',
    },
    'for a list with another checksum': {
      lie: () => ({ more: `${'0'.repeat(40)}\td/a` }),
      says: 'tells d/a of another checksum',
    },
    'for a list that names what the source does not have': {
      lie: () => ({ more: '2000000000\tf\t1\td/none' }),
      says: 'names what cannot be transferred',
    },
    'for a list that names an entry behind a symlink': {
      lie: () => ({ more: '2000000000\tf\t1\tlink/b' }),
      says: 'has link/b, but not its directory',
    },
    'for a list that names a path outside': {
      lie: () => ({ more: '2000000000\tf\t1\t../list' }),
      says: 'has a name that is none: ../list',
    },
    'for a list that not everyone may read all of': {
      lie: (mirror) => {
        mirror.change({ secret: 's' });
        chmodSync(join(mirror.source, 'secret'), 0o640);
        return {};
      },
      says: 'has secret, which not everyone may read',
    },
    'for a list that is cut': { lie: () => ({ isCut: true }), says: 'is cut: it has no end' },
  };

  test.for(Object.entries(lies))('%s', async ([, { lie, says }]) => {
    const mirror = await agreed();
    mirror.change({ 'd/a': 'ten bytes.', 'below/file': 'changed below' });
    mirror.touch('d/a', 'below/file');
    const before = describeTree(join(mirror.root, 'current'));
    const path = join(mirror.root, 'snapshots', mirror.linked('current') ?? '');
    mirror.list(lie(mirror));
    const { result, ...found } = await mirror.look();
    expect(found).toMatchObject({ outcome: 'published', isFull: true });
    expect(result.stderr).toContain(`looking at everything: the list ${LIST} ${says}`);
    expect(apart(mirror)).toEqual([]);
    expect(difference(before, describeTree(path))).toEqual([]);
    expect(readdirSync(mirror.state('staging')).filter((name) => name !== '.partial')).toEqual([]);
  });

  test('under options that choose entries or change them', async () => {
    const mirror = await agreed();
    for (const option of ['--exclude=/below', '--max-size=1M', '-L', '--no-times']) {
      const { result, isFull } = await mirror.look('--', option);
      expect(isFull).toBe(true);
      expect(result.stderr).toContain(
        `looking at everything: the list ${LIST} does not say what ${option.replace(/=.*/, '')} makes of its files`,
      );
    }
  });

  test('by a sync that finds a tree which no list was compared with', async () => {
    const mirror = await agreed();
    mirror.change({ 'd/a': 'A' });
    mirror.touch('d/a');
    mirror.list();
    await mirror.sync('--no-file-list');
    mirror.change({ 'd/a': 'AA' });
    mirror.touch('d/a');
    mirror.list();
    const { result, isFull } = await mirror.look();
    expect(isFull).toBe(true);
    expect(result.stderr).toContain('is not known to describe what is current');
    expect(apart(mirror)).toEqual([]);
  });
});

function symlinkBytes({ source }: SmallMirror): number {
  return [...describeTree(source)]
    .filter(([, { type }]) => type === 'symlink')
    .reduce((sum, [path]) => sum + lstatSync(below(source, path)).size, 0);
}

const NAMES = ['a', 'b', 'a-b', '#c', '-d', 'e f', '\xe9\xff', ';g'];

/** Changes one entry of the source, as an upstream may. @returns what has been done. */
function changeSomething(mirror: ListedMirror, roll: (sides: number) => number): string {
  const work = fileWork(mirror.source);
  const tree = describeTree(mirror.source);
  const all = [...tree.keys()].filter((path) => !['.', LIST, 'fullfilelist'].includes(path));
  const ofType = (type: string) => all.filter((path) => tree.get(path)?.['type'] === type);
  const one = (paths: readonly string[]): string | undefined => paths[roll(paths.length || 1)];
  const parent = one(['', ...ofType('directory').map((path) => `${path}/`)]) ?? '';
  const fresh = `${parent}${one(NAMES)}`;
  const [file, entry, directory] = [one(ofType('file')), one(all), one(ofType('directory'))];
  const isInside = (path: string, above: string) => `${path}/`.startsWith(`${above}/`);
  const replace = (path: string): void => {
    if (tree.has(path)) work.remove(path);
  };
  switch (roll(9)) {
    case 0:
    case 1:
      replace(fresh);
      work.write(fresh, 'x'.repeat(roll(5)));
      mirror.touch(fresh);
      return `write ${fresh}`;
    case 2:
      replace(fresh);
      work.directory(fresh);
      mirror.touch(fresh);
      return `make the directory ${fresh}`;
    case 3:
      replace(fresh);
      work.symlink(fresh, one(['a', 'b/c']) ?? 'a');
      mirror.touch(fresh);
      return `make the symlink ${fresh}`;
    case 4:
      if (entry === undefined) return 'nothing';
      work.remove(entry);
      return `remove ${entry}`;
    case 5:
      if (file === undefined) return 'nothing';
      work.mode(file, one(['0644', '0755', '0604'])?.startsWith('06') ? 0o644 : 0o755);
      mirror.touch(file);
      return `change the mode of ${file}`;
    case 6:
      if (file === undefined) return 'nothing';
      work.write(file, 'y'.repeat(roll(5)));
      mirror.touch(file);
      return `rewrite ${file}`;
    case 7:
      if (file === undefined || isInside(file, fresh)) return 'nothing';
      replace(fresh);
      work.link(fresh, file);
      mirror.touch(fresh);
      return `link ${fresh} to ${file}`;
    default:
      if (directory === undefined || isInside(fresh, directory) || isInside(directory, fresh))
        return 'nothing';
      replace(fresh);
      work.rename(directory, fresh);
      mirror.touch(fresh);
      return `rename ${directory} to ${fresh}`;
  }
}
