import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { buildAwkwardTree } from '../support/awkward-tree.ts';
import { expectFailure } from '../support/expect-failure.ts';
import { fileWork } from '../support/file-work.ts';
import { inPlaceMirror } from '../support/in-place-mirror.ts';
import { nobody } from '../support/privilege.ts';
import {
  nobodyRunsTheProgram,
  type ProgramResult,
  runForJson,
  runProgram,
  transcript,
} from '../support/program.ts';
import { mirrorsWith, type SmallMirror, smallMirror } from '../support/small-mirror.ts';
import { standInFor } from '../support/stand-in.ts';
import { describeTree, difference } from '../support/tree.ts';

interface Entry {
  readonly change: string;
  readonly type: string;
  readonly name: string;
  /** The name in hexadecimal, if `name` cannot represent it exactly. */
  readonly bytes?: string;
  readonly size: number;
}

const oneSnapshot = mirrorsWith('first');
const whyNotAsNobody = nobodyRunsTheProgram
  ? ''
  : ' (skipped: only root can become nobody, who has to reach Node and the program)';

test('it changes nothing in ROOT, not even a timestamp', async () => {
  const mirror = await oneSnapshot();
  mirror.change({ file: 'changed', new: 'new', 'below/file': null });
  const before = describeTree(mirror.root, { hardLinks: true });
  for (const options of [[], ['--json'], ['--strategy', 'link-dest'], ['--clone', 'copy']]) {
    const result = await runProgram(['sync', mirror.root, '--dry-run', ...options]);
    expect(result.exitCode, transcript(result)).toBe(0);
  }
  expect(difference(before, describeTree(mirror.root, { hardLinks: true }))).toEqual([]);
});

test('it reports counts, bytes and every entry, and the sync then does exactly that', async () => {
  const mirror = await oneSnapshot();
  const work = fileWork(mirror.source);
  mirror.change({ file: 'changed content', new: '12345', 'below/file': null });
  work.directory('empty');
  work.symlink('link', 'file');
  const told = await dryRun(mirror);
  expect(told).toMatchObject({
    outcome: 'planned',
    current: 'first',
    source: `${mirror.source}/`,
    plan: {
      newFiles: 1,
      changedFiles: 1,
      deletedFiles: 1,
      deletedBytes: 'content below'.length,
      transferBytes: 'changed content'.length + 5,
      source: { files: 2 },
    },
  });
  expect(sortedByName(told['entries'])).toEqual([
    { change: 'attributes', type: 'directory', name: '.', size: expect.any(Number) },
    { change: 'attributes', type: 'directory', name: 'below', size: expect.any(Number) },
    { change: 'deleted', type: 'file', name: 'below/file', size: 'content below'.length },
    { change: 'new', type: 'directory', name: 'empty', size: expect.any(Number) },
    { change: 'changed', type: 'file', name: 'file', size: 15 },
    { change: 'new', type: 'symlink', name: 'link', size: 4 },
    { change: 'new', type: 'file', name: 'new', size: 5 },
  ]);
  const { plan } = await mirror.sync('--allow-shrink');
  expect(plan).toEqual(told['plan']);
});

test('its human output is a line per entry and a sentence at the end', async () => {
  const mirror = await oneSnapshot();
  mirror.change({ file: 'changed', new: '12345', 'below/file': null });
  const result = await runProgram(['sync', mirror.root, '-n']);
  expect(result.exitCode, transcript(result)).toBe(0);
  expect(result.stdout.trimEnd().split('\n').sort()).toEqual(
    [
      'attributes .',
      'attributes below',
      'changed    file',
      'deleted    below/file',
      'new        new',
      `${mirror.source}/: 1 new, 1 changed, 1 deleted, 2 other (directories, links and attributes), 12 B to transfer; this was a dry run`,
    ].sort(),
  );
});

test('it does not make a missing ROOT, and reports the whole source as new', async () => {
  const mirror = smallMirror();
  const before = describeTree(mirror.home);
  const told = await runForJson(['sync', mirror.source, mirror.root, '--dry-run']);
  expect(told).toMatchObject({
    outcome: 'planned',
    current: null,
    plan: { newFiles: 2, changedFiles: 0, deletedFiles: 0, transferBytes: 20 },
  });
  expect(existsSync(mirror.root)).toBe(false);
  expect(difference(before, describeTree(mirror.home))).toEqual([]);
});

test('an empty directory as ROOT stays empty', async () => {
  const mirror = smallMirror();
  mkdirSync(mirror.root);
  await runForJson(['sync', mirror.source, mirror.root, '--dry-run']);
  expect(readdirSync(mirror.root)).toEqual([]);
});

test('a mirror without a snapshot yet, made by init, stays unchanged', async () => {
  const mirror = smallMirror();
  await runForJson(['init', mirror.root, '--source', mirror.source]);
  const before = describeTree(mirror.root);
  expect(await dryRun(mirror)).toMatchObject({ plan: { newFiles: 2 } });
  expect(difference(before, describeTree(mirror.root))).toEqual([]);
});

test('names that are not UTF-8 or have control characters are also reported in exact bytes', async () => {
  const mirror = smallMirror();
  const source = join(mirror.home, 'awkward');
  buildAwkwardTree(source);
  const told = await runForJson(['sync', source, mirror.root, '--dry-run']);
  const names = (told['entries'] as Entry[]).map(exactName);
  expect(new Set(names)).toEqual(new Set(describeTree(source).keys()));
  expect(new Set(names).size, 'each once').toBe(names.length);
});

test('its human output contains no control character of a name', async () => {
  const mirror = smallMirror();
  const source = join(mirror.home, 'awkward');
  buildAwkwardTree(source);
  const result = await runProgram(['sync', source, mirror.root, '--dry-run']);
  expect(result.exitCode, transcript(result)).toBe(0);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  expect(result.stdout).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f]/);
  expect(result.stdout).toContain(String.raw`new\x0aline`);
});

test('with nothing to do the plan is empty', async () => {
  const mirror = await oneSnapshot();
  const told = await dryRun(mirror);
  expect(told).toMatchObject({ outcome: 'planned', entries: [], plan: { newFiles: 0 } });
});

test('a plan that the shrink guard would refuse is printed, and marked as such', async () => {
  const mirror = await oneSnapshot();
  mirror.change({ file: null, 'below/file': null });
  const result = await runProgram(['sync', mirror.root, '--dry-run']);
  expect(result.exitCode, transcript(result)).toBe(0);
  expect(result.stdout).toMatch(/^deleted +file$/m);
  expect(result.stderr).toMatch(
    /a sync would be refused \(exit code 65\): the source has no file left/,
  );
});

test('what a sync refuses, its dry run refuses too, without changing anything', async () => {
  const mirror = await oneSnapshot();
  const full = join(mirror.home, 'full');
  mkdirSync(full);
  mkdirSync(join(full, 'something'));
  const before = describeTree(mirror.home);
  const refused: [command: readonly string[], exitCode: number][] = [
    [['sync', mirror.root, '-n', '--id', 'no/id'], 64],
    [['sync', mirror.root, '-n', '--', '--inplace'], 64],
    [['sync', mirror.source, full, '-n'], 78],
    [['sync', 'rsync://127.0.0.1:1/module', '/', '-n'], 64],
    [['sync', join(mirror.home, 'absent'), mirror.root, '-n', '--other-source'], 66],
    [['sync', mirror.root, mirror.root, '-n'], 64],
    [['sync', mirror.source, join(mirror.source, 'inside'), '-n'], 64],
  ];
  for (const [command, exitCode] of refused) {
    const result = await runProgram(command);
    expect(result.exitCode, transcript(result)).toBe(exitCode);
  }
  expect(difference(before, describeTree(mirror.home))).toEqual([]);
});

test.skipIf(!nobodyRunsTheProgram)(
  `I11: a user with read permission for the mirror and the source can print the plan${whyNotAsNobody}`,
  async () => {
    const mirror = await oneSnapshot();
    mirror.change({ new: 'new' });
    const result = await runProgram(['sync', mirror.root, '-n'], { user: nobody });
    expect(result.exitCode, transcript(result)).toBe(0);
    expect(result.stdout).toMatch(/^new +new$/m);
  },
);

test.skipIf(!nobodyRunsTheProgram)(
  `a user whom the closed gate keeps out of the tree is told so with 75${whyNotAsNobody}`,
  async () => {
    const mirror = inPlaceMirror(smallMirror());
    await runForJson(['init', mirror.root, '--in-place']);
    await mirror.sync();
    await runForJson(['gate', 'close', mirror.root, '--reason', 'repairs']);
    const plan = () => runProgram(['sync', mirror.root, '-n'], { user: nobody });
    expectFailure(await plan(), 75, /was closed by hand: repairs/, /mirrorlatch gate open/);
    mirror.rewrite({ by: 'sync', reason: 'the tree is being written' });
    expectFailure(await plan(), 75, /the gate of .* is closed: the tree is being written/);
  },
);

test('with --json it prints exactly one object on stdout, and nothing on stderr', async () => {
  const mirror = await oneSnapshot();
  mirror.change({ new: 'new' });
  const result: ProgramResult = await runProgram(['sync', mirror.root, '-n', '--json']);
  expect(result.stderr).toBe('');
  expect(result.stdout.trimEnd().split('\n')).toHaveLength(1);
  expect(result.json()).toMatchObject({ outcome: 'planned' });
});

describe('a long list of changes', () => {
  const names = Array.from({ length: 400 }, (_, number) => `${number}-é-${'long'.repeat(20)}`);
  const many = Object.fromEntries(names.map((name) => [name, name]));

  test('is in a temporary file without a name, anew for each try, and in order', async () => {
    const mirror = smallMirror();
    mirror.change(many);
    const work = fileWork(mirror.home);
    work.directory('tmp');
    const once = `[ -e '${mirror.home}/tried' ] || { : >'${mirror.home}/tried'; "$program" "$@"; exit 24; }`;
    const script = `case "$*" in *--dry-run*) ${once} ;; esac`;
    const env = { PATH: standInFor('rsync', join(mirror.home, 'bin'), script) };
    const words = ['sync', mirror.source, mirror.root, '--dry-run', '--retry-delay', '0'];
    const there = await runProgram([...words, '--json'], {
      env: { ...env, TMPDIR: join(mirror.home, 'tmp') },
    });
    expect(existsSync(join(mirror.home, 'tried'))).toBe(true);
    const { entries } = there.json() as { entries: Entry[] };
    const sorted = names.toSorted((one, other) =>
      Buffer.compare(Buffer.from(one), Buffer.from(other)),
    );
    expect(entries.map(({ name }) => name)).toEqual([
      '.',
      ...sorted,
      'file',
      'below',
      'below/file',
    ]);
    expect(readdirSync(join(mirror.home, 'tmp'))).toEqual([]);
    const missing = join(mirror.home, 'missing');
    const nowhere = await runProgram(words, { env: { TMPDIR: missing } });
    expectFailure(nowhere, 74, /the list of changes cannot be written in .*missing/);
  });
});

function dryRun(mirror: SmallMirror): Promise<Record<string, unknown>> {
  return runForJson(['sync', mirror.source, mirror.root, '--dry-run']);
}

function sortedByName(entries: unknown): Entry[] {
  return (entries as Entry[]).toSorted((one, other) => (one.name < other.name ? -1 : 1));
}

/** The name as in a tree, one character per byte. */
function exactName({ name, bytes }: Entry): string {
  return bytes === undefined
    ? Buffer.from(name, 'utf8').toString('latin1')
    : Buffer.from(bytes, 'hex').toString('latin1');
}
