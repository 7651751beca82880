import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { execaSync } from 'execa';
import { describe, expect, test } from 'vitest';
import { diceOf } from '../stress/dice.ts';
import { byScale, HOUR_MS } from '../stress/scale.ts';
import { type BytePath, below } from '../support/byte-path.ts';
import { expectFailure } from '../support/expect-failure.ts';
import { type FileWork, fileWork } from '../support/file-work.ts';
import { rot } from '../support/flip-bit.ts';
import { inPlaceMirror } from '../support/in-place-mirror.ts';
import { nobody, runsAsRoot } from '../support/privilege.ts';
import { runForJson, runProgram, transcript } from '../support/program.ts';
import { changeAtRandom } from '../support/random-tree.ts';
import { type SmallMirror, smallMirror } from '../support/small-mirror.ts';
import { atTransfer, standInFor } from '../support/stand-in.ts';
import { summedFiles } from '../support/summed-files.ts';
import { damageIn, verify } from '../support/verified.ts';

async function runWell(words: readonly string[]): Promise<void> {
  const result = await runProgram(words);
  expect(result.exitCode, transcript(result)).toBe(0);
}

/** Two snapshots: `second` has everything of `first` but another `file`. */
async function twoSnapshots(): Promise<SmallMirror> {
  const mirror = smallMirror();
  await mirror.publish('first', { big: 'x'.repeat(5000), other: 'other', 'below/deep/file': '1' });
  symlinkSync('file', join(mirror.source, 'link'));
  await mirror.publish('second', { file: 'other content', other: null });
  return mirror;
}

const inCurrent = ({ root }: SmallMirror, ...names: string[]) => join(root, 'current', ...names);

test('a snapshot that is as it was published is whole', async () => {
  const mirror = await twoSnapshots();
  expect(await verify(mirror)).toMatchObject({
    ...{ exitCode: 0, isWhole: true, damage: [], read: null },
    trees: [{ id: 'second', damaged: 0, unknown: 0, files: 4 }],
  });
  expect(await verify(mirror, '--bitrot')).toMatchObject({ exitCode: 0, read: { files: 4 } });
});

test('a file that snapshots share is read once', async () => {
  const mirror = await twoSnapshots();
  const { trees, read } = await verify(mirror, '--all', '--bitrot');
  expect(trees).toMatchObject([
    { id: 'first', files: 5, unknown: 0 },
    { id: 'second', files: 4, unknown: 0 },
  ]);
  // 5 files of the first, and the new `file` of the second.
  expect(read).toMatchObject({ files: 6 });
});

test('--bitrot names a file whose content has changed and nothing else, and the snapshots that share it', async () => {
  const mirror = await twoSnapshots();
  rot(inCurrent(mirror, 'big'), 4000);
  expect(await damageIn(mirror)).toEqual([]);
  const { exitCode, damage } = await verify(mirror, '--bitrot');
  expect(exitCode).toBe(65);
  expect(damage).toMatchObject([
    { id: 'second', name: 'big', kind: 'content', alsoIn: ['first/big'] },
  ]);
  const all = await verify(mirror, '--all', '--bitrot');
  expect(all.trees).toMatchObject([{ damaged: 1 }, { damaged: 1 }]);
  expect(all.damage).toMatchObject([{ id: 'first', name: 'big', alsoIn: ['second/big'] }]);
});

test('it names what was truncated, removed, added, replaced and given another mode, time or target', async () => {
  const mirror = await twoSnapshots();
  const at = (name: string) => inCurrent(mirror, name);
  writeFileSync(at('big'), 'x'.repeat(4999));
  rmSync(at('below/deep'), { recursive: true });
  writeFileSync(at('extra'), '');
  chmodSync(at('below'), 0o700);
  utimesSync(at('file'), 1, 1);
  rmSync(at('link'));
  symlinkSync('elsewhere', at('link'));
  rmSync(at('below/file'));
  mkdirSync(at('below/file'));
  expect(await damageIn(mirror)).toEqual([
    'added extra',
    'missing below/deep',
    'missing below/deep/file',
    'mode below',
    'size big',
    'target link',
    'time file',
    'type below/file',
  ]);
});

test('two files that were exchanged are both named', async () => {
  const mirror = smallMirror();
  mirror.change({ one: '1', two: '2' });
  for (const name of ['one', 'two']) utimesSync(join(mirror.source, name), 1, 1);
  await mirror.sync();
  const at = (name: string) => inCurrent(mirror, name);
  renameSync(at('one'), at('three'));
  renameSync(at('two'), at('one'));
  renameSync(at('three'), at('two'));
  expect(await damageIn(mirror)).toEqual([]);
  expect(await damageIn(mirror, '--bitrot')).toEqual(['content one', 'content two']);
});

test('people get a table, the way out and the exit code', async () => {
  const mirror = await twoSnapshots();
  rot(inCurrent(mirror, 'big'));
  const result = await runProgram(['verify', mirror.root, '--bitrot']);
  expectFailure(result, 65, /transfer anew .*: mirrorlatch sync \S+ -- --checksum$/m);
  expect(result.stdout).toMatch(/^second +big +content +\w+ \w+ +\w+ \w+ +first\/big$/m);
  expect(result.stdout).toMatch(/^second not whole: 1 damaged, 8 entries compared/m);
});

test('a sync with --checksum makes the current tree whole again, and touches no snapshot', async () => {
  const mirror = await twoSnapshots();
  rot(inCurrent(mirror, 'big'));
  const before = lstatSync(inCurrent(mirror, 'big')).ino;
  await mirror.sync('--id', 'third', '--', '--checksum');
  expect(await verify(mirror, '--bitrot')).toMatchObject({
    isWhole: true,
    trees: [{ id: 'third' }],
  });
  expect(lstatSync(join(mirror.root, 'snapshots/second/big')).ino).toBe(before);
  expect(await damageIn(mirror, 'second', '--bitrot')).toEqual(['content big']);
});

test('what was lost, and is gone from the source, too, is missed until a sync has looked at everything', async () => {
  const mirror = await twoSnapshots();
  rmSync(inCurrent(mirror, 'below'), { recursive: true });
  mirror.change({ below: null });
  for (const top of [inCurrent(mirror), mirror.source]) utimesSync(top, 1, 1);
  expect(await damageIn(mirror)).toHaveLength(4);
  expect(await mirror.sync('--allow-shrink')).toMatchObject({ outcome: 'unchanged' });
  expect(await damageIn(mirror, '--bitrot')).toEqual([]);
  rmSync(inCurrent(mirror, 'big'));
  mirror.change({ big: null });
  expect(await damageIn(mirror)).toEqual(['missing big']);
  await mirror.publish('third', { new: 'new' }, '--allow-shrink');
  expect(await damageIn(mirror, '--bitrot')).toEqual([]);
  // The snapshot that has lost it stays what it is, and what the source has is brought again.
  expect(await damageIn(mirror, 'second')).toEqual(['missing big']);
  rmSync(inCurrent(mirror, 'file'));
  await damageIn(mirror);
  await mirror.publish('fourth', { newer: 'newer' });
  expect(await damageIn(mirror, '--bitrot')).toEqual([]);
  rmSync(inCurrent(mirror, 'file'));
  expect(await damageIn(mirror)).toEqual(['missing file']);
});

test('where a sync looks at stamps alone, the way out looks at everything, also the second time', async () => {
  const mirror = await twoSnapshots();
  await mirror.publish('third', { stamp: '1' });
  await runForJson(['init', mirror.root, '--probe', 'stamp']);
  for (const id of ['fourth', 'fifth']) {
    rot(inCurrent(mirror, 'big'));
    const { stderr } = await runProgram(['verify', mirror.root, '--bitrot']);
    const [, words = ''] = /: mirrorlatch (sync .* -- --checksum)$/m.exec(stderr) ?? [];
    const [sync = '', root = '', ...more] = words.split(' ');
    expect(root, stderr).toBe(mirror.root);
    await runWell([sync, root, '--id', id, ...more]);
    expect(await verify(mirror, '--bitrot')).toMatchObject({ isWhole: true, trees: [{ id }] });
  }
});

test('status and history say what was found, until another snapshot is looked at', async () => {
  const mirror = await twoSnapshots();
  rot(inCurrent(mirror, 'big'));
  await verify(mirror, '--bitrot');
  // It says less than the one before.
  await verify(mirror);
  expect(mirror.history().slice(-2)).toMatchObject([
    { event: 'verified', id: 'second', content: true, damaged: 1 },
    { event: 'verified', id: 'second', content: false, damaged: 0 },
  ]);
  const status = await runProgram(['status', mirror.root]);
  expect(status.exitCode).toBe(69);
  expect(status.stdout).toMatch(/^why +verify found damage in second$/m);
  expect(status.stdout).toMatch(/^verified 1 entry is damaged, /m);
  const { stdout } = await runProgram(['history', mirror.root]);
  expect(stdout).toMatch(/verified +second: 1 entry is damaged$/m);
});

describe('What was not recorded at publication', () => {
  test('is said, and recorded with --record', async () => {
    const mirror = await twoSnapshots();
    rmSync(mirror.state('sums'), { recursive: true });
    const result = await runProgram(['verify', mirror.root, '--bitrot']);
    expectFailure(result, 69, /mirrorlatch verify --record \S+ second$/m);
    expect(result.stdout).toMatch(/^second unknown: nothing was recorded when it was published$/m);
    await runWell(['verify', mirror.root, '--record']);
    expect(await verify(mirror, '--bitrot')).toMatchObject({
      ...{ exitCode: 0, read: { files: 4 } },
      trees: [{ unknown: 0, isRecordedLate: true }],
    });
    rot(inCurrent(mirror, 'big'));
    expect(await damageIn(mirror, '--bitrot')).toEqual(['content big']);
  });

  test('is all but names, sizes, times and modes of what a command of lock has filled', async () => {
    const mirror = await twoSnapshots();
    const fill = 'cd "$MIRRORLATCH_STAGING" && echo new >made && rm file';
    await runWell(['lock', mirror.root, '--', 'sh', '-c', fill]);
    const before = await verify(mirror, '--bitrot');
    expect(before).toMatchObject({ exitCode: 0, trees: [{ damaged: 0 }] });
    expect(before.trees[0]).toMatchObject({ files: 4, unknown: 4 });
    await verify(mirror, '--record');
    expect(await verify(mirror, '--bitrot')).toMatchObject({ trees: [{ files: 4, unknown: 0 }] });
    rot(inCurrent(mirror, 'made'));
    rot(inCurrent(mirror, 'big'));
    expect(await damageIn(mirror, '--bitrot')).toEqual(['content big', 'content made']);
  });

  test('is recorded of all by the next sync, when something changes', async () => {
    const mirror = await twoSnapshots();
    rmSync(mirror.state('sums'), { recursive: true });
    await mirror.publish('third', { file: 'third' });
    expect(await verify(mirror, '--bitrot')).toMatchObject({ trees: [{ files: 4, unknown: 3 }] });
    rmSync(inCurrent(mirror, 'big'));
    expect(await damageIn(mirror)).toEqual(['missing big']);
  });

  test('is never recorded as right where it is known to be damaged', async () => {
    const mirror = await twoSnapshots();
    rot(inCurrent(mirror, 'big'));
    expect(await damageIn(mirror, '--record')).toEqual(['content big']);
    expect(await damageIn(mirror, '--bitrot')).toEqual(['content big']);
  });
});

test('a damaged record is said to be damaged, and no entry that it is about', async () => {
  const mirror = await twoSnapshots();
  const record = mirror.state('sums', 'first');
  const whole = readFileSync(record);
  // In the header, in the compressed lines, and in their checksum.
  for (const at of [3, 40, whole.length - 60, whole.length - 6]) {
    const damaged = Buffer.from(whole);
    damaged[at] = (damaged[at] ?? 0) ^ 4;
    writeFileSync(record, damaged);
    for (const id of ['first', 'second']) {
      const found = await verify(mirror, id);
      expect(found, `byte ${at}`).toMatchObject({ exitCode: 65, damage: [] });
      expect(found.trees[0]?.recordDamage).toMatch(/sums\/first.* is damaged or missing$/);
    }
  }
  writeFileSync(record, whole.subarray(0, -20));
  const result = await runProgram(['verify', mirror.root]);
  expectFailure(
    result,
    65,
    /to record what second is now: mirrorlatch verify --record \S+ second$/m,
  );
  await runForJson(['verify', mirror.root, 'second', '--record']);
  expect(await verify(mirror, '--bitrot')).toMatchObject({
    isWhole: true,
    trees: [{ unknown: 0 }],
  });
});

test('a snapshot without a record is published, with a warning', async () => {
  const mirror = await twoSnapshots();
  rmSync(mirror.state('sums'), { recursive: true });
  writeFileSync(mirror.state('sums'), 'in the way');
  mirror.change({ file: 'third' });
  const result = await runProgram(['sync', mirror.source, mirror.root, '--id', 'third']);
  expect(result.exitCode, transcript(result)).toBe(0);
  expect(result.stderr).toMatch(/warning: what third is was not recorded/);
});

test('a symlink in the place of the records is left alone, with all that it leads to', async () => {
  const mirror = await twoSnapshots();
  const elsewhere = join(mirror.home, 'elsewhere');
  renameSync(mirror.state('sums'), elsewhere);
  // In its own place, that would be removed as what a crash has left.
  writeFileSync(join(elsewhere, 'first.new'), '');
  symlinkSync(elsewhere, mirror.state('sums'));
  const before = readdirSync(elsewhere).sort();
  await mirror.publish('third', { file: 'third' }, '--keep-last', '1', '--grace', '0');
  expect(readdirSync(elsewhere).sort()).toEqual(before);
});

test('what snapshots were outlives those that were pruned', async () => {
  const mirror = await twoSnapshots();
  for (let number = 1; number <= 12; number += 1) {
    await mirror.publish(`n${number}`, { [`file${number}`]: `${number}` });
    await runForJson(['prune', mirror.root, '--keep-last', '1', '--grace', '0']);
  }
  expect(mirror.snapshots()).toEqual(['n11', 'n12']);
  expect(readdirSync(mirror.state('sums')).length).toBeLessThan(6);
  const { isWhole, trees } = await verify(mirror, '--all', '--bitrot');
  expect(isWhole).toBe(true);
  expect(trees).toMatchObject([
    { files: 15, unknown: 0 },
    { files: 16, unknown: 0 },
  ]);
  rot(inCurrent(mirror, 'big'));
  rot(inCurrent(mirror, 'file3'));
  expect(await damageIn(mirror, '--bitrot')).toEqual(['content big', 'content file3']);
});

test('what an interrupted sync had transferred is whole, too', async () => {
  const mirror = await twoSnapshots();
  mirror.change({ new1: 'n1', new2: 'n2', file: 'third' });
  const path = standInFor(
    'rsync',
    join(mirror.home, 'bin'),
    atTransfer('"$program" "$@"; kill -9 $PPID'),
  );
  await runProgram(['sync', mirror.source, mirror.root], { env: { PATH: path } });
  // The rsyncs of the killed sync may live a moment longer.
  await mirror.publish('third', { new3: 'n3' }, '--wait', '1m');
  const { isWhole, trees } = await verify(mirror, '--bitrot');
  expect(isWhole).toBe(true);
  // Of what the killed sync had transferred nothing is known, but of all else.
  expect(trees).toMatchObject([{ id: 'third', files: 7, unknown: 3 }]);
});

test('what a refused sync had transferred has the checksums of that in the next one', async () => {
  const mirror = await twoSnapshots();
  const sync = ['sync', mirror.root, '--check', 'auto', '--retries', '0'];
  for (const word of ['third', 'fourth']) {
    const cutOff = { ...summedFiles(word), 'images/a.iso': 'cut off' };
    mirror.change({ ...cutOff, [word]: word });
    expectFailure(await runProgram(sync), 65, /images\/a\.iso: sha256/);
    mirror.change({ ...cutOff, [`${word} too`]: word });
    expectFailure(await runProgram(sync), 65, /images\/a\.iso: sha256/);
    mirror.change(summedFiles(word));
    await runWell([...sync, '--id', word]);
    const { isWhole, trees } = await verify(mirror, '--bitrot');
    expect({ isWhole, trees }).toMatchObject({ isWhole: true, trees: [{ id: word, unknown: 0 }] });
  }
  rot(inCurrent(mirror, 'third too'));
  rot(inCurrent(mirror, 'images/b.iso'));
  expect(await damageIn(mirror, '--bitrot')).toEqual(['content images/b.iso', 'content third too']);
});

describe('In place', () => {
  const inPlace = async () => {
    const mirror = smallMirror();
    await runForJson(['init', mirror.root, '--in-place']);
    await mirror.sync();
    return inPlaceMirror(mirror);
  };

  test('what was lost, and is gone from the source, too, is missed no longer', async () => {
    const mirror = await inPlace();
    rmSync(mirror.tree('file'));
    mirror.change({ file: null });
    expect(await damageIn(mirror)).toEqual(['missing file']);
    await mirror.sync('--allow-shrink');
    expect(await damageIn(mirror)).toEqual([]);
    rmSync(mirror.tree('below'), { recursive: true });
    mirror.change({ below: null, new: 'new' });
    expect(await damageIn(mirror)).toEqual(['missing below', 'missing below/file']);
    await mirror.sync('--allow-shrink');
    expect(await damageIn(mirror)).toEqual([]);
  });

  test('the tree is compared with what the last sync has left', async () => {
    const mirror = await inPlace();
    expect(await verify(mirror, '--bitrot')).toMatchObject({
      ...{ exitCode: 0, read: { files: 2 } },
      trees: [{ id: 'live', unknown: 0 }],
    });
    mirror.change({ file: 'other content', 'below/file': null, new: 'new' });
    await mirror.sync('--allow-shrink');
    expect(await verify(mirror, '--bitrot')).toMatchObject({
      ...{ exitCode: 0 },
      trees: [{ id: 'live', files: 2, unknown: 0 }],
    });
    rot(mirror.tree('new'));
    rmSync(mirror.tree('file'));
    expect(await damageIn(mirror, '--bitrot')).toEqual(['content new', 'missing file']);
    await mirror.sync('--', '--checksum');
    expect(await damageIn(mirror, '--bitrot')).toEqual([]);
  });

  test('what a sync refused and the next one brought keeps its checksums, and so does all else', async () => {
    const mirror = await inPlace();
    const sync = ['sync', mirror.root, '--check', 'auto', '--retries', '0'];
    expect((await runProgram(sync)).exitCode).toBe(0);
    mirror.change({ ...summedFiles('second'), 'images/a.iso': 'cut off', received: 'then' });
    expectFailure(await runProgram(sync), 65, /images\/a\.iso: sha256/);
    mirror.change(summedFiles('second'));
    expect((await runProgram(sync)).exitCode).toBe(0);
    expect(await verify(mirror, '--bitrot')).toMatchObject({
      ...{ isWhole: true, read: { files: 6 } },
      trees: [{ id: 'live', files: 6, unknown: 0 }],
    });
    // Nobody knows who has written to a file meanwhile, and what.
    mirror.change({ ...summedFiles('third'), 'images/a.iso': 'cut off' });
    expectFailure(await runProgram(sync), 65, /images\/a\.iso: sha256/);
    rot(mirror.tree('received'));
    mirror.change(summedFiles('third'));
    expect((await runProgram(sync)).exitCode).toBe(0);
    expect(await verify(mirror, '--bitrot')).toMatchObject({
      ...{ isWhole: true, read: { files: 5 } },
      trees: [{ id: 'live', files: 6, unknown: 1 }],
    });
  });

  test('a tree whose gate is closed is not looked at', async () => {
    const mirror = await inPlace();
    await runWell(['gate', 'close', mirror.root]);
    expectFailure(await runProgram(['verify', mirror.root]), 75);
  });
});

test('a snapshot that is not there is not verified', async () => {
  const mirror = await twoSnapshots();
  expectFailure(
    await runProgram(['verify', mirror.root, 'third']),
    66,
    /no snapshot named "third"/,
  );
  expectFailure(await runProgram(['verify', mirror.root, 'first', '--all']), 64);
});

test.runIf(runsAsRoot)('another user is told who may verify', async () => {
  const mirror = await twoSnapshots();
  const result = await runProgram(['verify', mirror.root], { user: nobody });
  expectFailure(result, 77);
});

test('a mirror that is being written to is verified, and its history is left alone', async () => {
  const mirror = await twoSnapshots();
  const check = ['sh', '-c', 'mirrorlatch verify "$MIRRORLATCH_ROOT" --bitrot && false'];
  const result = await runProgram(['lock', mirror.root, '--', ...check], {
    env: { PATH: `${join(import.meta.dirname, '../../dist')}:${process.env['PATH']}` },
  });
  expect(result.stdout, transcript(result)).toMatch(/^second whole: /m);
  expect(result.stderr).toMatch(/the result is not in the history: /);
});

/** The ways to make a snapshot, each of which records it in another way. */
const WAYS = [[], [], ['--clone', 'copy'], ['--strategy', 'link-dest'], ['--', '-H']] as const;

test('a tree that nobody has touched is whole however it was made, and random damage is named', {
  timeout: byScale({ sample: 120_000, all: HOUR_MS }),
}, async () => {
  const dice = diceOf('verify');
  const mirror = smallMirror();
  const work = fileWork(mirror.source);
  for (let count = 0; count < 60; count += 1) changeAtRandom(work, dice);
  for (let number = 1; number <= byScale({ sample: 8, all: 300 }); number += 1) {
    for (let count = dice.whole(1, 8); count > 0; count -= 1) changeAtRandom(work, dice);
    const way = dice.pick(WAYS);
    await mirror.sync('--id', `n${number}`, '--allow-shrink', ...way);
    await runForJson(['prune', mirror.root, '--keep-last', '2', '--grace', '0']);
    const found = await verify(mirror, '--all', '--bitrot');
    expect(found.damage, `n${number} by ${way}`).toEqual([]);
    expect(found.trees.map(({ recordedAt }) => recordedAt)).not.toContain(null);
  }
  await mirror.publish('last', { last: '' });
  await runForJson(['verify', mirror.root, '--record']);
  const damaged = damageAtRandom(fileWork(join(mirror.root, 'snapshots/last')), dice);
  const { damage } = await verify(mirror, '--bitrot');
  const named = damage.map(({ name, nameBytes }) =>
    nameBytes === undefined
      ? Buffer.from(name).toString('latin1')
      : Buffer.from(nameBytes, 'hex').toString('latin1'),
  );
  expect(named.sort()).toEqual([...damaged].sort());
});

/** Damages some files of a tree, also where others share them. @returns all their names in it. */
function damageAtRandom({ root }: FileWork, dice: ReturnType<typeof diceOf>): Set<BytePath> {
  const files = execaSync('find', [root, '-type', 'f', '-printf', '%s %P\\0'], {
    encoding: 'latin1',
  })
    .stdout.split('\0')
    .filter((line) => /^[1-9]/.test(line))
    .map((line) => line.slice(line.indexOf(' ') + 1));
  const damaged = new Set<BytePath>();
  for (let count = 0; count < 5; count += 1) {
    const name = dice.pick(files);
    if (damaged.has(name)) continue;
    rot(below(root, name), 0);
    const { ino } = lstatSync(below(root, name));
    for (const other of files) if (lstatSync(below(root, other)).ino === ino) damaged.add(other);
  }
  return damaged;
}
