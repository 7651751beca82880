import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { execaSync } from 'execa';
import { afterAll, describe, expect, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { expectFailure } from '../support/expect-failure.ts';
import { mirrorsInPlace } from '../support/in-place-mirror.ts';
import { makeLoopFilesystem, whyNoLoopFilesystem } from '../support/loop-filesystem.ts';
import {
  type ProgramResult,
  runForJson,
  runProgram,
  startProgram,
  transcript,
} from '../support/program.ts';
import { makeScratch } from '../support/scratch.ts';
import { mirrorsWith, type SmallMirror, smallMirror } from '../support/small-mirror.ts';
import { afterTransfer, atTransfer, standInFor } from '../support/stand-in.ts';
import { describeTree, difference } from '../support/tree.ts';

const oneSnapshot = mirrorsWith('first');
const inPlace = mirrorsInPlace();
const scratch = makeScratch();
afterAll(() => scratch.remove());

/** What a repository does: new files first, and then an index that names them. */
const REPOSITORY = { 'pool/p1': 'one', 'zz/index': 'v1: p1' };

interface Way {
  make: (home: string) => Promise<SmallMirror>;
  words: string[];
  /** What history says beside the total; a mirror in place counts what was planned. */
  counted?: { newFiles: number };
}

describe('I16: a source that goes on during a transfer', () => {
  const ways: Record<string, Way> = {
    'a first sync': {
      make: async (home) => smallMirror({ home }),
      words: [],
      counted: { newFiles: 5 },
    },
    'a plan': { make: oneSnapshot, words: [], counted: { newFiles: 3 } },
    'a plan whose files are copies': {
      make: oneSnapshot,
      words: ['--strategy', 'copy'],
      counted: { newFiles: 3 },
    },
    'a single pass of rsync': {
      make: oneSnapshot,
      words: ['--strategy', 'link-dest'],
      counted: { newFiles: 3 },
    },
    'a mirror in place': { make: inPlace, words: [] },
  };

  test.for(Object.entries(ways))('is published as one state of it by %s', async ([name, way]) => {
    const mirror = await way.make(homeOf(name));
    mirror.change(REPOSITORY);
    const result = await syncWhile(mirror, atTransfer(once(mirror, goesOn(mirror))), ...way.words);
    expect(result.exitCode, transcript(result)).toBe(0);
    expect(contentOf(mirror, 'zz/index')).toBe('v2: p1 p2\n');
    expect(contentOf(mirror, 'pool/p2')).toBe('two\n');
    expect(published(mirror)).toEqual([]);
    expect(mirror.history().at(-1)).toMatchObject({ files: 5, ...way.counted });
  });

  test('is tried again with pauses, and not published if it does not end', async () => {
    const mirror = await oneSnapshot(homeOf('never ends'));
    await runForJson(['init', mirror.root, '--', '--exclude=/iso']);
    mirror.change(REPOSITORY);
    const endless = `echo more >>'${mirror.source}/pool/p2'`;
    const words = ['--retries', '2', '--retry-delay', '100ms'];
    const result = await syncWhile(mirror, afterTransfer(endless), ...words);
    expectFailure(result, 69, /keeps changing while it is read: pool\/p2/, /--retries 20/);
    const exclude = `mirrorlatch init '${mirror.root}' -- '--exclude=/iso' '--exclude=PATTERN'\n`;
    expect(result.stderr, 'what every sync heeds').toContain(exclude);
    expect(result.stderr.match(/keeps changing .*; try \d of 2/g)).toHaveLength(2);
    expect(mirror.snapshots()).toEqual(['first']);
    expect(mirror.history().at(-1)).toMatchObject({ event: 'failed', code: 'UNAVAILABLE' });

    const again = await mirror.sync();
    expect(again, 'what came is used').toMatchObject({ outcome: 'published' });
    expect(published(mirror)).toEqual([]);
  });

  test('leaves a mirror in place dirty if it does not end', async () => {
    const mirror = await inPlace(homeOf('dirty'));
    mirror.change(REPOSITORY);
    const endless = `echo more >>'${mirror.source}/pool/p2'`;
    const result = await syncWhile(mirror, afterTransfer(endless), '--retries', '0');
    expectFailure(result, 69, /the source keeps changing while it is read/);
    expect(mirror.record()).toMatchObject({ state: 'dirty' });
    // What a killed rsync leaves there is no loss.
    const live = join(mirror.root, 'gate', 'live');
    mkdirSync(join(live, '.~tmp~'));
    for (const name of ['.~tmp~/file', '.file.ABCDEF']) writeFileSync(join(live, name), 'half');
    await mirror.sync();
    expect(mirror.record()).toMatchObject({ state: 'open' });
    expect(published(mirror)).toEqual([]);
    expect(readdirSync(mirror.state('staging'))).toEqual([]);
  });

  test('and then goes back to what is published needs no new snapshot', async () => {
    const mirror = await oneSnapshot(homeOf('goes back'));
    execaSync('cp', ['-a', `${mirror.source}/below`, `${mirror.home}/before`]);
    mirror.change({ 'below/file': 'a mistake' });
    const undo = `rm -r '${mirror.source}/below'
      cp -a '${mirror.home}/before' '${mirror.source}/below'
      touch -r '${mirror.root}/current/.' '${mirror.source}'`;
    const result = await syncWhile(mirror, afterTransfer(undo));
    expect(result.exitCode, transcript(result)).toBe(0);
    expect(result.stdout).toMatch(/^unchanged: first /);
    expect(mirror.snapshots()).toEqual(['first']);
  });

  test('is seen if a file changes twice within one second', async () => {
    const mirror = await oneSnapshot(homeOf('one second'));
    const second = 1_700_000_000;
    // Only the file differs, each time in the same way.
    writeFileSync(join(mirror.source, 'file'), 'v1');
    utimesSync(join(mirror.source, 'file'), second, second);
    const rewrite = `printf v2 >'${mirror.source}/file'; touch -d @${second}.5 '${mirror.source}/file'`;
    const result = await syncWhile(mirror, afterTransfer(once(mirror, rewrite)));
    expect(result.exitCode, transcript(result)).toBe(0);
    expect(contentOf(mirror, 'file')).toBe('v2');
  });

  test('does not keep --ignore-times from settling', async () => {
    const mirror = await oneSnapshot(homeOf('ignore times'));
    const result = await runProgram(['sync', mirror.root, '--', '--exclude=-I', '-zI']);
    expect(result.exitCode, transcript(result)).toBe(0);
    expect(result.stderr.match(/transferring/g)).toHaveLength(1);
  });

  test('is published half old with --without settle, as rsync does it', async () => {
    const mirror = await oneSnapshot(homeOf('without'));
    mirror.change(REPOSITORY);
    const words = ['--without', 'settle'];
    const result = await syncWhile(mirror, atTransfer(once(mirror, goesOn(mirror))), ...words);
    expect(result.exitCode, transcript(result)).toBe(0);
    expect(contentOf(mirror, 'zz/index')).toBe('v2: p1 p2\n');
    expect(existsSync(join(mirror.root, 'current', 'pool', 'p2'))).toBe(false);
  });
});

describe('a mirror in place whose source loses files after the plan', () => {
  test('I8: deletes no more than was planned, and looks again with the shrink guard', async () => {
    const mirror = await inPlace(homeOf('lost'));
    for (let number = 0; number < 8; number += 1) mirror.change({ [`f${number}`]: 'x' });
    await mirror.sync();
    mirror.change({ new: 'x', f0: null });
    const lost = atTransfer(once(mirror, `rm -r '${mirror.source}'/*`));
    const PATH = standInFor('rsync', join(mirror.home, 'programs'), lost);
    const args = ['sync', mirror.root, '--retry-delay', '0'];
    const result = await runProgram(args, { env: { PATH } });
    expectFailure(result, 65, /the source has no file left|has shrunk/);
    expect(readdirSync(join(mirror.root, 'gate', 'live')).length).toBeGreaterThan(7);
    expect(mirror.record()).toMatchObject({ state: 'dirty' });
  });

  test('I8: is refused for a directory with a limit of its own', async () => {
    const mirror = await inPlace(homeOf('directory lost'));
    for (let number = 0; number < 8; number += 1) mirror.change({ [`f${number}`]: 'x' });
    mirror.change({ 'sub/one': 'x', 'sub/two': 'x' });
    await mirror.sync();
    mirror.change({ new: 'x' });
    const lost = atTransfer(once(mirror, `rm '${mirror.source}'/sub/*`));
    const PATH = standInFor('rsync', join(mirror.home, 'programs'), lost);
    const args = ['sync', mirror.root, '--retry-delay', '0', '--max-shrink', 'sub=10'];
    const result = await runProgram(args, { env: { PATH } });
    expectFailure(result, 65, /"sub" in the source has shrunk/);
    expect(readdirSync(join(mirror.root, 'gate', 'live', 'sub'))).toEqual(['one', 'two']);
  });

  test('I8: is refused for all that the sync takes of a directory, as that was published', async () => {
    const mirror = await inPlace(homeOf('lost in two steps'));
    for (let number = 0; number < 10; number += 1) mirror.change({ [`sub/f${number}`]: 'x' });
    await mirror.sync();
    mirror.change({ new: 'x', 'sub/f0': null, 'sub/f1': null, 'sub/f2': null, 'sub/f3': null });
    const lost = atTransfer(once(mirror, `rm '${mirror.source}/sub/f4'`));
    const PATH = standInFor('rsync', join(mirror.home, 'programs'), lost);
    const args = ['sync', mirror.root, '--retry-delay', '0', '--max-shrink', 'sub=45'];
    const result = await runProgram([...args, '--max-shrink', '60'], { env: { PATH } });
    expectFailure(result, 65, /"sub" in the source has shrunk: 50\.0 % of its 10 files/);
  });
});

test.each([
  ['before', 'exit 12'],
  ['after', '"$program" "$@"; exit 12'],
])('what a pass in place deletes counts once, if rsync fails %s that', async (when, fails) => {
  const mirror = await inPlace(homeOf(`rsync fails ${when}`));
  for (let number = 0; number < 8; number += 1) mirror.change({ [`f${number}`]: 'x' });
  await mirror.sync();
  mirror.change({ new: 'x', f0: null, f1: null });
  const failing = atTransfer(once(mirror, fails));
  const PATH = standInFor('rsync', join(mirror.home, 'programs'), failing);
  const args = ['sync', mirror.root, '--retry-delay', '0', '--json'];
  const result = await runProgram(args, { env: { PATH } });
  expect(result.json()).toMatchObject({ plan: { newFiles: 1, deletedFiles: 2 } });
});

describe('--without delete', () => {
  test.each([
    ['a mirror with snapshots', oneSnapshot],
    ['a mirror in place', inPlace],
  ])('does not replace what %s has in a directory', async (name, make) => {
    const mirror = await make(homeOf(`directory in ${name}`));
    mirror.change({ 'below/file': null, elsewhere: 'x' });
    rmdirSync(join(mirror.source, 'below'));
    symlinkSync('elsewhere', join(mirror.source, 'below'));
    for (const words of [['--dry-run'], []]) {
      const result = await runProgram(['sync', mirror.root, '--without', 'delete', ...words]);
      expectFailure(
        result,
        69,
        /below is a directory in the mirror, but a symlink in the source/,
        /only init and the first sync remember it/,
      );
    }
    expect(contentOf(mirror, 'below/file')).toBe('content below');
  });

  test('keeps what only a mirror in place has', async () => {
    const mirror = smallMirror({ home: homeOf('kept in place') });
    await runForJson(['init', mirror.root, '--in-place']);
    const live = join(mirror.root, 'gate', 'live');
    mkdirSync(live);
    writeFileSync(join(live, 'own'), 'mine');
    writeFileSync(join(live, '.own.aB12cd'), 'named like a temporary file');
    const first = await runProgram(['sync', mirror.source, mirror.root, '--without', 'delete']);
    expect(first.exitCode, transcript(first)).toBe(0);
    expect(first.stderr, 'it does not differ').not.toMatch(/all attributes/);
    mirror.change({ file: null, new: 'x' });
    // What a killed rsync had collected is not the mirror's own.
    mkdirSync(join(live, 'below', '.~tmp~'));
    writeFileSync(join(live, 'below', '.~tmp~', 'gone'), 'half');
    const result = await runProgram(['sync', mirror.root, '--without', 'delete']);
    expect(result.exitCode, transcript(result)).toBe(0);
    const names = ['.own.aB12cd', 'below', 'file', 'new', 'own'];
    expect(readdirSync(join(mirror.root, 'current')).sort()).toEqual(names);
    expect(readdirSync(join(mirror.root, 'current', 'below'))).toEqual(['file']);
  });

  test('keeps what an interrupted sync had already taken away', async () => {
    const mirror = await oneSnapshot(homeOf('kept after a kill'));
    mirror.change({ file: null, new: 'x' });
    const words = ['--retries', '0'];
    expectFailure(await syncWhile(mirror, afterTransfer('exit 12'), ...words), 69);
    mirror.change({ 'never published': 'x' });
    const vanishes = afterTransfer(`rm -f '${mirror.source}/never published'`);
    const PATH = standInFor('rsync', join(mirror.home, 'others'), vanishes);
    const args = ['sync', mirror.root, '--without', 'delete'];
    const result = await runProgram(args, { env: { PATH } });
    expect(result.exitCode, transcript(result)).toBe(0);
    expect(readdirSync(join(mirror.root, 'current')).sort()).toEqual(['below', 'file', 'new']);
  });
});

test('what rsync might have called so is deleted in place with its source', async () => {
  const mirror = await inPlace(homeOf('index'));
  mirror.change({ '.index.sha256': 'x' });
  await mirror.sync();
  mirror.change({ '.index.sha256': null });
  await mirror.sync('--allow-shrink');
  expect(readdirSync(join(mirror.root, 'current')).sort()).toEqual(['below', 'file']);
});

test('a source of many symlinks that goes on is no smaller for it', async () => {
  const mirror = await oneSnapshot(homeOf('symlinks'));
  for (let number = 0; number < 100; number += 1)
    symlinkSync('below/././././././././././././file', join(mirror.source, `link${number}`));
  await mirror.sync();
  mirror.change({ new: 'x' });
  const PATH = standInFor(
    'rsync',
    join(mirror.home, 'programs'),
    atTransfer(once(mirror, `echo y >'${mirror.source}/newer'`)),
  );
  const result = await runProgram(['sync', mirror.root], { env: { PATH } });
  expect(result.exitCode, transcript(result)).toBe(0);
});

describe('a source that says that it is being updated', () => {
  const mark = 'Archive-Update-in-Progress-mirror.example.org';

  test.for([
    ['a mirror of snapshots', oneSnapshot],
    ['a mirror in place', inPlace],
  ] as const)('is waited for by %s, before anything is transferred', async ([name, make]) => {
    const mirror = await make(homeOf(`update, ${name}`));
    mirror.change({ ...REPOSITORY, [mark]: '' });
    const dryRun = await runProgram(['sync', mirror.root, '--dry-run']);
    expect(dryRun.exitCode, transcript(dryRun)).toBe(0);
    expect(dryRun.stderr).toMatch(/would be refused \(exit code 69\): the source is being updated/);
    const words = ['sync', mirror.root, '--retries', '1', '--retry-delay', '0'];
    const result = await runProgram(words);
    expectFailure(
      result,
      69,
      /the source is being updated: it has a file /,
      /--without update-marks/,
    );
    expect(result.stderr).not.toMatch(/transferring|closing the gate/);
    expect(existsSync(join(mirror.root, 'current', 'zz'))).toBe(false);

    const sync = startProgram(['sync', mirror.root, '--retry-delay', '2s']);
    await eventually(() => expect(sync.saidSoFar()).toMatch(/being updated.*; try 1 of 4 follows/));
    mirror.change({ [mark]: null });
    const { exitCode } = await sync.result;
    expect(exitCode).toBe(0);
    expect(published(mirror)).toEqual([]);
  });

  test.for([
    ['a first sync', async (home: string) => smallMirror({ home }), []],
    ['a single pass of rsync', oneSnapshot, ['--strategy', 'link-dest']],
    ['a mirror in place', inPlace, []],
  ] as const)('only once %s has planned is not published either', async ([name, make, words]) => {
    const mirror = await make(homeOf(`update begins after the plan, ${name}`));
    mirror.change({ ...REPOSITORY });
    const begins = `echo now >'${mirror.source}/${mark}'; echo half >'${mirror.source}/.deb.aB1cde'
      mkdir -p '${mirror.source}/zz/.~tmp~'; echo half >'${mirror.source}/zz/.~tmp~/deb'`;
    const script = atTransfer(once(mirror, begins));
    const result = await syncWhile(mirror, script, '--retries', '0', ...words);
    expectFailure(result, 69, /the source is being updated/);
    expect(mirror.history().at(-1)).toMatchObject({ event: 'failed' });

    mirror.change({ [mark]: null });
    const left = await mirror.sync(...words);
    expect(left).toMatchObject({
      outcome: 'published',
      plan: { leftOut: [{ why: 'temporary', count: 3 }] },
    });
    for (const temporary of ['.deb.aB1cde', 'zz/.~tmp~'])
      expect(existsSync(join(mirror.root, 'current', temporary)), temporary).toBe(false);
  });

  test.for([
    ['failed', 'exit 23'],
    ['was killed with its sync', 'kill -KILL "$PPID"; exit 9'],
  ] as const)(
    'is waited for in place after a pass that has brought the mark and then %s',
    async ([how, end]) => {
      const mirror = await inPlace(homeOf(`update begins, and the pass ${how}`));
      const live = join(mirror.root, 'gate', 'live');
      writeFileSync(join(live, '.own.aB1cde'), 'named like a temporary file');
      await runForJson(['init', mirror.root, '--', '--filter=P .own.aB1cde']);
      mirror.change({ ...REPOSITORY });
      const begins = `echo now >'${mirror.source}/${mark}'; echo half >'${mirror.source}/zz/.deb.aB1cde'`;
      const script = atTransfer(once(mirror, `${begins}; "$program" "$@"; ${end}`));
      const result = await syncWhile(mirror, script, '--retries', '0');
      expect(result.exitCode, transcript(result)).not.toBe(0);
      const brought = [mark, 'zz/.deb.aB1cde'].filter((name) => existsSync(join(live, name)));
      expect(brought).toHaveLength(how === 'failed' ? 0 : 2);

      const next = await runProgram(['sync', mirror.root, '--retries', '0', '--wait', '1m']);
      expectFailure(next, 69, /the source is being updated/);
      mirror.change({ [mark]: null });
      expect(await mirror.sync()).toMatchObject({
        outcome: 'published',
        plan: { leftOut: [{ why: 'temporary', count: 1 }] },
      });
      expect(readdirSync(live).sort()).toEqual(['.own.aB1cde', 'below', 'file', 'pool', 'zz']);
      expect(readdirSync(join(live, 'zz'))).toEqual(['index']);
    },
  );

  test.for([
    ['a mirror of snapshots', oneSnapshot],
    ['a mirror in place', inPlace],
  ] as const)('is waited for although %s has published the mark', async ([name, make]) => {
    const mirror = await make(homeOf(`published mark, ${name}`));
    mirror.change({ [mark]: '' });
    await mirror.sync('--without', 'update-marks');
    const planned = await runForJson(['sync', mirror.root, '--dry-run']);
    expect(planned['refusal']).toMatch(/the source is being updated/);
    const words = ['sync', mirror.root, '--retries', '0'];
    expectFailure(await runProgram(words), 69, /the source is being updated/);
    mirror.change({ [mark]: null });
    expect(await mirror.sync('--allow-shrink')).toMatchObject({ outcome: 'published' });
    expect(published(mirror)).toEqual([]);
  });

  test('only at the end of the transfer is not published either', async () => {
    const mirror = await oneSnapshot(homeOf('update begins'));
    mirror.change(REPOSITORY);
    const begins = afterTransfer(`: >'${mirror.source}/${mark}'`);
    const result = await syncWhile(mirror, begins, '--retries', '0');
    expectFailure(result, 69, /the source is being updated/);
    expect(mirror.snapshots()).toEqual(['first']);
  });

  test('is not waited for by a dry run, and with --without update-marks the mark is content', async () => {
    const mirror = await oneSnapshot(homeOf('mark as content'));
    mirror.change({ [mark]: '', [`below/${mark}`]: '' });
    const dryRun = await runProgram(['sync', mirror.root, '--dry-run']);
    expect(dryRun.exitCode, transcript(dryRun)).toBe(0);
    expect(dryRun.stdout).toMatch(
      /left out {3}Archive-Update-in-Progress-mirror\.example\.org: says/,
    );
    expect(await mirror.sync('--without', 'update-marks')).toMatchObject({ outcome: 'published' });
    expect(published(mirror)).toEqual([]);
  });
});

describe('what a filesystem cannot store', () => {
  test.skipIf(whyNoLoopFilesystem !== '')(
    `is said, is no reason for a new snapshot each time, and hides no other change${whyNoLoopFilesystem}`,
    async () => {
      // Inodes of 128 bytes hold no time after 2038 (ext4(5)), and no nanoseconds.
      const disk = await makeLoopFilesystem('ext4', { size: 32 * 2 ** 20, mkfs: ['-I', '128'] });
      try {
        const mirror = smallMirror({ home: homeOf('clamped'), root: join(disk.path, 'mirror') });
        const late = new Date('2100-01-01T00:00:00Z');
        utimesSync(join(mirror.source, 'file'), late, late);
        const first = await runProgram(['sync', mirror.source, mirror.root]);
        expect(first.exitCode, transcript(first)).toBe(0);
        expect(first.stderr).toMatch(/filesystem of .* does not keep all attributes of file$/m);
        expect(statSync(join(mirror.root, 'current', 'file')).mtime).not.toEqual(late);
        const [id] = mirror.snapshots();

        expect(await mirror.sync()).toMatchObject({ outcome: 'unchanged', id });
        expect(mirror.snapshots()).toEqual([id]);

        mirror.change({ 'below/file': 'other content' });
        expect(await mirror.sync()).toMatchObject({ outcome: 'published' });
        expect(contentOf(mirror, 'below/file')).toBe('other content');

        const size = contentOf(mirror, 'file').length;
        writeFileSync(join(mirror.source, 'file'), 'y'.repeat(size));
        utimesSync(join(mirror.source, 'file'), late, late);
        expect(await mirror.sync()).toMatchObject({ outcome: 'published' });
        expect(contentOf(mirror, 'file')).toBe('y'.repeat(size));
      } finally {
        await disk.remove();
      }
    },
  );
});

function homeOf(name: string): string {
  const home = join(scratch.path, name);
  mkdirSync(home);
  return home;
}

/** Syncs with a stand-in for rsync that runs `script`. */
function syncWhile(
  mirror: SmallMirror,
  script: string,
  ...words: string[]
): Promise<ProgramResult> {
  const PATH = standInFor('rsync', join(mirror.home, 'programs'), script);
  const args = ['sync', mirror.source, mirror.root, '--allow-shrink', ...words];
  return runProgram(args, { env: { PATH } });
}

/** The script, but only the first time that it is reached. */
function once({ home }: SmallMirror, script: string): string {
  return `if [ ! -e '${home}/once' ]; then : >'${home}/once'
    ${script}
    fi`;
}

/** Brings the source to its next state: the pool first, then the index. */
function goesOn({ source }: SmallMirror): string {
  return `echo two >'${source}/pool/p2'
    echo 'v2: p1 p2' >'${source}/zz/new'; mv '${source}/zz/new' '${source}/zz/index'`;
}

function contentOf({ root }: SmallMirror, name: string): string {
  return readFileSync(join(root, 'current', name), 'utf8');
}

/** How what is current differs from the source. */
function published({ source, root }: SmallMirror): string[] {
  return difference(describeTree(source), describeTree(join(root, 'current')));
}
