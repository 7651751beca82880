import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { type OperationEvent, pin, rollback, sync } from '../../src/index.ts';
import { diceOf } from '../stress/dice.ts';
import { byScale, HOUR_MS } from '../stress/scale.ts';
import { expectFailure } from '../support/expect-failure.ts';
import { fileWork } from '../support/file-work.ts';
import { nobody } from '../support/privilege.ts';
import { nobodyRunsTheProgram, runForJson, runProgram, transcript } from '../support/program.ts';
import { changeAtRandom, describeClone } from '../support/random-tree.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { type SmallMirror, smallMirror } from '../support/small-mirror.ts';
import { standInFor } from '../support/stand-in.ts';
import { describeTree, difference } from '../support/tree.ts';

const policy = { retention: { keepLast: 1, graceMs: 0 }, shrink: { maxPercent: 100 } };

test.each([
  { what: 'does', rsyncOptions: [] },
  { what: 'does with hard links', rsyncOptions: ['--hard-links'] },
])(
  'I2: whatever the source $what, what comes of a recycled tree is its content, what stays is shared, and no published inode is touched',
  {
    timeout: byScale({ sample: 120_000, all: HOUR_MS }),
  },
  async ({ rsyncOptions }) => {
    const dice = diceOf('recycle');
    const place = scratchDirectory();
    const [source, root] = [join(place, 'source'), join(place, 'mirror')];
    mkdirSync(source);
    const work = fileWork(source);
    for (let count = 0; count < 60; count += 1) changeAtRandom(work, dice);
    const published = new Map<string, Map<string, string>>();
    // The stamp saves the second look, which would mend what is wrong.
    const options = { rsyncOptions, probe: { paths: ['always changes'] }, ...policy };
    let recycled = 0;
    const generations = byScale({ sample: 10, all: 500 });
    for (let generation = 0; generation < generations; generation += 1) {
      work.write('always changes', `generation ${generation}`);
      const before = generation > 0 ? describeEach(join(root, 'current/.')) : new Map();
      const result = await sync({ source, root, id: `g${generation}`, ...options });
      const where = `in generation ${generation}`;
      expect(result.outcome, where).toBe('published');
      if (result.outcome === 'published' && result.clone === 'recycle') recycled += 1;
      const current = join(root, 'snapshots', result.id);
      const how = { hardLinks: rsyncOptions.length > 0 };
      const wrong = difference(describeTree(source, how), describeTree(current, how));
      expect(wrong, where).toEqual([]);
      const after = describeEach(current);
      published.set(result.id, after);
      for (const id of readdirSync(join(root, 'snapshots')))
        expect(describeEach(join(root, 'snapshots', id)), `${id} ${where}`).toEqual(
          published.get(id),
        );
      if (rsyncOptions.length === 0) expect(copiesIn(before, after), where).toEqual([]);
      if (dice.whole(1, 10) === 1) await rollback({ root });
      for (let count = dice.whole(1, 8); count > 0; count -= 1) changeAtRandom(work, dice);
    }
    expect(recycled).toBeGreaterThan(generations / 3);
  },
);

/** What two trees have in common, but do not share. */
function copiesIn(one: ReadonlyMap<string, string>, other: ReadonlyMap<string, string>): string[] {
  const factsOf = (described: string) => described.slice(described.indexOf('{'));
  return [...other]
    .filter(([name, described]) => {
      const before = one.get(name);
      return before !== undefined && before !== described && factsOf(before) === factsOf(described);
    })
    .map(([name]) => name);
}

/** All that must never change of a published tree, by name. */
function describeEach(tree: string): Map<string, string> {
  const inodes = describeClone(tree);
  return new Map(
    [...describeTree(tree)].map(([name, facts]) => [
      name,
      `${inodes.get(name)} ${JSON.stringify(facts)}`,
    ]),
  );
}

test.skipIf(!nobodyRunsTheProgram)(
  'an ordinary user recycles too, whatever modes the directories have',
  { timeout: byScale({ sample: 120_000, all: HOUR_MS }) },
  async () => {
    const dice = diceOf('recycle as nobody');
    const place = scratchDirectory();
    const [source, root] = [join(place, 'source'), join(place, 'mirror')];
    for (const path of [source, root]) mkdirSync(path);
    const work = fileWork(source);
    const own = (path: string) => execFileSync('chown', ['-hR', '65534:65534', '--', path]);
    for (let count = 0; count < 60; count += 1) changeAtRandom(work, dice);
    own(place);
    const made: unknown[] = [];
    const rules = ['--keep-last', '1', '--grace', '0s', '--max-shrink', '100'];
    // The stamp saves the second look, which would mend what is wrong.
    const options = [...rules, '--probe', 'always changes'];
    for (let generation = 0; generation < 7; generation += 1) {
      work.write('always changes', `generation ${generation}`);
      own(source);
      const words = ['sync', source, root, '--id', `g${generation}`, ...options];
      made.push((await runForJson(words, { user: nobody }))['clone']);
      const current = describeTree(join(root, 'current/.'));
      expect(difference(describeTree(source), current)).toEqual([]);
      for (let count = dice.whole(1, 8); count > 0; count -= 1) changeAtRandom(work, dice);
    }
    expect(made.slice(3)).toEqual(['recycle', 'recycle', 'recycle', 'recycle']);
  },
);

const KEEP_ONE = ['--keep-last', '1', '--grace', '0s'];
const ALL_MAY_GO = ['--max-shrink', '100'];

/** A mirror that has just pruned its first snapshot, and keeps that for the next sync to recycle. */
const withSpare = async (content: Record<string, string> = {}): Promise<SmallMirror> => {
  const mirror = smallMirror();
  mirror.change(content);
  for (const id of ['first', 'second', 'third'])
    await mirror.publish(id, { file: id }, ...KEEP_ONE);
  return mirror;
};

/** The tree, and what is said of it. */
const stateOfSpare = ({ state }: SmallMirror) => ({
  mark: readFileSync(state('staging/.spare.mark'), 'utf8'),
  tree: [...describeEach(state('staging/.spare'))],
});

const hasSpare = (mirror: SmallMirror) => existsSync(mirror.state('staging/.spare'));

describe('A sync', () => {
  test('recycles what was pruned into its clone, and says so', async () => {
    const mirror = await withSpare();
    expect(mirror.snapshots()).toEqual(['second', 'third']);
    mirror.change({ file: 'fourth' });
    expect(await mirror.sync('--id', 'fourth', ...KEEP_ONE)).toMatchObject({
      clone: 'recycle',
      pruned: { removed: ['second'] },
    });
    const events = mirror.history().map(({ event, id, clone }) => [event, id, clone]);
    expect(events.slice(-2)).toEqual([
      ['published', 'fourth', 'recycle'],
      ['pruned', 'second', undefined],
    ]);
    expect(readFileSync(join(mirror.root, 'current/file'), 'utf8')).toBe('fourth');
    expect(readFileSync(join(mirror.root, 'previous/file'), 'utf8')).toBe('third');
  });

  test('that finds nothing new brings it up for the next, once', async () => {
    const mirror = await withSpare();
    const mark = () => readFileSync(mirror.state('staging/.spare.mark'), 'utf8');
    expect(mark()).toMatch(/^first /);
    expect(await mirror.sync()).toMatchObject({ outcome: 'unchanged' });
    expect(mark()).toMatch(/^third /);
    const [spare, current] = [mirror.state('staging/.spare'), join(mirror.root, 'current/.')];
    expect([...describeClone(spare)]).toEqual([...describeClone(current)]);
    const before = mark();
    expect(await mirror.sync()).toMatchObject({ outcome: 'unchanged' });
    expect(mark()).toBe(before);
    mirror.change({ file: 'fourth' });
    expect(await mirror.sync()).toMatchObject({ outcome: 'published', clone: 'recycle' });
    expect(difference(describeTree(mirror.source), describeTree(current))).toEqual([]);
  });

  test('that comes to nothing leaves nothing half recycled', async () => {
    const mirror = await withSpare();
    mirror.change({ file: null, 'below/file': null });
    expectFailure(await runProgram(['sync', mirror.root]), 65, /the source has/);
    const [spare, base] = [mirror.state('staging/.spare'), join(mirror.root, 'current/.')];
    expect([...describeClone(spare)]).toEqual([...describeClone(base)]);
    mirror.change({ file: 'fourth', 'below/file': 'content below' });
    expect(await mirror.sync()).toMatchObject({ outcome: 'published', clone: 'recycle' });
    const current = describeTree(join(mirror.root, 'current/.'));
    expect(difference(describeTree(mirror.source), current)).toEqual([]);
  });

  test('whose source fails leaves it for the next', async () => {
    const mirror = await withSpare();
    renameSync(mirror.source, `${mirror.source}.away`);
    expect((await runProgram(['sync', mirror.root])).exitCode).not.toBe(0);
    renameSync(`${mirror.source}.away`, mirror.source);
    mirror.change({ file: 'fourth' });
    expect(await mirror.sync()).toMatchObject({ outcome: 'published', clone: 'recycle' });
  });

  test('recycles for what is current after a rollback, too', async () => {
    const mirror = await withSpare();
    await runForJson(['rollback', mirror.root]);
    mirror.change({ file: 'fourth' });
    expect(await mirror.sync('--probe', 'file')).toMatchObject({ clone: 'recycle' });
    const current = describeTree(join(mirror.root, 'current/.'));
    expect(difference(describeTree(mirror.source), current)).toEqual([]);
  });

  test.each([
    {
      what: 'another tree has its name',
      change: (mirror: SmallMirror) => {
        rmSync(mirror.state('staging/.spare'), { recursive: true });
        mkdirSync(mirror.state('staging/.spare'));
      },
    },
    {
      what: 'its mark was lost',
      change: (mirror: SmallMirror) => rmSync(mirror.state('staging/.spare.mark')),
    },
    {
      what: 'the record of a publication is missing',
      change: (mirror: SmallMirror) => rmSync(mirror.state('changes/third')),
    },
    {
      what: 'such a record is torn',
      change: (mirror: SmallMirror) => {
        const path = mirror.state('changes/third');
        truncateSync(path, statSync(path).size - 1);
      },
    },
  ])('discards what was kept if $what, and clones', async ({ change }) => {
    const mirror = await withSpare();
    change(mirror);
    mirror.change({ file: 'fourth' });
    expect(await mirror.sync('--no-prune')).toMatchObject({ clone: 'hardlink' });
    expect(hasSpare(mirror)).toBe(false);
    expect(readdirSync(mirror.state('trash'))).toEqual([]);
    expect(readFileSync(join(mirror.root, 'current/file'), 'utf8')).toBe('fourth');
  });

  test('keeps nothing to recycle when a rollback has left no way to what is current', async () => {
    const mirror = await withSpare();
    mirror.change({ file: 'fourth' });
    await mirror.sync('--no-prune');
    await runForJson(['rollback', mirror.root, 'second']);
    expect(hasSpare(mirror)).toBe(false);
  });

  test('makes its clone itself if it is told how, or not by hard links', async () => {
    const mirror = await withSpare();
    mirror.change({ file: 'fourth' });
    expect(await mirror.sync('--clone', 'copy', ...KEEP_ONE)).toMatchObject({ clone: 'copy' });
    expect(hasSpare(mirror)).toBe(false);
  });
});

test.each([
  { what: 'removed', change: (tree: string) => rmSync(join(tree, 'below/file')) },
  { what: 'removed deep below', change: (tree: string) => rmSync(join(tree, 'a/b/c/file')) },
  { what: 'added at the top', change: (tree: string) => writeFileSync(join(tree, 'new'), '') },
])('I16: what somebody has $what in an old snapshot is in no later one', async ({ change }) => {
  const mirror = await withSpare({ 'a/b/c/file': 'deep' });
  change(join(mirror.root, 'snapshots/second'));
  mirror.change({ file: 'fourth' });
  await mirror.sync(...KEEP_ONE);
  mirror.change({ file: 'fifth' });
  // The stamp saves the second look, which would see the difference.
  const { stderr } = await runProgram(['sync', mirror.root, '--probe', 'file']);
  expect(stderr).toContain('the kept tree of second is not recycled: somebody has changed it');
  expect(mirror.history().findLast(({ event }) => event === 'published')).toMatchObject({
    clone: 'hardlink',
  });
  const current = describeTree(join(mirror.root, 'current/.'));
  expect(difference(describeTree(mirror.source), current)).toEqual([]);
});

test.each([
  {
    what: 'removed, while the source lost a part',
    change: ({ root, source }: SmallMirror) => {
      rmSync(join(root, 'current/below'), { recursive: true });
      rmSync(join(source, 'below/file'));
    },
  },
  {
    what: 'replaced by the new version of the source',
    change: ({ root, source, change }: SmallMirror) => {
      change({ 'below/file': 'new version' });
      execFileSync('cp', [
        ...['-a', '--remove-destination', '--'],
        ...[join(source, 'below/file'), join(root, 'current/below')],
      ]);
    },
  },
  {
    what: 'added at the top like the source',
    change: ({ root, source, change }: SmallMirror) => {
      change({ new: 'content' });
      execFileSync('cp', ['-a', '--', join(source, 'new'), join(root, 'current/.')]);
    },
  },
])(
  'I16: what somebody has $what in what is current leads to no other tree than the source',
  async ({ change }) => {
    const mirror = await withSpare();
    change(mirror);
    mirror.change({ file: 'fourth' });
    // The stamp saves the second look, which would see the difference.
    const { stderr } = await runProgram(['sync', mirror.root, '--probe', 'file', ...ALL_MAY_GO]);
    expect(stderr).toContain('the kept tree of first is not recycled: somebody has changed third');
    const current = describeTree(join(mirror.root, 'current/.'));
    expect(difference(describeTree(mirror.source), current)).toEqual([]);
  },
);

test('I16: what somebody has put into what was current misleads no later sync', async () => {
  const mirror = smallMirror();
  await mirror.publish('first', { file: 'first' });
  await mirror.publish('second', { file: 'second' });
  mirror.change({ 'below/file': 'new version' });
  execFileSync('cp', [
    ...['-a', '--remove-destination', '--'],
    ...[join(mirror.source, 'below/file'), join(mirror.root, 'current/below')],
  ]);
  // The plan sees no difference in it.
  await mirror.publish('third', { file: 'third' }, ...KEEP_ONE);
  mirror.change({ file: 'fourth' });
  // The stamp saves the second look, which would see the difference.
  await mirror.sync('--probe', 'file');
  const current = describeTree(join(mirror.root, 'current/.'));
  expect(difference(describeTree(mirror.source), current)).toEqual([]);
});

describe('I4: a sync that loses its lock', () => {
  /** Another host takes the lock over (see `SyncLock`) when the sync tells of an event. */
  const syncUntil = async (
    { root, home, state }: SmallMirror,
    isMoment: (event: OperationEvent) => boolean,
  ) => {
    const taken = join(home, 'taken');
    const onEvent = (event: OperationEvent) => {
      if (existsSync(taken) || !isMoment(event)) return;
      mkdirSync(taken);
      for (const name of readdirSync(state('sync.lock')))
        renameSync(join(state('sync.lock'), name), join(taken, name));
    };
    const ended = await sync({ root, onEvent }).then(
      ({ outcome }) => outcome,
      ({ code }) => code,
    );
    expect(readdirSync(taken)).not.toEqual([]);
    return ended;
  };
  const isPhase = (phase: string) => (event: OperationEvent) =>
    event.kind === 'phase' && event.phase === phase;

  test('before it plans leaves what was kept where it is', async () => {
    const mirror = await withSpare();
    mirror.change({ file: 'fourth' });
    const before = stateOfSpare(mirror);
    expect(await syncUntil(mirror, isPhase('planning'))).toBe('LOCK_LOST');
    expect(stateOfSpare(mirror)).toEqual(before);
  });

  test('after it has planned keeps nothing, and discards nothing', async () => {
    const mirror = await withSpare();
    expect(await syncUntil(mirror, ({ kind }) => kind === 'planned')).toBe('LOCK_LOST');
    expect(hasSpare(mirror)).toBe(false);
    const trees = readdirSync(mirror.state('staging')).filter((name) => name.endsWith('.clone'));
    expect(trees).toHaveLength(1);
    expect(readdirSync(mirror.state('staging'))).not.toContain('.spare.mark');
    expect(existsSync(mirror.state('trash'))).toBe(false);
  });

  test('before it prunes discards nothing that has become of no use', async () => {
    const mirror = await withSpare();
    rmSync(mirror.state('changes/third'));
    const before = stateOfSpare(mirror);
    expect(await syncUntil(mirror, isPhase('pruning'))).toBe('unchanged');
    expect(stateOfSpare(mirror)).toEqual(before);
  });
});

test('why an old snapshot is not recycled is said', async () => {
  const mirror = await withSpare();
  const isForAttributes = 'case "$*" in *--ignore-missing-args*) echo no room >&2; exit 11 ;; esac';
  const PATH = standInFor('rsync', join(mirror.home, 'programs'), isForAttributes);
  mirror.change({ file: 'fourth' });
  const result = await runProgram(['sync', mirror.root], { env: { PATH } });
  expect(result.exitCode, transcript(result)).toBe(0);
  expect(result.stderr).toMatch(
    /the kept tree of first is not recycled: rsync cannot set the attributes of \S+: no room$/m,
  );
  expect(mirror.history().findLast(({ event }) => event === 'published')).toMatchObject({
    clone: 'hardlink',
  });
  const current = describeTree(join(mirror.root, 'current/.'));
  expect(difference(describeTree(mirror.source), current)).toEqual([]);
});

test('a snapshot that cannot be kept to be recycled is removed', async () => {
  const mirror = smallMirror();
  for (const id of ['first', 'second']) await mirror.publish(id, { file: id }, ...KEEP_ONE);
  mirror.change({ file: 'third' });
  const inTheWay = mirror.state('staging/.spare.mark.new');
  const { pruned } = await sync({
    root: mirror.root,
    ...policy,
    onEvent: (event) => {
      if (event.kind === 'phase' && event.phase === 'pruning') mkdirSync(inTheWay);
    },
  });
  expect(pruned).toMatchObject({ removed: ['first'], failed: [] });
  expect(hasSpare(mirror)).toBe(false);
  expect(readdirSync(mirror.state('trash'))).toEqual([]);
  expect(mirror.history().at(-1)).toMatchObject({ event: 'pruned', id: 'first' });
});

test('a source whose clock is ahead of this one hinders nothing', async () => {
  const mirror = smallMirror();
  const ahead = Date.now() + 3000;
  for (const id of ['first', 'second', 'third']) {
    mirror.change({ file: id });
    utimesSync(mirror.source, ahead / 1000, ahead / 1000);
    await mirror.publish(id, {}, ...KEEP_ONE);
  }
  // By now it has passed.
  await pause(Math.max(0, ahead + 10 - Date.now()));
  mirror.change({ file: 'fourth' });
  expect(await mirror.sync()).toMatchObject({ clone: 'recycle' });
});

test('prune removes what was kept for the next sync, and says so, in a dry run too', async () => {
  const mirror = await withSpare();
  const planned = await runProgram(['prune', mirror.root, '--dry-run']);
  expect(planned.stderr, transcript(planned)).toContain(
    'the tree that is kept for the next sync would be removed, too',
  );
  expect(hasSpare(mirror)).toBe(true);
  const result = await runProgram(['prune', mirror.root]);
  expect(result.stderr, transcript(result)).toContain(
    'the tree that was kept for the next sync was removed',
  );
  expect(hasSpare(mirror)).toBe(false);
  const again = await runProgram(['prune', mirror.root, '--dry-run']);
  expect(again.stderr, transcript(again)).toBe('');
});

test('a record is kept as long as it leads from a snapshot to what is current', async () => {
  const mirror = await withSpare();
  expect(readdirSync(mirror.state('changes')).sort()).toEqual(['second', 'third']);
  const held = await pin({ root: mirror.root });
  for (const id of ['4', '5', '6']) await mirror.publish(id, { file: id }, ...KEEP_ONE);
  expect(readdirSync(mirror.state('changes')).sort()).toEqual(['4', '5', '6', 'third']);
  held.release();
  await mirror.publish('7', { file: '7' }, ...KEEP_ONE);
  expect(mirror.snapshots()).toEqual(['6', '7']);
  expect(readdirSync(mirror.state('changes')).sort()).toEqual(['6', '7']);
});
