import {
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { promote } from '../../src/operations/promote.ts';
import { prune } from '../../src/operations/prune.ts';
import { status } from '../../src/operations/status.ts';
import { pin } from '../../src/reader/pin.ts';
import { makeTripwire, pointText } from '../stress/tripwire.ts';
import { expectFailure } from '../support/expect-failure.ts';
import { mirrorsInPlace } from '../support/in-place-mirror.ts';
import { runForJson, runProgram, transcript } from '../support/program.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { mirrorsWith, type SmallMirror } from '../support/small-mirror.ts';

const inPlace = mirrorsInPlace();
const threeSnapshots = mirrorsWith('first', 'second', 'third');

/** The id that a channel names; undefined if it does not exist. */
function named({ root }: SmallMirror, channel: string): string | undefined {
  const link = join(root, channel);
  if (lstatSync(link, { throwIfNoEntry: false }) === undefined) return undefined;
  return readlinkSync(link).replace(/^snapshots\//, '');
}

const announced = ({ root }: SmallMirror, channel: string): Record<string, unknown> | undefined => {
  const file = join(root, `${channel}.json`);
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined;
};

const KEEP_NOTHING = ['--keep-last', '1', '--keep-within', '0', '--grace', '0'];

async function channelFor(mirror: SmallMirror, ...ids: string[]): Promise<void> {
  for (const id of ids) await promote({ root: mirror.root, id, to: 'production' });
}

describe('promote', () => {
  test('makes a channel that names what is current, and moves it to the given snapshot', async () => {
    const mirror = await threeSnapshots();
    const made = await runProgram(['promote', mirror.root, '--to', 'testing']);
    expect(made.stdout, transcript(made)).toBe('testing is now third; it is new\n');
    expect(readFileSync(join(mirror.root, 'testing', 'file'), 'utf8')).toBe('third');
    expect(readlinkSync(join(mirror.root, 'testing'))).toBe('snapshots/third');
    const moved = ['promote', mirror.root, 'first', '--to', 'testing'];
    expect(await runForJson(moved)).toEqual({
      channel: 'testing',
      id: 'first',
      previous: 'third',
      hold: null,
      rule: null,
    });
    expect(mirror.linked('current')).toBe('third');
    expect(mirror.history().slice(-2)).toMatchObject([
      { event: 'promoted', channel: 'testing', id: 'third', previous: null, by: 'promote' },
      { event: 'promoted', channel: 'testing', id: 'first', previous: 'third', by: 'promote' },
    ]);
  });

  test('takes previous, another channel, and a path that a shell completes, too', async () => {
    const mirror = await threeSnapshots();
    const to = async (id: string, channel: string) => {
      await runForJson(['promote', mirror.root, id, '--to', channel]);
      return named(mirror, channel);
    };
    expect(await to('previous', 'testing')).toBe('second');
    expect(await to('testing', 'production')).toBe('second');
    expect(await to(`${join(mirror.root, 'snapshots', 'first')}/`, 'production')).toBe('first');
    expect(await to('current', 'production')).toBe('third');
  });

  test('announces each channel to readers by HTTP, and takes that away with the channel', async () => {
    const mirror = await threeSnapshots();
    await channelFor(mirror, 'first', 'second');
    expect(announced(mirror, 'production')).toMatchObject({
      id: 'second',
      path: 'snapshots/second/',
      previous: 'first',
    });
    await runForJson(['promote', mirror.root, '--to', 'production', '--remove']);
    expect(named(mirror, 'production')).toBeUndefined();
    expect(announced(mirror, 'production')).toBeUndefined();
    expect(mirror.history().at(-1)).toMatchObject({
      event: 'channel-removed',
      channel: 'production',
      previous: 'second',
    });
  });

  test('leaves alone what has the name of a channel and is none', async () => {
    const mirror = await threeSnapshots();
    const { root } = mirror;
    writeFileSync(join(root, 'notes'), 'mine');
    mkdirSync(join(root, 'pool'));
    symlinkSync('snapshots/first/below', join(root, 'deep'));
    symlinkSync('current', join(root, 'stable'));
    writeFileSync(join(root, 'production.json'), 'mine');
    for (const name of ['notes', 'pool', 'deep', 'stable']) {
      const refused = await runProgram(['promote', root, '--to', name]);
      expectFailure(refused, 78, new RegExp(`${root}/${name} is no channel`), /mv -T /);
    }
    expect(readlinkSync(join(root, 'stable'))).toBe('current');
    const warned = await runProgram(['promote', root, '--to', 'production']);
    expect(warned.exitCode, transcript(warned)).toBe(0);
    expect(readFileSync(join(root, 'production.json'), 'utf8')).toBe('mine');
    const later = await runProgram(['prune', root]);
    expect(later.stderr).toMatch(/production\.json was not made by mirrorlatch/);
  });

  test('refuses names that have another meaning, or would need quoting', async () => {
    const { root } = await threeSnapshots();
    const taken = ['current', 'previous', 'snapshots', 'gate', 'live', 'latest', 'current.json'];
    for (const name of [...taken, 'x.json', 'A', '.x', 'a/b', '']) {
      await expect(promote({ root, to: name }), name).rejects.toMatchObject({
        code: 'USAGE',
        message: `${JSON.stringify(name)} cannot name a channel`,
      });
    }
  });

  test('names what there is when the snapshot or the channel does not exist', async () => {
    const mirror = await threeSnapshots();
    await channelFor(mirror, 'first');
    const { root } = mirror;
    const promoted = await runProgram(['promote', root, 'fourth', '--to', 'production']);
    expectFailure(promoted, 64, /has no snapshot "fourth"/, /mirrorlatch list/);
    const removed = await runProgram(['promote', root, '--to', 'testing', '--remove']);
    expectFailure(removed, 66, /has no channel "testing"/, /It has production/);
    expect(named(mirror, 'production')).toBe('first');
  });

  test('refuses a tree that a person put beside the snapshots', async () => {
    const { root } = await threeSnapshots();
    mkdirSync(join(root, 'snapshots', 'mine'));
    const refused = await runProgram(['promote', root, 'mine', '--to', 'production']);
    expectFailure(refused, 64, /mine was not made by mirrorlatch/, /rollback /);
  });

  test('says that a mirror in place has no snapshots', async () => {
    const mirror = await inPlace();
    const refused = await runProgram(['promote', mirror.root, '--to', 'production']);
    expectFailure(refused, 64, /is written in place: it has no snapshots/);
  });
});

describe('rollback --channel', () => {
  test('goes back to what the channel named before, and a second one further back', async () => {
    const mirror = await threeSnapshots();
    await channelFor(mirror, 'first', 'second', 'third');
    const back = () => runProgram(['rollback', mirror.root, '--channel', 'production']);
    expect((await back()).stdout).toBe('production is now second; it was third\n');
    expect((await back()).stdout).toBe('production is now first; it was second\n');
    expectFailure(await back(), 64, /has named no other snapshot that is still there/);
    expect(mirror.linked('current')).toBe('third');
    await channelFor(mirror, 'third');
    expect((await back()).stdout).toBe('production is now first; it was third\n');
  });

  test('goes to the given snapshot, and past those that are gone', async () => {
    const mirror = await threeSnapshots();
    await channelFor(mirror, 'first', 'second', 'third');
    const back = ['rollback', mirror.root, '--channel', 'production'];
    await runForJson([...back, 'second']);
    expect(named(mirror, 'production')).toBe('second');
    await channelFor(mirror, 'third');
    await runForJson(['promote', mirror.root, 'second', '--to', 'testing']);
    await runForJson(['promote', mirror.root, '--to', 'testing', '--remove']);
    await mirror.publish('fourth', { file: 'fourth' });
    const pruned = await runForJson(['prune', mirror.root, ...KEEP_NOTHING]);
    expect(pruned).toMatchObject({ removed: ['first', 'second'] });
    await channelFor(mirror, 'fourth');
    expect(await runForJson(back)).toMatchObject({ id: 'third', previous: 'fourth' });
  });

  test('names the channels that there are', async () => {
    const mirror = await threeSnapshots();
    const back = ['rollback', mirror.root, '--channel', 'production'];
    expectFailure(
      await runProgram(back),
      66,
      /has no channel "production"/,
      /promote .* --to CHAN/,
    );
  });
});

describe('prune', () => {
  test('keeps what a channel names, and says so', async () => {
    const mirror = await threeSnapshots();
    await channelFor(mirror, 'first');
    await mirror.publish('fourth', { file: 'fourth' });
    const result = await runForJson(['prune', mirror.root, ...KEEP_NOTHING]);
    expect(result).toMatchObject({
      removed: ['second'],
      kept: expect.arrayContaining([{ id: 'first', reasons: ['is production'], readers: [] }]),
    });
  });

  test('I5: keeps what a channel has named within the grace time', async () => {
    const mirror = await threeSnapshots();
    await channelFor(mirror, 'first', 'third');
    await mirror.publish('fourth', { file: 'fourth' }, '--no-prune');
    await runForJson(['promote', mirror.root, 'second', '--to', 'testing']);
    await runForJson(['promote', mirror.root, '--to', 'testing', '--remove']);
    await runForJson(['promote', mirror.root, '--to', 'production']);
    // As if all but the moves of the channels were long ago.
    const old = mirror.history().map((entry) => {
      const isMove = ['promoted', 'channel-removed'].includes(String(entry['event']));
      return isMove ? entry : { ...entry, at: '2020-01-01T00:00:00.000Z' };
    });
    const order = [...old].sort((a, b) => String(a['at']).localeCompare(String(b['at'])));
    writeFileSync(
      mirror.state('history.jsonl'),
      `${order.map((entry) => JSON.stringify(entry)).join('\n')}\n`,
    );
    const prune = ['prune', mirror.root, '--keep-last', '1', '--dry-run', '--grace'];
    const grace = { reasons: ['is within its grace time'] };
    expect(await runForJson([...prune, '1d'])).toMatchObject({
      removed: [],
      kept: expect.arrayContaining([
        expect.objectContaining({ id: 'first', ...grace }),
        expect.objectContaining({ id: 'second', ...grace }),
      ]),
    });
    expect(await runForJson([...prune, '0'])).toMatchObject({ removed: ['first', 'second'] });
  });

  test('keeps what a channel names when history is lost, and the channel goes on', async () => {
    const mirror = await threeSnapshots();
    await channelFor(mirror, 'first');
    rmSync(mirror.state('history.jsonl'));
    const result = await runForJson(['prune', mirror.root, ...KEEP_NOTHING]);
    expect(result).toMatchObject({ removed: [] });
    expect(mirror.history()).toContainEqual(
      expect.objectContaining({ event: 'promoted', channel: 'production', by: 'recovery' }),
    );
    await channelFor(mirror, 'second');
    expect(named(mirror, 'production')).toBe('second');
  });
});

test('current --channel and pin() resolve the channel, and name those there are', async () => {
  const mirror = await threeSnapshots();
  await channelFor(mirror, 'first', 'second');
  const found = await runForJson(['current', mirror.root, '--channel', 'production']);
  expect(found).toMatchObject({ id: 'second', previous: 'first', managed: true });
  const held = await pin({ root: mirror.root, channel: 'production' });
  expect(held.id).toBe('second');
  held.release();
  const wrong = await runProgram(['current', mirror.root, '--channel', 'staging']);
  expectFailure(wrong, 66, /has no channel "staging"/, /It has production/);
  await expect(pin({ root: mirror.root, channel: 'staging' })).rejects.toMatchObject({
    code: 'NO_MIRROR',
  });
});

describe('list and status', () => {
  test('name the channels of each snapshot', async () => {
    const mirror = await threeSnapshots();
    await channelFor(mirror, 'first');
    const list = await runProgram(['list', mirror.root]);
    expect(list.stdout).toMatch(/^first +production /m);
    const status = await runProgram(['status', mirror.root]);
    expect(status.stdout, transcript(status)).toMatch(/^channel +production is first, moved /m);
    expect(await runForJson(['status', mirror.root])).toMatchObject({
      channels: [{ name: 'production', id: 'first', isWhole: true, rule: null, hold: null }],
      snapshots: [{ id: 'first', channels: ['production'] }, {}, {}],
    });
  });

  test('a channel whose snapshot is gone is named by status, with the way out', async () => {
    const mirror = await threeSnapshots();
    await channelFor(mirror, 'first');
    rmSync(join(mirror.root, 'snapshots', 'first'), { recursive: true });
    const status = await runProgram(['status', mirror.root]);
    expect(status.exitCode, transcript(status)).toBe(69);
    expect(status.stdout).toMatch(
      /the channel production names snapshot first, which is gone; Move it .* promote .* --to production/,
    );
    await runForJson(['promote', mirror.root, '--to', 'production']);
    expect((await runProgram(['status', mirror.root])).exitCode).toBe(0);
  });

  test('a channel that a person has removed is recorded by the next command', async () => {
    const mirror = await threeSnapshots();
    await channelFor(mirror, 'first');
    rmSync(join(mirror.root, 'production'));
    const status = await runProgram(['status', mirror.root]);
    expect(status.stdout).toMatch(/the channel production, which named snapshot first, is gone/);
    await runForJson(['prune', mirror.root]);
    expect(mirror.history().at(-1)).toMatchObject({ event: 'channel-removed' });
    expect(announced(mirror, 'production')).toBeUndefined();
    expect((await runProgram(['status', mirror.root])).exitCode).toBe(0);
  });
});

describe.each([
  ['moved', ['second', '--to', 'production'], ['first', 'second']],
  ['removed', ['--to', 'production', '--remove'], ['first', undefined]],
])('I3, I9: wherever a command is killed by which a channel is %s,', (_, words, states) => {
  test('the channel is as before or after, and the next command finishes that', {
    timeout: 180_000,
  }, async () => {
    const tripwire = makeTripwire(scratchDirectory());
    const promote = ({ root }: SmallMirror) => ['promote', root, ...words, '--json'];
    const whole = await threeSnapshots();
    await channelFor(whole, 'first');
    const points = await tripwire.points(promote(whole));
    const near = points.filter(({ path }) => /production|history|\/link/.test(path));
    expect(near.length).toBeGreaterThan(4);
    const seen = new Set<string | undefined>();
    for (const at of near) {
      const mirror = await threeSnapshots();
      await channelFor(mirror, 'first');
      const run = await tripwire.start(promote(mirror), { at }).result;
      expect(run.reached, pointText(at)).toBe(true);
      const left = named(mirror, 'production');
      seen.add(left);
      expect(states, pointText(at)).toContain(left);
      const { removed } = await prune({
        root: mirror.root,
        retention: { keepLast: 1, keepWithinMs: 0, graceMs: 0 },
      });
      expect(named(mirror, 'production'), pointText(at)).toBe(left);
      expect(removed, pointText(at)).not.toContain(left);
      expect(announced(mirror, 'production')?.['id'], pointText(at)).toBe(left);
      const last = mirror.history().findLast(({ channel }) => channel === 'production');
      expect(last?.['event'] === 'promoted' ? last['id'] : undefined, pointText(at)).toBe(left);
      expect(status(mirror.root).problems, pointText(at)).toEqual([]);
    }
    expect([...seen]).toEqual(states);
  });
});
