import {
  chmodSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { expectFailure } from '../support/expect-failure.ts';
import { mirrorsInPlace } from '../support/in-place-mirror.ts';
import {
  type ProgramResult,
  runForJson,
  runProgram,
  startProgram,
  transcript,
} from '../support/program.ts';
import { makeScratch } from '../support/scratch.ts';
import { mirrorsWith, type SmallMirror, smallMirror } from '../support/small-mirror.ts';
import { standInFor } from '../support/stand-in.ts';
import { describeTree, difference } from '../support/tree.ts';

const stamp = 'project/trace/master';
const probe = ['--probe', stamp];
const oneSnapshot = mirrorsWith('first');
const inPlace = mirrorsInPlace();
const scratch = makeScratch();
afterAll(() => scratch.remove());

type Make = (home: string) => Promise<SmallMirror>;
const ways: readonly (readonly [string, Make, readonly string[]])[] = [
  ['a first sync', async (home) => smallMirror({ home }), []],
  ['a plan', oneSnapshot, []],
  ['a plan whose files are copies', oneSnapshot, ['--strategy', 'copy']],
  ['a single pass of rsync', oneSnapshot, ['--strategy', 'link-dest']],
  ['a mirror in place', inPlace, []],
];

describe('I16: with stamps that are the same before the plan and after the transfer', () => {
  test.for(ways)('%s looks at the source once', async ([name, make, words]) => {
    const mirror = await make(homeOf(name));
    mirror.change({ [stamp]: 'one', 'pool/p1': 'one', 'zz/index': 'v1: p1' });
    const { looks } = await sync(mirror, [...probe, ...words]);
    expect(looks).toBe(1);
    expect(published(mirror)).toEqual([]);
    mirror.change({ [stamp]: 'two', 'zz/index': 'v2', 'pool/p1': null });
    expect((await sync(mirror, ['--no-probe', ...words])).looks, 'without').toBe(2);
    expect(published(mirror)).toEqual([]);
  });

  test.for([{ rsync: [] }, { rsync: ['--', '-H'] }])(
    'whatever has changed, one look is enough with $rsync',
    async ({ rsync }) => {
      const mirror = await oneSnapshot(homeOf(`all kinds of changes ${rsync}`));
      const at = (...names: string[]) => join(mirror.source, ...names);
      mirror.change({ [stamp]: '0', 'd/e/f': '1', 'd/g': '2', 'd/h': '3', dir2: 'a file' });
      symlinkSync('g', at('d', 'link'));
      linkSync(at('d', 'h'), at('d', 'h2'));
      await sync(mirror, [...probe, ...rsync]);
      const changes: Record<string, () => void> = {
        'modes and times': () => {
          chmodSync(at('d/g'), 0o600);
          chmodSync(at('d/e'), 0o700);
          lutimesSync(at('d', 'link'), 1, 1);
        },
        'types of entries': () => {
          mirror.change({ dir2: null, 'dir2/now': 'a directory', 'd/e': null });
          symlinkSync('../dir2', at('d', 'e'));
        },
        'a renamed directory': () => renameSync(at('d'), at('renamed')),
        'links and names that are no text': () => {
          symlinkSync('elsewhere', at('renamed', 'other'));
          writeFileSync(
            Buffer.concat([Buffer.from(`${at('')}`), Buffer.from([0xff, 10, 92])]),
            'x',
          );
          linkSync(at('renamed', 'g'), at('renamed', 'g => h'));
        },
        'groups of links': () => {
          linkSync(at('renamed', 'h'), at('dir2', 'h3'));
          rmSync(at('renamed', 'g'));
          linkSync(at('file'), at('renamed', 'g'));
        },
        'only deletions, but for the stamp': () => rmSync(at('dir2'), { recursive: true }),
        'only the stamp': () => {},
      };
      for (const [what, change] of Object.entries(changes)) {
        change();
        mirror.change({ [stamp]: what });
        const { looks } = await sync(mirror, [...probe, '--allow-shrink', ...rsync]);
        expect(published(mirror, rsync.length > 0), what).toEqual([]);
        expect(looks, what).toBe(1);
      }
    },
  );

  test.for(ways)('%s looks again if a stamp changes meanwhile', async ([name, make, words]) => {
    const mirror = await make(homeOf(`stamp changes, ${name}`));
    mirror.change({ [stamp]: 'one', 'pool/p1': 'one', 'zz/index': 'v1: p1' });
    const goesOn = `echo p2 >'${mirror.source}/pool/p2'; echo two >'${mirror.source}/${stamp}'`;
    const { looks, said } = await sync(mirror, [...probe, ...words], afterTransfer(goesOn));
    expect(said).toMatch(/looking at everything again: project\/trace\/master has changed mean/);
    expect(looks).toBeGreaterThan(1);
    expect(published(mirror)).toEqual([]);
  });

  test.for(ways)(
    '%s looks again if what comes is not what was planned, though the stamp is the same',
    async ([name, make, words]) => {
      const mirror = await make(homeOf(`not as planned, ${name}`));
      mirror.change({ [stamp]: 'one', 'pool/p1': 'one', 'zz/index': 'v1: p1' });
      const goesOn = `echo 'v2: p1 p2' >'${mirror.source}/zz/index'; echo 2 >'${mirror.source}/pool/p2'`;
      const { looks } = await sync(mirror, [...probe, ...words], beforeTransfer(goesOn));
      expect(looks).toBeGreaterThan(1);
      expect(published(mirror)).toEqual([]);
    },
  );

  test('a sync looks again if something has changed although no stamp has', async () => {
    const mirror = await oneSnapshot(homeOf('lying stamp'));
    mirror.change({ [stamp]: 'one' });
    await sync(mirror, probe);
    mirror.change({ file: 'the stamp does not tell' });
    const { looks, said } = await sync(mirror, [...probe, '--probe-max-age', '0']);
    expect(said).toMatch(/looking at everything: the last such look was at /);
    expect(looks).toBe(2);
  });

  test('a sync looks again if the tree does not get the stamp', async () => {
    const mirror = await oneSnapshot(homeOf('excluded stamp'));
    mirror.change({ [stamp]: 'one', file: 'new' });
    const { looks } = await sync(mirror, [...probe, '--', '--exclude=/project/']);
    expect(looks).toBe(2);
  });

  test('nothing is published while the source has a mark that has come meanwhile', async () => {
    const mirror = await oneSnapshot(homeOf('mark comes'));
    const mark = 'Archive-Update-in-Progress-mirror.example.org';
    mirror.change({ [stamp]: 'one', file: 'new' });
    const PATH = standInFor(
      'rsync',
      join(mirror.home, 'programs'),
      afterTransfer(`: >'${mirror.source}/${mark}'`),
    );
    const words = ['sync', mirror.root, ...probe, '--retries', '0'];
    expectFailure(await runProgram(words, { env: { PATH } }), 69, /the source is being updated/);
    expect(mirror.snapshots()).toEqual(['first']);
    mirror.change({ [mark]: null });
    expect(await mirror.sync(...probe)).toMatchObject({ outcome: 'published' });
  });
});

describe('--busy-when', () => {
  const busy = ['--busy-when', 'state/updating', '--retry-delay', '0'];
  const marks: Record<string, (mirror: SmallMirror) => void> = {
    'a file': ({ change }) => change({ 'state/updating': '' }),
    'a directory': ({ change }) => change({ 'state/updating/since': 'now' }),
    'a symlink': ({ source, change }) => {
      change({ 'state/file': '' });
      symlinkSync('file', join(source, 'state/updating'));
    },
  };

  test.for(
    Object.entries(marks).flatMap(([what, make]) =>
      ([oneSnapshot, inPlace] as const).map((mirrors) => [what, make, mirrors] as const),
    ),
  )('waits before the plan while the source has %s of that name', async ([what, make, mirrors]) => {
    const mirror = await mirrors(homeOf(`busy ${what} ${mirrors === inPlace}`));
    mirror.change({ 'state/other': 'x', file: 'new' });
    make(mirror);
    const once = await runProgram(['sync', mirror.root, ...busy, '--retries', '1']);
    expectFailure(once, 69, /the source is being updated: it has state\/updating/, /update-marks/);
    expect(once.stderr).not.toMatch(/planning/);
    const dryRun = await runForJson(['sync', mirror.root, ...busy, '--dry-run']);
    expect(dryRun['refusal']).toMatch(/the source is being updated/);
    const words = ['sync', mirror.root, ...busy.slice(0, 2), '--retry-delay', '2s'];
    const sync = startProgram(words);
    await eventually(() => expect(sync.saidSoFar()).toMatch(/being updated.*; try 1 of 4 follows/));
    mirror.change({ 'state/updating': null });
    expect((await sync.result).exitCode).toBe(0);
    expect(published(mirror)).toEqual([]);
  });

  test.for(ways)('is heeded by %s if it comes after the plan', async ([name, make, words]) => {
    const mirror = await make(homeOf(`busy meanwhile, ${name}`));
    mirror.change({ 'state/other': 'x', [stamp]: 'one' });
    const begins = `: >'${mirror.source}/state/updating'`;
    for (const more of [[], probe]) {
      const PATH = standInFor(
        'rsync',
        join(mirror.home, `programs ${more.length}`),
        beforeTransfer(begins),
      );
      const args = ['sync', mirror.source, mirror.root, ...busy, ...words, ...more];
      const result = await runProgram([...args, '--retries', '0'], { env: { PATH } });
      expectFailure(result, 69, /the source is being updated/);
      mirror.change({ 'state/updating': null });
    }
    await mirror.sync(...busy, ...words);
    expect(published(mirror)).toEqual([]);
  });

  test('is remembered, and turned off by --without update-marks, which makes it content', async () => {
    const mirror = await oneSnapshot(homeOf('content'));
    await runForJson(['init', mirror.root, ...busy.slice(0, 2)]);
    mirror.change({ 'state/updating': '' });
    expectFailure(await runProgram(['sync', mirror.root, '--retries', '0']), 69, /being updated/);
    expect(await mirror.sync('--without', 'update-marks')).toMatchObject({ outcome: 'published' });
    expect(published(mirror)).toEqual([]);
    expectFailure(await runProgram(['sync', mirror.root, '--retries', '0']), 69, /being updated/);
    expect(await mirror.sync('--no-busy-when')).toMatchObject({ outcome: 'unchanged' });
  });

  test('delays no sync whose stamps are as in current', async () => {
    const mirror = await oneSnapshot(homeOf('busy and the same'));
    mirror.change({ [stamp]: 'one' });
    await sync(mirror, probe);
    mirror.change({ 'state/updating': '' });
    expect(await mirror.sync(...probe, ...busy)).toMatchObject({ look: 'probe' });
  });
});

function homeOf(name: string): string {
  const home = join(scratch.path, name);
  mkdirSync(home);
  return home;
}

/** How what is current differs from the source. */
function published({ source, root }: SmallMirror, hardLinks = false): string[] {
  const [wanted, found] = [source, join(root, 'current')];
  return difference(describeTree(wanted, { hardLinks }), describeTree(found, { hardLinks }));
}

/** Runs a script at the first transfer of a sync, right before it. */
function beforeTransfer(script: string): string {
  return `case "$*" in *--version | *--dry-run* | *--files-from=-*) ;; *) ${once(script)} ;; esac`;
}

/** The same right after it. */
function afterTransfer(script: string): string {
  return beforeTransfer(`"$program" "$@"; code=$?; ${script}; exit $code`);
}

function once(script: string): string {
  return `if [ ! -e "$0.once" ]; then : >"$0.once"; ${script}; fi`;
}

/** Runs a sync, and counts its looks at all of the source. */
async function sync(
  { home, source, root }: SmallMirror,
  words: readonly string[],
  script = ':',
): Promise<{ looks: number; said: string }> {
  const programs = join(home, 'programs');
  const log = join(home, 'calls');
  rmSync(programs, { recursive: true, force: true });
  writeFileSync(log, '');
  const PATH = standInFor('rsync', programs, `printf '%s\\n' "$*" >>'${log}'; ${script}`);
  const result: ProgramResult = await runProgram(['sync', source, root, ...words], {
    env: { PATH },
  });
  expect(result.exitCode, transcript(result)).toBe(0);
  const calls = readFileSync(log, 'utf8').split('\n');
  const looks = calls.filter((line) => /--dry-run/.test(line) && !/--no-recursive/.test(line));
  return { looks: looks.length, said: result.stderr };
}
