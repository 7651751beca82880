import { execFileSync, spawn } from 'node:child_process';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { fileWork } from '../support/file-work.ts';
import { whyNotInstalled } from '../support/installed.ts';
import { mayMount } from '../support/privilege.ts';
import { runProgram, transcript } from '../support/program.ts';
import { makeScratch } from '../support/scratch.ts';
import { describeTree, type Tree } from '../support/tree.ts';
import { changeTree, copyTree, writeFirstTree } from './changing-tree.ts';
import { isPublishingMove } from './kill-plan.ts';
import {
  leftBehind,
  linkedId,
  withoutRepeats,
  wrongForReaders,
  wrongHistory,
} from './mirror-checks.ts';
import { makeOtherHost, type OtherHost } from './other-host.ts';
import { byScale, HOUR_MS, scale, tellProgress, tellSummary, tellWrong } from './scale.ts';
import {
  type Action,
  makeTripwire,
  type Point,
  pointText,
  type TracedResult,
  type TracedRun,
  type Tripwire,
} from './tripwire.ts';

/** Takes over as early as possible, which still takes the time of one and a half heartbeats. */
const TAKE_OVER = ['--stale-after', '1s', '--wait', '2m'];

/** The number of stops that are tested at the same time: nearly all of the time is waiting. */
const SIDE_BY_SIDE = 4;

const limit = { timeout: byScale({ sample: HOUR_MS / 6, all: 6 * HOUR_MS }) };
const whySkipped = mayMount
  ? whyNotInstalled('bindfs')
  : ' (skipped: only root with CAP_SYS_ADMIN mounts)';

const scratch = makeScratch();
const firstTree = join(scratch.path, 'first');
const secondTree = join(scratch.path, 'second');
const thirdTree = join(scratch.path, 'third');
const known = new Map<string, Tree>();
let tripwire: Tripwire;

/** A mirror that both hosts see. */
interface SharedMirror {
  readonly root: string;
  readonly other: OtherHost;
  /** ROOT on the other host. */
  readonly otherRoot: string;
  remove(): void;
}

describe.skipIf(whySkipped !== '')(`Two hosts that write to one mirror${whySkipped}`, () => {
  beforeAll(() => {
    tripwire = makeTripwire(scratch.path);
    writeFirstTree(firstTree);
    copyTree(firstTree, secondTree);
    changeTree(secondTree);
    copyTree(secondTree, thirdTree);
    fileWork(thirdTree).write('content', 'content of the third tree');
    fileWork(thirdTree).write('only in the third', 'third');
    known.set('first', describeTree(firstTree));
    known.set('second', describeTree(secondTree));
    for (const id of ['third', 'last']) known.set(id, describeTree(thirdTree));
  });

  afterAll(() => scratch.remove());

  it('have different identities, and share no flock', limit, async () => {
    const { root, other, otherRoot, remove } = await shareMirror('apart');
    onTestFinished(remove);
    const there = (...command: string[]): string => {
      const [file = '', ...args] = other.through(command);
      return execFileSync(file, args, { encoding: 'utf8' }).trim();
    };
    const bootId = '/proc/sys/kernel/random/boot_id';
    const holder = spawn('flock', [join(root, 'current'), 'sleep', '60']);
    onTestFinished(() => void holder.kill());
    await new Promise((resolve) => setTimeout(resolve, 300));

    expect(() => execFileSync('flock', ['-n', join(root, 'current'), 'true'])).toThrow();
    expect(there('flock', '-n', join(otherRoot, 'current'), 'echo', 'mine')).toBe('mine');
    expect(there('hostname')).toBe(other.hostname);
    expect(there('cat', bootId)).not.toBe(
      execFileSync('cat', [bootId], { encoding: 'utf8' }).trim(),
    );
  });

  it('respect a lock whose heartbeat continues, and name its holder', limit, async () => {
    const { root, other, otherRoot, remove } = await shareMirror('alive');
    onTestFinished(remove);
    const here = await tripwire.points(syncHere(`${root}-points`, secondTree, 'second'));
    const there = await tripwire.points(syncThere(`${root}-points`, 'third'), other.through);
    const impatient = ['--stale-after', '1s'];

    // Only its rsync is stopped; the holder itself runs on.
    const holder = tripwire.start(syncHere(root, secondTree, 'second'), {
      at: rsyncAtWork(here),
      action: 'stop-process',
    });
    onTestFinished(() => holder.end());
    expect(await holder.reached).toBe(true);
    const refused = await tripwire.start([...syncThere(otherRoot, 'third'), ...impatient], other)
      .result;
    expect([refused.exitCode, refused.stderr]).toEqual([75, expect.stringContaining(hostname())]);
    holder.release();
    expect(await holder.result).toMatchObject({ exitCode: 0 });
    expect(linkedId(root, 'current')).toBe('second');

    const otherHolder = tripwire.start(syncThere(otherRoot, 'third'), {
      at: rsyncAtWork(there),
      action: 'stop-process',
      through: other.through,
    });
    onTestFinished(() => otherHolder.end());
    expect(await otherHolder.reached).toBe(true);
    const refusedHere = await runProgram([...syncHere(root, secondTree, 'fourth'), ...impatient]);
    expect([refusedHere.exitCode, refusedHere.stderr]).toEqual([
      75,
      expect.stringContaining(other.hostname),
    ]);
    otherHolder.release();
    expect(await otherHolder.result).toMatchObject({ exitCode: 0 });
    expect(linkedId(root, 'current')).toBe('third');
    expect([...wrongForReaders(root, known), ...wrongHistory(root)]).toEqual([]);
  });

  it.each<[who: string, Action]>([
    ['process at the point', 'stop-process'],
    ['whole process tree', 'stop-tree'],
  ])(
    `survive a holder whose %s is stopped past the limit at ${scale === 'all' ? 'each point' : 'a sample of the points'} of a sync: it publishes nothing more and leaves the other's lock alone`,
    limit,
    async (_, action) => {
      const mirror = await shareMirror(`points-${action}`);
      const here = await tripwire.points(syncHere(mirror.root, secondTree, 'second'));
      const there = await tripwire.points(
        syncThere(mirror.otherRoot, 'third'),
        mirror.other.through,
      );
      mirror.remove();

      const stops = whileLocked(here, action);
      const wrong: string[] = [];
      let missed = 0;
      let done = 0;
      const queue = [...stops.entries()];
      const work = async () => {
        for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
          const [index, stop] = next;
          const found = await stopAndTakeOver(
            `${action}-${index}`,
            stop,
            action,
            rsyncAtWork(there),
          );
          if (found === undefined) missed += 1;
          const told = (found ?? []).map((text) => `${action} at ${pointText(stop)}: ${text}`);
          tellWrong(told);
          wrong.push(...told);
          done += 1;
          tellProgress(`take-overs after ${action}`, done, stops.length);
        }
      };
      await Promise.all(Array.from({ length: SIDE_BY_SIDE }, work));
      tellSummary(
        `two hosts: ${stops.length} take-overs after ${action}, ${missed} not reached, ${wrong.length} wrong`,
      );
      // Runs differ in some calls: a write may come in two pieces, or a heartbeat in between.
      expect(missed).toBeLessThanOrEqual(stops.length / 10);
      expect(wrong).toEqual([]);
    },
  );
});

/**
 * Stops the holder, lets the other host take over, stops that in its rsync, and continues the
 * holder.
 *
 * @returns what went wrong; undefined if the holder never reached the point.
 */
async function stopAndTakeOver(
  name: string,
  stop: Point,
  action: Action,
  middleOfOther: Point,
): Promise<string[] | undefined> {
  const { root, other, otherRoot, remove } = await shareMirror(name);
  const holder = tripwire.start(syncHere(root, secondTree, 'second'), { at: stop, action });
  let successor: TracedRun | undefined;
  try {
    if (!(await holder.reached)) return undefined;
    const wasPublished = linkedId(root, 'current') === 'second';
    successor = tripwire.start([...syncThere(otherRoot, 'third'), ...TAKE_OVER], {
      at: middleOfOther,
      action: 'stop-process',
      through: other.through,
    });
    await successor.reached;
    const before = linkedId(root, 'current');
    holder.release();
    const end = await holder.result;
    const stillBefore = linkedId(root, 'current');
    const busy = await runProgram(syncHere(root, secondTree, 'fourth'));
    successor.release();
    const success = await successor.result;
    const last = await runProgram(syncHere(root, thirdTree, 'last'));
    return [
      ...wrongEnd(end, wasPublished),
      ...(before === stillBefore ? [] : [`I8: the stopped host flipped to ${stillBefore}`]),
      ...(busy.exitCode === 75 && busy.stderr.includes(other.hostname)
        ? []
        : [`I4: the lock of the other host is gone: ${transcript(busy)}`]),
      ...(success.exitCode === 0
        ? []
        : [`I4: the other host ended with ${success.exitCode}: ${success.stderr}`]),
      ...(linkedId(root, 'current') === 'third'
        ? []
        : ['the other host did not publish in the end']),
      ...(last.exitCode === 0 ? [] : [`I9: ${transcript(last)}`]),
      ...wrongForReaders(root, known),
      // A holder that was stopped before it recorded its flip does so after the other host has.
      ...wrongHistory(root, withoutRepeats),
      ...leftBehind(root),
    ];
  } finally {
    await holder.end();
    await successor?.end();
    remove();
  }
}

/** A holder that was stopped after its publication may succeed, or find that its lock is lost. */
function wrongEnd({ exitCode, stderr }: TracedResult, wasPublished: boolean): string[] {
  if (wasPublished && exitCode === 0) return [];
  if (exitCode !== 0 && /lock .*lost/.test(stderr)) return [];
  return [`I8: the stopped host ended with ${exitCode}: ${stderr}`];
}

/** The points at which a sync holds the lock; in the sample, those around its publication. */
function whileLocked(points: readonly Point[], action: Action): readonly Point[] {
  const locked = points.findIndex(
    ({ call, path }) => /^rename/.test(call) && /sync\.lock$/.test(path),
  );
  const unlocked = points.findLastIndex(({ path }) => /sync\.lock/.test(path));
  const held = points.slice(locked + 1, unlocked);
  const isOwn = ({ chain }: Point) => chain === 'mirrorlatch';
  // Stopping a child alone does not stop the heartbeat.
  const stops = action === 'stop-tree' ? held : held.filter(isOwn);
  if (stops.length === 0) throw new Error('mirrorlatch itself changed nothing');
  // Also right after each move: the clean-up that follows must not touch what is the other's then.
  const moves = stops.flatMap((stop, at) =>
    isPublishingMove(stop) ? [stop, ...stops.slice(at + 1, at + 2)] : [],
  );
  const sample = [stops[Math.floor(stops.length / 2)], ...moves].filter(
    (stop) => stop !== undefined,
  );
  return byScale({ all: stops, sample: [...new Set(sample)] });
}

/** The first point at which an rsync writes a file. */
function rsyncAtWork(points: readonly Point[]): Point {
  const point = points.find(({ chain, call }) => /rsync$/.test(chain) && call === 'openat');
  if (point === undefined) throw new Error('rsync opened no file');
  return point;
}

function syncHere(root: string, tree: string, id: string): readonly string[] {
  return ['sync', tree, root, '--other-source', '--id', id];
}

function syncThere(root: string, id: string): readonly string[] {
  return ['sync', thirdTree, root, '--other-source', '--id', id];
}

async function shareMirror(name: string): Promise<SharedMirror> {
  const directory = join(scratch.path, name);
  const root = join(directory, 'mirror');
  const work = fileWork(scratch.path);
  work.directory(name);
  work.directory(`${name}-host`);
  const result = await runProgram(syncHere(root, firstTree, 'first'));
  if (result.exitCode !== 0) throw new Error(transcript(result));
  const other = makeOtherHost('other-host', directory, join(scratch.path, `${name}-host`));
  return { root, other, otherRoot: join(other.view, 'mirror'), remove: () => other.remove() };
}
