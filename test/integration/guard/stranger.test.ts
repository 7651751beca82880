import { chmodSync, mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { execaSync } from 'execa';
import { afterAll, describe, expect, test } from 'vitest';
import { pin, sync } from '../../../src/index.ts';
import { eventually } from '../../support/eventually.ts';
import { guards, inShell, oneOfEachKind, runGuarded, startGuarded } from '../../support/guards.ts';
import { mirrorsInPlace } from '../../support/in-place-mirror.ts';
import { nobody, runsAsRoot } from '../../support/privilege.ts';
import { type RunningProgram, runForJson, runProgram, transcript } from '../../support/program.ts';
import { makeScratch } from '../../support/scratch.ts';
import { mirrorsWith } from '../../support/small-mirror.ts';

const mirrors = mirrorsWith('first', 'second', 'third');
const inPlace = mirrorsInPlace();
const scratch = makeScratch();
afterAll(() => scratch.remove());

const [, reader] = oneOfEachKind;
const bin = { name: 'bin', user: { uid: 2, gid: 2 } };
const caller = { name: 'nobody', user: nobody };
const why = runsAsRoot ? '' : ' (skipped: only root can become another user)';
const rules = ['--keep-last', '1', '--grace', '0'];

/** A directory for each test, because concurrent tests share their clean-up hooks. */
function home(name: string): string {
  const path = join(scratch.path, name);
  mkdirSync(path);
  return path;
}

/** Another user's process that has a file locked exclusively. */
async function strangerAt(file: string): Promise<RunningProgram> {
  const words = ['flock', '--exclusive', '--no-fork', file, ...inShell('echo held; exec sleep 60')];
  const stranger = startGuarded(undefined, [], words, { caller });
  await eventually(() => expect(stranger.printedSoFar()).toBe('held\n'));
  return stranger;
}

async function end(running: RunningProgram): Promise<void> {
  running.kill('SIGKILL');
  await running.result;
}

describe.skipIf(!runsAsRoot)(
  `A stranger that keeps a lease locked${why}`,
  { concurrent: true },
  () => {
    test.for(guards)('I5: neither stops $name nor takes its snapshot away', async (guard) => {
      const mirror = await mirrors(home(guard.name));
      const stranger = await strangerAt(mirror.state('leases', 'third'));
      const reading = startGuarded(guard, mirror.root, inShell('cat file; exec sleep 60'));
      await eventually(() => expect(reading.printedSoFar()).toBe('third'));
      expect(reading.saidSoFar()).toContain(`process ${stranger.pid} has locked the lease of`);
      await mirror.publish('fourth', { file: 'fourth' });
      await mirror.publish('fifth', { file: 'fifth' });
      await end(stranger);
      expect(await runForJson(['prune', mirror.root, ...rules])).toMatchObject({
        kept: expect.arrayContaining([
          expect.objectContaining({ id: 'third', reasons: ['is held by a reader'] }),
        ]),
      });
      await end(reading);
      expect(await runForJson(['prune', mirror.root, ...rules])).toMatchObject({
        removed: ['third'],
      });
    });

    test('I14: is named to a reader that the owner of the mirror could not see', async () => {
      const mirror = await mirrors(home('unseen'));
      execaSync('chown', ['-R', `${bin.user.uid}:${bin.user.gid}`, mirror.home]);
      const stranger = await strangerAt(mirror.state('leases', 'third'));
      const refused = await runGuarded(reader, mirror.root, ['cat', 'file'], { caller });
      expect(refused.exitCode, transcript(refused)).toBe(125);
      expect(refused.stderr).toContain(`process ${stranger.pid} has kept the lease of`);
      const own = await runGuarded(reader, mirror.root, ['cat', 'file'], { caller: bin });
      expect(own.stdout, transcript(own)).toBe('third');
      await end(stranger);
    });

    test('does not let a reader in while the snapshot is being removed', async () => {
      const mirror = await mirrors(home('marked'));
      const lease = mirror.state('leases', 'third');
      chmodSync(lease, 0o1444);
      const stranger = await strangerAt(lease);
      const refused = await runGuarded(reader, mirror.root, ['cat', 'file']);
      expect(refused.exitCode, transcript(refused)).toBe(125);
      await expect(pin({ root: mirror.root })).rejects.toMatchObject({ code: 'IO' });
      await end(stranger);
    });

    test('is no obstacle to pin() of the library', async () => {
      const mirror = await mirrors(home('library'));
      const stranger = await strangerAt(mirror.state('leases', 'third'));
      const held = await pin({ root: mirror.root });
      expect(held.id).toBe('third');
      await mirror.publish('fourth', { file: 'fourth' });
      await mirror.publish('fifth', { file: 'fifth' });
      await end(stranger);
      expect(await runForJson(['prune', mirror.root, ...rules])).not.toMatchObject({
        removed: expect.arrayContaining(['third']),
      });
      held.release();
    });

    test('does not keep prune waiting, is named by status, and leaves the lease as it was', async () => {
      const mirror = await mirrors(home('status'));
      const lease = mirror.state('leases', 'first');
      const stranger = await strangerAt(lease);
      const pruned = await runForJson(['prune', mirror.root, ...rules]);
      expect(pruned).toMatchObject({
        kept: expect.arrayContaining([expect.objectContaining({ id: 'first' })]),
      });
      expect(statSync(lease).mode & 0o7777).toBe(0o444);
      const status = await runProgram(['status', mirror.root]);
      expect(status.exitCode, transcript(status)).toBe(69);
      expect(status.stdout).toContain(
        `the lease of first is locked exclusively by sleep (pid ${stranger.pid}), and readers cannot lock it; end that process`,
      );
      await end(stranger);
      expect((await runProgram(['status', mirror.root])).exitCode).toBe(0);
    });

    test.for(guards)(
      'I1: neither makes $name read a mix in place, nor once it has left',
      async (guard) => {
        const one = await inPlace(home(`no mix under ${guard.name}`));
        const stranger = await strangerAt(one.state('gate.flock'));
        const away = inShell('cat "$1"; exec sleep 60', '{snapshot}/file');
        const options = ['--pin', 'cwd', '--chdir', 'no'];
        const reading = startGuarded(guard, one.root, away, { options });
        await eventually(() => expect(reading.printedSoFar()).toBe('content'));
        one.change({ file: 'changed' });
        const refused = await runProgram(['sync', one.root, '--drain', '0']);
        expect(refused.exitCode, transcript(refused)).toBe(75);
        expect(refused.stderr).toContain(`readers are inside: sleep (${reading.pid})`);
        await end(stranger);
        const again = await runProgram(['sync', one.root, '--drain', '0']);
        expect(again.exitCode, transcript(again)).toBe(75);
        await end(reading);
        await one.sync('--drain', '0');
      },
    );

    test('I1: makes a sync wait for a pin in place of its own process', async () => {
      const one = await inPlace(home('in one process'));
      const stranger = await strangerAt(one.state('gate.flock'));
      const held = await pin({ root: one.root });
      one.change({ file: 'changed' });
      await expect(sync({ root: one.root, drain: { drainMs: 0 } })).rejects.toMatchObject({
        code: 'BUSY',
        message: expect.stringContaining(`(${process.pid})`),
      });
      held.release();
      await sync({ root: one.root, drain: { drainMs: 0 } });
      await end(stranger);
    });

    test('I6: does not stop readers in place, and a sync waits for them as ever', async () => {
      const one = await inPlace(home('in place'));
      const stranger = await strangerAt(one.state('gate.flock'));
      const reading = startGuarded(reader, one.root, inShell('cat file; exec sleep 60'));
      await eventually(() => expect(reading.printedSoFar()).toBe('content'));
      one.change({ file: 'changed' });
      const refused = await runProgram(['sync', one.root, '--drain', '0']);
      expect(refused.exitCode, transcript(refused)).toBe(75);
      expect(refused.stderr).toContain(`readers are inside: sleep (${reading.pid})`);
      await end(reading);
      await one.sync('--drain', '0');
      const status = await runProgram(['status', one.root]);
      expect(status.stdout).toContain(`the lease of live is locked exclusively by sleep`);
      await end(stranger);
    });
  },
);
