import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { expectFailure } from '../support/expect-failure.ts';
import { inShell, oneOfEachKind, startGuarded } from '../support/guards.ts';
import { runForJson, runProgram, startProgram, transcript } from '../support/program.ts';
import { bin } from '../support/project.ts';
import { startRsyncDaemon } from '../support/rsyncd.ts';
import { type Files, smallMirror } from '../support/small-mirror.ts';
import { startSshDaemon } from '../support/sshd.ts';
import { atTransfer, standInFor } from '../support/stand-in.ts';

const [, reader] = oneOfEachKind;

/** A directory that holds what its source has, and `local`, which only an option excludes. */
async function adopted(...mode: string[]) {
  const { home, source, change } = smallMirror();
  const directory = join(home, "known's");
  cpSync(source, directory, { recursive: true, preserveTimestamps: true });
  mkdirSync(join(directory, 'local'));
  writeFileSync(join(directory, 'local/notes'), 'precious');
  const from = ['--source', source, '--', '--exclude=/local/'];
  await runForJson(['init', '--adopt', directory, ...mode, ...from]);
  return { home, source, change, directory, root: `${directory}.mirror` };
}

/** Runs a command that a message gives, as a person pastes it. */
async function paste(text: string, command: RegExp): Promise<void> {
  const line = command.exec(text)?.[0];
  expect(line, text).toBeDefined();
  const program = `mirrorlatch() { ${process.execPath} ${bin} "$@"; }`;
  await execa('sh', ['-c', `${program}\n${line}`]);
}

test.for([['in place', '--in-place'], ['as snapshots']])(
  'what an option excludes of an adopted directory is not deleted unasked, but let go by --delete-excluded (%s)',
  async ([, ...mode]) => {
    const { directory, root } = await adopted(...mode);
    const said =
      /the sync would delete 2 entries of .* that the options of rsync exclude: local\/;/;
    const dryRun = await runProgram(['sync', root, '--dry-run', '--allow-shrink']);
    expect(dryRun.stderr, transcript(dryRun)).toMatch(said);
    const refused = await runProgram(['sync', root, '--allow-shrink']);
    expectFailure(refused, 65, said);
    expect(readdirSync(directory)).toContain('local');
    await paste(refused.stderr, /(?<=let them go: )mirrorlatch init [^\n]*$/m);
    await runForJson(['sync', root, '--allow-shrink']);
    expect(readdirSync(directory)).not.toContain('local');
  },
);

test('what an option excludes in place stays there by the rules that the message gives', async () => {
  const { directory, root, change } = await adopted('--in-place');
  const kept = ["it's [a] \\*", 'lines\nof two', 'local'];
  for (const name of kept.slice(0, 2)) writeFileSync(join(directory, name), 'mine');
  mkdirSync(join(directory, 'old'));
  for (const name of ['a.bak', 'gone']) writeFileSync(join(directory, 'old', name), 'old');
  const rules = ['--exclude=/local/', '--exclude=it*', '--exclude=lines*', '--exclude=*.bak'];
  await runForJson(['init', root, '--', ...rules]);
  const refused = await runProgram(['sync', root, '--allow-shrink']);
  expectFailure(refused, 65, /the sync would delete 5 entries/);
  await paste(refused.stderr, /mirrorlatch init [^\n]*?(?=\. To let)/);
  change({ file: 'changed' });
  await runForJson(['sync', root, '--allow-shrink']);
  expect(readdirSync(directory).sort()).toEqual(['below', 'file', ...kept, 'old'].sort());
  expect(readdirSync(join(directory, 'local'))).toEqual(['notes']);
  expect(readdirSync(join(directory, 'old'))).toEqual(['a.bak']);
  expect(await runForJson(['sync', root])).toMatchObject({ outcome: 'unchanged' });
});

test('what an option excludes of an adopted directory may be moved away, and a later snapshot lacks what is excluded', async () => {
  const { home, directory, root, source, change } = await adopted();
  renameSync(join(directory, 'local'), join(home, 'local'));
  change({ added: 'new' });
  await runForJson(['sync', root]);
  const later = await runForJson([
    'sync',
    source,
    root,
    '--allow-shrink',
    '--',
    '--exclude=/added',
  ]);
  expect(later['plan']).toMatchObject({ deletedFiles: 1 });
  expect(readdirSync(directory).sort()).toEqual(['below', 'file']);
});

/** A small mirror in place whose `rules` exclude something. */
async function inPlace(...rules: string[]) {
  const { home, source, change } = smallMirror();
  const root = join(home, 'in place');
  await runForJson(['init', root, '--in-place', '--source', source, '--', ...rules]);
  await runForJson(['sync', root]);
  return { home, source, change, root, tree: join(root, 'gate/live') };
}

/** A source, as it is named over a way of transport, with the options that this takes. */
const ways: [string, (path: string) => Promise<{ from: string[]; stop: () => Promise<void> }>][] = [
  ['a directory', async (path) => ({ from: [path], stop: async () => {} })],
  [
    'a daemon',
    async (path) => {
      const daemon = await startRsyncDaemon([{ name: 'tree', path }]);
      return { from: [`${daemon.url('tree')}/`], stop: () => daemon.stop() };
    },
  ],
  [
    'ssh',
    async (path) => {
      const daemon = await startSshDaemon();
      const from = [`${daemon.host}:${path}/`, '--', '-e', daemon.remoteShell];
      return { from, stop: () => daemon.stop() };
    },
  ],
];

test.for(ways)(
  'what an option excludes stays if it comes to the tree in place after the plan, and what is left out by its name does not come (source: %s)',
  async ([, serve]) => {
    const { home, source, change } = smallMirror();
    change({ gone: 'deleted by the plan', '.new.aBcDeF': 'temporary' });
    const root = join(home, 'in place');
    const { from, stop } = await serve(source);
    try {
      const [name = '', ...more] = from;
      const rules = [...(more.length > 0 ? more : ['--']), '--exclude=/local/'];
      await runForJson(['init', root, '--in-place', '--source', name, ...rules]);
      await runForJson(['sync', root]);
      rmSync(join(source, 'gone'));
      change({ file: 'changed' });
      const reading = startGuarded(reader, root, inShell('cat file; exec sleep 60'));
      await eventually(() => expect(reading.printedSoFar()).not.toBe(''));
      const sync = startProgram(['sync', root, '--allow-shrink']);
      await eventually(() => expect(sync.saidSoFar()).toMatch(/waiting: readers are inside/));
      const tree = join(root, 'gate/live');
      mkdirSync(join(tree, 'local'));
      writeFileSync(join(tree, 'local/notes'), 'precious');
      reading.kill('SIGKILL');
      const result = await sync.result;
      expect(readdirSync(tree).sort(), transcript(result)).toEqual(['below', 'file', 'local']);
      expect(readdirSync(join(tree, 'local'))).toEqual(['notes']);
      expect(result.exitCode, transcript(result)).toBe(0);
      expectFailure(await runProgram(['sync', root, '--allow-shrink']), 65, /exclude: local\//);
    } finally {
      await stop();
    }
  },
);

test('the rules that the message gives protect by the patterns of the options, so that a new name needs no other', async () => {
  const { home, root, tree, change } = await inPlace();
  const list = join(home, "it's a list");
  writeFileSync(list, '# comment\n*.bak\n');
  const rules = ['--include=/kept.log', '--exclude=*.log', '--filter=- /local/'];
  await runForJson(['init', root, '--', ...rules, `--exclude-from=${list}`]);
  change({ 'kept.log': 'of the source' });
  await runForJson(['sync', root]);
  for (let count = 0; count < 12; count += 1) writeFileSync(join(tree, `${count}.log`), 'mine');
  const refused = await runProgram(['sync', root, '--allow-shrink']);
  expectFailure(refused, 65, /the sync would delete 12 entries/);
  await paste(refused.stderr, /mirrorlatch init [^\n]*?(?=\. To let)/);
  for (const name of ['new.log', 'new.bak']) writeFileSync(join(tree, name), 'mine');
  mkdirSync(join(tree, 'local'));
  change({ 'kept.log': null });
  await runForJson(['sync', root, '--allow-shrink']);
  expect(readdirSync(tree)).toEqual(
    expect.arrayContaining(['11.log', 'new.log', 'new.bak', 'local']),
  );
  expect(existsSync(join(tree, 'kept.log'))).toBe(false);
});

test('the rules that the message gives come before those of the options, and take the place of equal ones', async () => {
  const { root, tree } = await inPlace('--filter=R *.log', '--exclude=*.log', '--exclude=/mine/');
  mkdirSync(join(tree, 'mine'));
  for (const name of ['a.log', 'mine/b']) writeFileSync(join(tree, name), 'mine');
  const refused = await runProgram(['sync', root, '--allow-shrink']);
  expectFailure(refused, 65, /would delete 2 entries of .* exclude: mine\/;/);
  await paste(refused.stderr, /mirrorlatch init [^\n]*?(?=\. To let)/);
  await runForJson(['sync', root, '--allow-shrink']);
  expect(readdirSync(tree).sort()).toEqual(['below', 'file', 'mine']);
  const { rsyncOptions } = await runForJson(['status', root]);
  expect(rsyncOptions).toEqual([
    ...['--filter=R *.log', '--filter=P *.log', '--filter=P /mine/'],
    ...['--exclude=*.log', '--exclude=/mine/'],
  ]);
});

test('of many names that a file of the source excludes the message gives a command that can be pasted, and says that it names the first', async () => {
  const { root, tree, change } = await inPlace();
  await runForJson(['init', root, '--', '-F']);
  change({ '.rsync-filter': '- *.log\n' });
  await runForJson(['sync', root]);
  for (let count = 10; count < 22; count += 1) writeFileSync(join(tree, `${count}.log`), 'mine');
  const refused = await runProgram(['sync', root, '--allow-shrink']);
  expectFailure(
    refused,
    65,
    /It names the first 10; each of the other 2 needs a rule like these\. To/,
  );
  await paste(refused.stderr, /mirrorlatch init [^\n]*?(?=\. It names)/);
});

test('what an option excludes is named if it lies in a directory that the source has replaced by a file', async () => {
  const { root, tree, change } = await inPlace('--exclude=*.log');
  writeFileSync(join(tree, 'below/a.log'), 'mine');
  change({ below: null });
  change({ below: 'a file' });
  const refused = await runProgram(['sync', root, '--allow-shrink']);
  expectFailure(refused, 65, /would delete 1 entry of .* exclude: below\/a\.log;/);
  await paste(refused.stderr, /mirrorlatch init [^\n]*?(?=\. To let)/);
  const kept = await runProgram(['sync', root, '--allow-shrink']);
  expectFailure(kept, 69, /in the place of a directory of the mirror, which a filter rule keeps/);
  expect(readdirSync(join(tree, 'below'))).toContain('a.log');
});

test('what a rule keeps in place stays where the source has something of that name that rsync leaves out', async () => {
  const { root, tree, source, change } = await inPlace('--max-size=1k', '--filter=P *.iso');
  change({ 'below/cd.iso': 'x'.repeat(2_000), 'below/other': 'x'.repeat(2_000), pool: 'gone' });
  mkdirSync(join(tree, 'pool'));
  for (const name of ['below/cd.iso', 'below/other', 'pool/own.iso', 'pool/old'])
    writeFileSync(join(tree, name), 'mine');
  rmSync(join(source, 'pool'));
  symlinkSync('/elsewhere', join(source, 'pool'));
  const plan = await runForJson(['sync', root, '--dry-run', '--allow-shrink']);
  const published = await runForJson(['sync', root, '--allow-shrink', '--retries', '0']);
  for (const found of [plan, published]) {
    expect(found).toMatchObject({
      plan: { deletedFiles: 2, leftOut: [{ why: 'unsafe-link', count: 1 }, { count: 2 }] },
    });
  }
  expect(readdirSync(join(tree, 'below')).sort()).toEqual(['cd.iso', 'file']);
  expect(readdirSync(join(tree, 'pool'))).toEqual(['own.iso']);
  expect(await runForJson(['sync', root])).toMatchObject({ outcome: 'unchanged' });
});

test.for([['in place', '--in-place'], ['as snapshots']])(
  'what an option excludes of an adopted directory is named where the source has a link out of the tree in its place (%s)',
  async ([, ...mode]) => {
    const { directory, root, source } = await adopted(...mode);
    mkdirSync(join(directory, 'pool/local'), { recursive: true });
    writeFileSync(join(directory, 'pool/local/own'), 'mine');
    await runForJson(['init', root, '--', '--exclude=local']);
    symlinkSync('/elsewhere', join(source, 'pool'));
    expectFailure(
      await runProgram(['sync', root, '--allow-shrink']),
      65,
      /would delete 5 entries of .* exclude: local\/, pool\/;/,
    );
    expect(existsSync(join(directory, 'pool/local/own'))).toBe(true);
  },
);

test('what a killed rsync left is taken out although an option excludes it', async () => {
  const { root, tree } = await inPlace('--exclude=.~tmp~/', '--exclude=.*');
  mkdirSync(join(tree, 'below/.~tmp~'));
  for (const name of ['below/.~tmp~/old', '.file.aBcDeF']) writeFileSync(join(tree, name), 'old');
  await runForJson(['sync', root, '--allow-shrink']);
  expect([...readdirSync(tree), ...readdirSync(join(tree, 'below'))].sort()).toEqual([
    'below',
    'file',
    'file',
  ]);
  expect(await runForJson(['sync', root])).toMatchObject({ outcome: 'unchanged' });
});

test('what a killed rsync left behind the closed gate is taken out before the next try, although an option excludes it', async () => {
  const { root, home, tree, change } = await inPlace(
    '--exclude=.*',
    '--filter=P .users.sqlite',
    '--filter=P .mine.*',
  );
  writeFileSync(join(tree, '.users.sqlite'), 'precious');
  change({ file: 'changed' });
  // As rsync names an unfinished file; a person may use such a name, too.
  const left = `touch '${tree}/.file.abcdef' '${tree}/.mine.abcdef'; exit 30`;
  const once = `[ -e '${home}/failed' ] || { : >'${home}/failed'; ${left}; }`;
  const PATH = standInFor('rsync', join(home, 'programs'), atTransfer(once));
  await runForJson(['sync', root, '--retry-delay', '0'], { env: { PATH } });
  expect(existsSync(join(home, 'failed'))).toBe(true);
  expect(readdirSync(tree).sort()).toEqual(['.mine.abcdef', '.users.sqlite', 'below', 'file']);
  expect(await runForJson(['sync', root])).toMatchObject({ outcome: 'unchanged' });
});

test('a directory that stays in place for what a rule keeps in it is no difference, and stops no deletion', async () => {
  const { root, tree } = await inPlace('--filter=P kept');
  mkdirSync(join(tree, 'old/deep/deeper'), { recursive: true });
  writeFileSync(join(tree, 'old/deep/deeper/kept'), 'precious');
  // The times of what the new directory lies in.
  await runForJson(['sync', root, '--retries', '0']);
  expect(await runForJson(['sync', root])).toMatchObject({ outcome: 'unchanged' });
  writeFileSync(join(tree, 'old/deep/gone'), '');
  const deleted = await runForJson(['sync', root, '--retries', '0', '--allow-shrink']);
  expect(deleted).toMatchObject({ plan: { deletedFiles: 1 } });
  expect(readdirSync(join(tree, 'old/deep'))).toEqual(['deeper']);
});

test('what rules keep in place counts neither as lost nor as what there was', async () => {
  const { directory, root, source, change } = await adopted('--in-place');
  const names = Array.from({ length: 8 }, (_, index) => `file-${index}`);
  const files = (content: string | null, some: readonly string[]): Files =>
    Object.fromEntries(some.map((name) => [name, content]));
  change(files('ten bytes.', names));
  cpSync(source, realpathSync(directory), { recursive: true, preserveTimestamps: true });
  writeFileSync(join(directory, 'local/notes'), Buffer.alloc(100_000));
  expectFailure(await runProgram(['sync', root]), 65, /the options of rsync exclude: local\//);
  const rules = ['--exclude=/local/', '--filter=P /local/***'];
  await runForJson(['init', root, '--', ...rules]);
  expect(await runForJson(['sync', root, '-n'])).toMatchObject({ refusal: null });
  await runForJson(['sync', root]);
  change({ added: 'new' });
  expect(await runForJson(['sync', root, '-n'])).toMatchObject({ refusal: null });
  expect(await runForJson(['sync', root])).toMatchObject({ outcome: 'published' });
  const make = ['lock', root, '--', 'sh', '-c', 'echo >"$MIRRORLATCH_STAGING/made"'];
  const byCommand = await runProgram(make);
  expect(byCommand.stderr, transcript(byCommand)).toMatch(/published/);
  expect(await runForJson(['sync', root, '-n'])).toMatchObject({ refusal: null });
  expect(await runForJson(['sync', root])).toMatchObject({ plan: { deletedFiles: 1 } });
  change({ 'below/large': 'large'.repeat(20_000) });
  await runForJson(['sync', root]);
  await runForJson(['init', root, '--', ...rules, '--exclude=/below/', '--filter=P /below/***']);
  change({ added: 'other' });
  expect(await runForJson(['sync', root])).toMatchObject({ plan: { deletedFiles: 0 } });
  await runProgram(make);
  change(files(null, names.slice(0, 4)));
  expectFailure(await runProgram(['sync', root]), 65, /the source has shrunk/);
  expect(readdirSync(join(directory, 'local'))).toEqual(['notes']);
});
