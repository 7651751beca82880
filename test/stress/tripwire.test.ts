import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeScratch } from '../support/scratch.ts';
import { makeTripwire, type Point, pointText, type Tripwire } from './tripwire.ts';

const scratch = makeScratch();
let tripwire: Tripwire;
let runs = 0;

beforeAll(() => {
  tripwire = makeTripwire(scratch.path);
});

afterAll(() => scratch.remove());

/** A tree of processes in which each call makes one more entry. */
const FOUR_CALLS = 'mkdir 1; (ln -s x 2; mkdir 3); : >4';

/** Prepares a shell script to run under the tripwire in its own directory. */
function shell(script: string) {
  runs += 1;
  const directory = join(scratch.path, `run-${runs}`);
  mkdirSync(directory);
  const through = () => ['sh', '-c', `cd "$1"\n${script}`, 'sh', directory];
  const has = (name: string) => readdirSync(directory).includes(name);
  return { through, has, directory };
}

describe('The tripwire', () => {
  it('names each call of each process that changes the disk', async () => {
    const points = await tripwire.points([], shell(FOUR_CALLS).through);
    expect(points.map(({ chain, call, n }) => `${chain} ${call} ${n}`)).toEqual([
      'sh/mkdir mkdir 1',
      'sh/sh/ln symlinkat 1',
      // The subshell becomes its last command: a second mkdir right below the shell.
      'sh/mkdir mkdir 2',
      'sh openat 1',
    ]);
  });

  it('counts neither reads nor writes to a pipe or a terminal', async () => {
    const { through } = shell('ls / | cat >/dev/null; echo x | cat; test -e /');
    expect(await tripwire.points([], through)).toEqual([]);
  });

  it('kills the whole tree before the call is executed, at each point', async () => {
    const points = await tripwire.points([], shell(FOUR_CALLS).through);
    for (const [index, at] of points.entries()) {
      const { through, has } = shell(FOUR_CALLS);
      const run = tripwire.start([], { at, action: 'kill-tree', through });
      expect(await run.result, pointText(at)).toMatchObject({ exitCode: 137, reached: true });
      const made = ['1', '2', '3', '4'].filter(has);
      expect(made, pointText(at)).toEqual(['1', '2', '3', '4'].slice(0, index));
    }
  });

  it('kills a single process, and the others run on', async () => {
    const points = await tripwire.points([], shell(FOUR_CALLS).through);
    const { through, has } = shell(FOUR_CALLS);
    const run = tripwire.start([], { at: pointOf(points, 'ln'), action: 'kill-process', through });
    expect(await run.result).toMatchObject({ exitCode: 0 });
    expect(['1', '2', '3', '4'].filter(has)).toEqual(['1', '3', '4']);
  });

  it('kills only the root, and holds all others until they are released', async () => {
    const points = await tripwire.points([], shell(FOUR_CALLS).through);
    const { through, has } = shell(FOUR_CALLS);
    const run = tripwire.start([], { at: pointOf(points, 'ln'), action: 'orphan', through });
    expect(await run.reached).toBe(true);
    await pause(300);
    expect(['1', '2', '3', '4'].filter(has)).toEqual(['1']);
    run.release();
    expect(await run.result).toMatchObject({ exitCode: 137 });
    expect(['1', '2', '3', '4'].filter(has)).toEqual(['1', '2', '3']);
  });

  it.each(['stop-process', 'stop-tree'] as const)(
    'continues what %s stopped at the same point',
    async (action) => {
      const script = '(while :; do echo x >>ticks; sleep 0.05; done) & mkdir 1; : >2; kill $!';
      const points = await tripwire.points([], shell(script).through);
      const { through, has, directory } = shell(script);
      const at = points.find(({ call }) => call === 'mkdir');
      const run = tripwire.start([], { ...(at && { at }), action, through });
      expect(await run.reached).toBe(true);
      const ticks = () => (has('ticks') ? readFileSync(join(directory, 'ticks')).length : 0);
      await pause(200);
      const early = ticks();
      await pause(500);
      expect(has('1')).toBe(false);
      expect(ticks() > early).toBe(action === 'stop-process');
      run.release();
      expect(await run.result).toMatchObject({ exitCode: 0 });
      expect(['1', '2'].filter(has)).toEqual(['1', '2']);
    },
  );

  it('continues what it stopped even after hundreds of processes have come and gone', async () => {
    // A grandchild forks them, because the kernel reports the events of the root before all others.
    const lines = ['i=0; while [ $i -lt 300 ]; do (exit 0); i=$((i + 1)); done', 'mkdir 1; : >2'];
    const { through, has } = shell(`sh -c '${lines.join('\n')}'; exit $?`);
    const at = { chain: 'sh/sh/mkdir', call: 'mkdir', n: 1, path: '' };
    const run = tripwire.start([], { at, action: 'stop-process', through });
    expect(await run.reached).toBe(true);
    await pause(200);
    run.release();
    expect(await run.result).toMatchObject({ exitCode: 0, stderr: '' });
    expect(['1', '2'].filter(has)).toEqual(['1', '2']);
  });

  it('reaches each process of rsync, and every call with which it writes', async () => {
    const { through } = shell(
      'mkdir from && echo x >from/a && rsync -a from/ to/ && cp -al to copy',
    );
    const points = await tripwire.points([], through);
    const chains = new Set(points.map(({ chain, call }) => `${chain} ${call}`));
    expect([...chains]).toEqual(
      expect.arrayContaining([
        'sh/rsync/rsync mkdir',
        'sh/rsync/rsync/rsync openat',
        'sh/rsync/rsync/rsync write',
        'sh/rsync/rsync/rsync fchmod',
        'sh/rsync/rsync/rsync utimensat',
        'sh/rsync/rsync/rsync renameat',
        'sh/cp linkat',
      ]),
    );
  });
});

function pointOf(points: readonly Point[], name: string): Point {
  const point = points.find(({ chain }) => chain.endsWith(`/${name}`));
  if (point === undefined) throw new Error(`${name} changed nothing`);
  return point;
}
