import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { inShell, oneOfEachKind, startGuarded } from '../support/guards.ts';
import { mayMount, nobody } from '../support/privilege.ts';
import { nobodyRunsTheProgram, transcript } from '../support/program.ts';
import { bin } from '../support/project.ts';
import { mirrorsWith } from '../support/small-mirror.ts';

const client = { name: 'an ordinary user', user: nobody };
const mayBeClient = mayMount && nobodyRunsTheProgram;
const whyNot = mayBeClient ? '' : ' (skipped: only root with CAP_SYS_ADMIN mounts)';

const mirrors = mirrorsWith('g1', 'g2');

describe.skipIf(!mayBeClient)(`a client's read-only mount of ROOT${whyNot}`, () => {
  for (const guard of oneOfEachKind) {
    for (const pin of ['namespace', 'cwd']) {
      test(`gives an ordinary user a lease that the writer respects: ${guard.name}, ${pin} pin`, async () => {
        const mirror = await mirrors();
        const mount = join(mirror.home, 'client');
        const done = join(mirror.home, 'done');
        mkdirSync(mount);
        await execa('mount', ['--bind', mirror.root, mount]);
        await execa('mount', ['-o', 'remount,bind,ro', mount]);

        const reading = startGuarded(
          guard,
          mount,
          inShell('cat file; while [ ! -e "$1" ]; do sleep 0.05; done; cat file', done),
          { caller: client, options: ['--pin', pin] },
        );
        await eventually(() => expect(reading.printedSoFar()).toBe('g2'));
        for (const id of ['g3', 'g4']) await mirror.publish(id, { file: id });
        // Every rule lets g2 go, and g1 shows that it would.
        expect(await pruneElsewhere(mirror.root)).toEqual({
          removed: ['g1'],
          held: ['g2'],
        });
        writeFileSync(done, '');
        const result = await reading.result;
        expect(result.stdout, transcript(result)).toBe('g2g2');
        expect(result.exitCode).toBe(0);
        expect(await pruneElsewhere(mirror.root)).toEqual({ removed: ['g2'], held: [] });
      });
    }
  }
});

/**
 * Prunes in a PID namespace of its own, as a writer on another host or in a container: what it
 * knows of the client is the lease alone.
 */
async function pruneElsewhere(root: string) {
  const prune = ['prune', root, '--keep-last', '1', '--grace', '0s', '--json'];
  const { stdout } = await execa('unshare', [
    ...['--pid', '--fork', '--mount-proc', process.execPath, bin],
    ...prune,
  ]);
  const { removed, kept } = JSON.parse(stdout) as {
    removed: string[];
    kept: { id: string; reasons: string[] }[];
  };
  const held = kept.filter(({ reasons }) => reasons.includes('is held by a reader'));
  return { removed, held: held.map(({ id }) => id) };
}
