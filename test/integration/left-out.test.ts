import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { execaSync } from 'execa';
import { afterAll, describe, expect, onTestFinished, test } from 'vitest';
import { expectFailure } from '../support/expect-failure.ts';
import { makeLoopFilesystem } from '../support/loop-filesystem.ts';
import { mayMount, nobody } from '../support/privilege.ts';
import {
  nobodyRunsTheProgram,
  type ProgramResult,
  runForJson,
  runProgram,
  transcript,
} from '../support/program.ts';
import { makeScratch } from '../support/scratch.ts';
import { copiesOf, mirrorsWith, type SmallMirror, smallMirror } from '../support/small-mirror.ts';
import { afterTransfer, standInFor } from '../support/stand-in.ts';

const oneSnapshot = mirrorsWith('first');
const inPlace = copiesOf(async (mirror) => {
  await runForJson(['init', mirror.root, '--in-place']);
  await mirror.sync();
});
const scratch = makeScratch();
afterAll(() => scratch.remove());

/** The ways to sync a mirror that has a snapshot. */
const WAYS = {
  'a plan': { make: oneSnapshot, words: [] },
  'a single pass of rsync': { make: oneSnapshot, words: ['--strategy', 'link-dest'] },
  'a mirror in place': { make: inPlace, words: [] },
} satisfies Record<string, { make: (home: string) => Promise<SmallMirror>; words: string[] }>;

describe.each(Object.entries(WAYS))('I15: by %s', (way, { make, words }) => {
  const mirrorFor = (name: string) => make(homeOf(`${name}, ${way}`));

  test.each([
    ['--max-size', '5k', /larger than --max-size/],
    ['--min-size', '5k', /smaller than --min-size/],
  ])('what %s newly leaves out counts as deleted, and is named', async (option, limit, why) => {
    const mirror = await mirrorFor(option);
    const size = option === '--max-size' ? 9999 : 9;
    const other = option === '--max-size' ? 9 : 9999;
    for (let number = 0; number < 5; number += 1)
      mirror.change({ [`gone${number}`]: 'x'.repeat(size), [`stays${number}`]: 'x'.repeat(other) });
    mirror.change({ file: 'x'.repeat(other), 'below/file': 'x'.repeat(other) });
    await mirror.sync('--allow-shrink', ...words);

    const args = ['sync', mirror.root, ...words, '--json', '--max-shrink', '20'];
    const rsync = ['--', `${option}=${limit}`];
    const refused = await runProgram([...args, ...rsync]);
    expect(refused.json()).toMatchObject({
      error: { code: 'SHRUNKEN_SOURCE', shrinkage: { files: 5 / 12 } },
    });
    const result = await runProgram([...args, '--allow-shrink', ...rsync]);
    const leftOut = [{ why: option.slice(2), count: 5, names: ['gone0', 'gone1', 'gone2'] }];
    expect(result.json()).toMatchObject({
      outcome: 'published',
      plan: { deletedFiles: 5, source: { files: 7 }, leftOut },
    });
    expect(mirror.history().at(-1)).toMatchObject({ files: 7, bytes: 7 * other, leftOut });
    expect(publishedIn(mirror).filter((name) => name.startsWith('gone'))).toEqual([]);

    const again = await runProgram(['sync', mirror.root, ...words, ...rsync]);
    expect(again.stdout).toMatch(/^unchanged: /);
    expect(again.stderr).toMatch(/left out gone0, gone1, gone2 and 2 more: /);
    expect(again.stderr).toMatch(why);
  });

  test('what is left out hides no damage from --checksum, which repairs it', async () => {
    const mirror = await mirrorFor('damage');
    mirror.change({ large: 'x'.repeat(9999) });
    await mirror.sync(...words, '--', '--max-size=5k');
    const damaged = join(mirror.root, 'current', 'file');
    writeFileSync(damaged, 'damaged'.slice(0, statSync(damaged).size));
    execaSync('touch', ['-r', join(mirror.source, 'file'), damaged]);
    const options = ['--', '--max-size=5k', '--checksum'];
    expect(await mirror.sync(...words, ...options)).toMatchObject({ outcome: 'published' });
    const [ours, theirs] = [join(mirror.root, 'current', 'file'), join(mirror.source, 'file')];
    expect(readFileSync(ours, 'utf8')).toBe(readFileSync(theirs, 'utf8'));
    expect(await mirror.sync(...words, ...options)).toMatchObject({ outcome: 'unchanged' });
  });

  test('names that only look temporary are content', async () => {
    const mirror = await mirrorFor('look temporary');
    const names = ['.d.sha256/f', '.index.sha256', '.sums.SHA512', '.README.Static', '.d.aBcDef/f'];
    mirror.change(Object.fromEntries(names.map((name) => [name, 'content'])));
    const result = await runProgram(['sync', mirror.root, ...words]);
    expect(result.stderr).not.toMatch(/left out/);
    expect(publishedIn(mirror)).toEqual(expect.arrayContaining(names));
  });

  test('temporary files of rsync are left out and named', async () => {
    const mirror = await mirrorFor('temporary');
    // A directory of the same name is content.
    const directory = 'new/.file.aBcDef/file';
    mirror.change({ '.file.aBcDef': 'half', 'below/.~tmp~/file': 'delayed', [directory]: 'new' });
    const result = await runProgram(['sync', mirror.root, ...words]);
    expect(result.exitCode, transcript(result)).toBe(0);
    expect(result.stderr).toMatch(
      /left out (?=.*\.file\.aBcDef)(?=.*below\/\.~tmp~).*: named like temp/,
    );
    expect(publishedIn(mirror)).toEqual(['below/file', 'file', directory]);
    expect(mirror.history().at(-1)).toMatchObject({ files: 3, leftOut: [{ count: 3 }] });

    const all = await runProgram(['sync', mirror.root, ...words, '--without', 'temp-excludes']);
    expect(all.exitCode, transcript(all)).toBe(0);
    const names = ['.file.aBcDef', 'below/.~tmp~/file', 'below/file', 'file', directory];
    expect(publishedIn(mirror)).toEqual(names);
    expect(all.stderr).not.toMatch(/left out|all attributes/);
  });

  test('a symlink that leads out of the tree is named, and what it replaces is removed', async () => {
    const mirror = await mirrorFor('unsafe');
    mirror.change({ file: null });
    symlinkSync('/etc/passwd', join(mirror.source, 'file'));
    const result = await runProgram(['sync', mirror.root, ...words, '--allow-shrink']);
    expect(result.exitCode, transcript(result)).toBe(0);
    expect(result.stderr).toMatch(
      /left out file: a symlink that leads out .* --without safe-links/,
    );
    expect(publishedIn(mirror)).toEqual(['below/file']);
    expect(mirror.history().at(-1)).toMatchObject({ files: 1, bytes: 'content below'.length });
    expect((await mirror.sync(...words))['outcome']).toBe('unchanged');

    const status = await runProgram(['status', mirror.root]);
    expect(status.stdout).toMatch(/^left out file: a symlink that leads out of the tree/m);
    const list = await runProgram(['list', mirror.root]);
    expect(list.stdout).toMatch(/FILES +LEFT OUT.*\n(.*\n)*.* 1 +1 /);
    const json = JSON.parse((await runProgram(['list', mirror.root, '--json'])).stdout);
    expect(json.at(-1).leftOut).toEqual([{ why: 'unsafe-link', count: 1, names: ['file'] }]);
  });
});

describe('I15: what was in the mirror and is left out now', () => {
  test.each(['plan', 'link-dest'])('counts if it is links by --no-links (%s)', async (strategy) => {
    const mirror = await oneSnapshot(homeOf(`links ${strategy}`));
    for (let number = 0; number < 20; number += 1)
      symlinkSync('file', join(mirror.source, `link${number}`));
    await mirror.sync();
    const [id] = mirror.snapshots().filter((name) => name !== 'first');
    const words = ['sync', mirror.root, '--strategy', strategy];
    const refused = await runProgram([...words, '--', '--no-links']);
    expectFailure(refused, 65, /the source has shrunk/);
    expect(mirror.linked('current')).toBe(id);
    await runForJson([...words, '--allow-shrink', '--', '--no-links']);
    expect(mirror.history().at(-1)).toMatchObject({
      files: 2,
      bytes: 'first'.length + 'content below'.length,
    });
  });

  test('counts with all that is in it if it was a directory, for the guard of that directory, too', async () => {
    const mirror = await oneSnapshot(homeOf('directory'));
    const moved = join(mirror.home, 'moved');
    for (let number = 0; number < 40; number += 1) mirror.change({ [`main/f${number}`]: 'x' });
    for (let number = 0; number < 4; number += 1) mirror.change({ [`sub/f${number}`]: 'x' });
    await mirror.sync();
    renameSync(join(mirror.source, 'sub'), moved);
    symlinkSync(moved, join(mirror.source, 'sub'));
    const refused = await runProgram(['sync', mirror.root, '--max-shrink', 'sub=10']);
    expectFailure(refused, 65, /"sub" in the source has shrunk/);
    expect(await mirror.sync()).toMatchObject({ plan: { deletedFiles: 4, source: { files: 42 } } });
  });

  test('is removed although its name holds the arrow of rsync', async () => {
    const mirror = await oneSnapshot(homeOf('arrow'));
    const name = 'x" -> "y';
    mirror.change({ [name]: 'secret' });
    await mirror.sync();
    mirror.change({ [name]: null });
    symlinkSync('/etc/passwd', join(mirror.source, name));
    const result = await runProgram(['sync', mirror.root, '--allow-shrink']);
    expect(result.stderr).toMatch(/left out 'x" -> "y': a symlink/);
    expect(publishedIn(mirror)).toEqual(['below/file', 'file']);
  });

  test('stays left out although a filter of the user includes it', async () => {
    const mirror = await inPlace(homeOf('included'));
    mirror.change({ 'below/.f.aB1xyz': 'half' });
    const rsync = ['--', '--delete-excluded', '--include=/below/***', '--exclude=*'];
    const result = await runProgram(['sync', mirror.root, '--allow-shrink', ...rsync]);
    expect(result.stderr).toMatch(/left out below\/\.f\.aB1xyz/);
    expect(publishedIn(mirror)).toEqual(['below/file']);
  });
});

test('a file of the name ....abcdef is taken out of a leftover like any other', async () => {
  const mirror = await oneSnapshot(homeOf('dots'));
  const names = ['....abcdef', '...abcdef'];
  for (const name of names) {
    mirror.change({ [name]: 'x', new: name });
    const script = afterTransfer(`rm '${mirror.source}/${name}'; exit 12`);
    const PATH = standInFor('rsync', join(mirror.home, `programs ${name}`), script);
    const args = ['sync', mirror.root, '--retries', '0'];
    expectFailure(await runProgram(args, { env: { PATH } }), 69);
    expect(existsSync(mirror.state('staging'))).toBe(true);
    expect(await mirror.sync(), 'it is no loss').toMatchObject({ outcome: 'published' });
    expect(publishedIn(mirror)).toEqual(['below/file', 'file', 'new']);
  }
});

test.skipIf(!nobodyRunsTheProgram)(
  'I15: a device that a user cannot make is named, and what it replaces is removed',
  async () => {
    const mirror = await oneSnapshot(homeOf('device'));
    execaSync('chown', ['-R', `${nobody.uid}:${nobody.gid}`, mirror.root]);
    mirror.change({ file: null });
    execaSync('mknod', [join(mirror.source, 'file'), 'c', '1', '3']);
    const args = ['sync', mirror.root, '--allow-shrink'];
    const result = await runProgram(args, { user: nobody });
    expect(result.exitCode, transcript(result)).toBe(0);
    expect(result.stderr).toMatch(/left out file: a device, special file or link that this user/);
    expect(publishedIn(mirror)).toEqual(['below/file']);
  },
);

test('I15: a first sync counts what it publishes, not what it leaves out', async () => {
  const mirror = smallMirror({ home: homeOf('first') });
  mirror.change({ big: 'x'.repeat(9999), '.file.aBcDef': 'half' });
  symlinkSync('/etc/passwd', join(mirror.source, 'link'));
  const result = await sync(mirror, '--', '--max-size=5k');
  expect(result.exitCode, transcript(result)).toBe(0);
  expect(mirror.history().at(-1)).toMatchObject({ files: 2, newFiles: 2, bytes: 20 });
});

test.skipIf(!mayMount)('I15: what -x leaves out of a local source is named', async () => {
  const mirror = await oneSnapshot(homeOf('mounts'));
  mirror.change({ 'mounted/hidden': 'x', 'same/file': 'x' });
  const mounted = join(mirror.source, 'mounted');
  const same = join(mirror.source, 'same');
  for (const words of [
    ['-t', 'tmpfs', 'tmpfs', mounted],
    ['--bind', same, same],
  ]) {
    execaSync('mount', words);
    onTestFinished(() => void execaSync('umount', [words.at(-1) ?? '']));
  }
  writeFileSync(join(mounted, 'file'), 'x');
  for (const flag of ['--dry-run', '--allow-shrink']) {
    const result = await sync(mirror, flag, '--', '-x');
    expect(result.exitCode, transcript(result)).toBe(0);
    expect(result.stderr.match(/left out what is mounted at .*/g)).toEqual([
      `left out what is mounted at ${mounted}: another filesystem (-x)`,
    ]);
  }
  expect((await sync(mirror, '--dry-run')).stderr).not.toMatch(/mounted at/);
  expect(publishedIn(mirror)).toEqual(['below/file', 'file', 'same/file']);
});

test.skipIf(!mayMount)(
  'I15: what -x leaves out is named in place, too, and what the tree has there stays',
  async () => {
    const mirror = await inPlace(homeOf('mounts in place'));
    mirror.change({ 'pool/a': 'x' });
    await runForJson(['sync', mirror.root]);
    const mounted = join(mirror.source, 'pool');
    execaSync('mount', ['-t', 'tmpfs', 'tmpfs', mounted]);
    onTestFinished(() => void execaSync('umount', [mounted]));
    writeFileSync(join(mounted, 'hidden'), 'x');
    mirror.change({ file: 'changed' });
    for (const options of [['--dry-run'], []]) {
      const result = await sync(mirror, ...options, '--', '-x');
      expect(result.exitCode, transcript(result)).toBe(0);
      expect(result.stderr.match(/left out what is mounted at .*/g)).toEqual([
        `left out what is mounted at ${mounted}: another filesystem (-x); what the tree has there stays`,
      ]);
    }
    expect(publishedIn(mirror)).toEqual(['below/file', 'file', 'pool/a']);
    expect(readFileSync(join(mirror.root, 'current/file'), 'utf8')).toBe('changed');
    // Given twice, -x leaves out the directory itself (rsync(1)).
    const twice = await sync(mirror, '--allow-shrink', '--', '-xx');
    expect(twice.stderr, transcript(twice)).toMatch(/pool: another filesystem \(-x\)$/m);
    expect(publishedIn(mirror)).toEqual(['below/file', 'file']);
  },
);

test.skipIf(!mayMount)(
  'I15: what the mirror has where a disk is mounted in the source now counts as deleted under -x',
  async () => {
    const mirror = await oneSnapshot(homeOf('mounted later'));
    mirror.change({ 'pool/a': 'x', 'pool/below/b': 'x', 'dropped/c': 'x' });
    await runForJson(['sync', mirror.root]);
    for (const name of ['pool', 'dropped']) {
      const mounted = join(mirror.source, name);
      execaSync('mount', ['-t', 'tmpfs', 'tmpfs', mounted]);
      onTestFinished(() => void execaSync('umount', [mounted]));
    }
    const limits = ['--max-shrink', '100', '--max-shrink', 'pool=10'];
    const rules = ['--', '-x', '--exclude=/dropped/'];
    expectFailure(await sync(mirror, ...limits, ...rules), 65, /"pool" in the source has shrunk/);
    const dryRun = await runForJson(['sync', mirror.root, '--dry-run', ...rules]);
    expect(dryRun).toMatchObject({ plan: { deletedFiles: 3, lost: { '': { files: 3 } } } });
    const synced = await runForJson(['sync', mirror.root, '--allow-shrink', ...rules]);
    expect(synced).toMatchObject({ outcome: 'published', plan: { deletedFiles: 3 } });
    expect(publishedIn(mirror)).toEqual(['below/file', 'file']);
  },
);

test.skipIf(!mayMount)(
  'I15: what the mirror has where the source has a subvolume now is named, and counts as deleted under -x',
  async () => {
    const { path, remove } = await makeLoopFilesystem('btrfs');
    onTestFinished(remove);
    const mirror = await oneSnapshot(homeOf('subvolume'));
    const source = join(path, 'source');
    const pool = join(source, 'po\nol');
    cpSync(mirror.source, source, { recursive: true });
    mkdirSync(pool);
    for (const name of ['a', 'b']) writeFileSync(join(pool, name), 'x');
    await runForJson(['init', mirror.root, '--source', source, '--', '-x']);
    await runForJson(['sync', mirror.root]);
    rmSync(pool, { recursive: true });
    execaSync('btrfs', ['subvolume', 'create', pool]);
    writeFileSync(join(pool, 'new'), 'x');
    const limits = ['--max-shrink', '100', '--max-shrink', 'po\nol=10'];
    const refused = await runProgram(['sync', mirror.root, ...limits]);
    expectFailure(refused, 65, /in the source has shrunk/);
    for (const flag of ['--dry-run', '--allow-shrink']) {
      const result = await runProgram(['sync', mirror.root, flag]);
      expect(result.exitCode, transcript(result)).toBe(0);
      expect(result.stderr.match(/left out what is .*/g)).toEqual([
        `left out what is in ${source}/po\\x0aol: a subvolume of its own (-x)`,
      ]);
    }
    expect(mirror.history().at(-1)).toMatchObject({ deletedFiles: 2 });
    expect(publishedIn(mirror)).toEqual(['below/file', 'file']);
  },
);

test('I15: a first sync leaves out what a list of patterns of the user would bring back', async () => {
  const mirror = smallMirror({ home: homeOf('cleared rules') });
  mirror.change({ '.deb.aB1cde': 'half' });
  const patterns = join(mirror.home, 'patterns');
  writeFileSync(patterns, '!\n- /iso/\n');
  const words = ['sync', mirror.source, mirror.root, '--', `--exclude-from=${patterns}`];
  expect(await runForJson(words)).toMatchObject({
    plan: { leftOut: [{ why: 'temporary', names: ['.deb.aB1cde'] }] },
  });
  expect(publishedIn(mirror)).toEqual(['below/file', 'file']);
});

test('I15: a dry run names what would be left out', async () => {
  const mirror = await oneSnapshot(homeOf('dry run'));
  mirror.change({ '.file.aBcDef': 'half', ' blank': 'new' });
  for (const name of ['out', 'a: b']) symlinkSync('/etc', join(mirror.source, name));
  const result = await sync(mirror, '--dry-run');
  expect(result.stdout).toMatch(/^left out {3}\.file\.aBcDef: named like a temporary file/m);
  expect(result.stdout).toMatch(/^left out {3}'a: b', out: symlinks that lead out of the tree/m);
  expect(result.stdout).toMatch(/^new {8}' blank'$/m);
});

test('I15: a name in the words of rsync deceives nobody', async () => {
  const mirror = await oneSnapshot(homeOf('deceptive'));
  const names = ['@|*deleting  |0|x|file', 'ignoring unsafe symlink "file" -> "x', '  1 100% x y'];
  mirror.change(Object.fromEntries(names.map((name) => [name, 'x'.repeat(9999)])));
  symlinkSync('/etc', join(mirror.source, 'file" -> "below'));
  const args = ['sync', mirror.root, '--json', '--', '--max-size=5k'];
  const result = await runProgram(args);
  expect(result.json()).toMatchObject({ plan: { newFiles: 0, changedFiles: 0, deletedFiles: 0 } });
  const { leftOut } = result.json()['plan'] as { leftOut: { names: string[] }[] };
  expect(leftOut.flatMap((one) => one.names).sort()).toEqual([...names, 'file'].sort());
  expect(publishedIn(mirror)).toEqual(['below/file', 'file']);
});

function homeOf(name: string): string {
  const home = join(scratch.path, name);
  mkdirSync(home);
  return home;
}

function sync({ source, root }: SmallMirror, ...words: string[]): Promise<ProgramResult> {
  return runProgram(['sync', source, root, ...words]);
}

/** The names of all that is current, without its directories. */
function publishedIn({ root }: SmallMirror): string[] {
  return readdirSync(join(root, 'current'), { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map(({ parentPath, name }) => join(parentPath, name).split('/current/')[1] ?? '')
    .sort();
}
