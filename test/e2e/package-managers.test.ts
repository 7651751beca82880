import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { execa } from 'execa';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { mayMount } from '../support/privilege.ts';
import { launcher } from '../support/project.ts';
import { accessByPath, type PathGuard } from '../support/repositories/access.ts';
import { apt } from '../support/repositories/apt.ts';
import { type Client, updateAndInstall } from '../support/repositories/client.ts';
import { clients, missingPrograms } from '../support/repositories/clients.ts';
import { Flipper } from '../support/repositories/flipper.ts';
import { Installation, type Result } from '../support/repositories/installation.ts';
import { mirrorOfRepositories, type RepositoryMirror } from '../support/repositories/mirror.ts';
import { tryClient } from '../support/repositories/trial.ts';
import { makeScratch, scratchDirectory } from '../support/scratch.ts';

/** Under each guard; scripts/clients.sh does more. */
const GUARDED_RUNS = 3;
/** Bare, at this rate, hardly one ends well: at most so many until one does not. */
const BARE_RUNS = 20;
const FLIP_EVERY_MS = 5;

/** In the name of a skipped test; empty when the client can be tried here. */
function whyNot(client: Client): string {
  const missing = missingPrograms(client);
  if (missing.length > 0) return ` (skipped: without ${missing.join(', ')})`;
  return mayMount ? '' : ' (skipped: only root can install, and mount)';
}

const present = clients.filter((client) => whyNot(client) === '');

describe('a package manager that updates and installs while snapshots are published', () => {
  const home = makeScratch();
  let mirror: RepositoryMirror;

  beforeAll(async () => {
    const repositories = new Set(present.map(({ repository }) => repository));
    mirror = await mirrorOfRepositories(home.path, launcher, repositories, 5);
  });
  afterAll(() => home.remove());

  describe.for(clients)('$name', (client) => {
    const why = whyNot(client);
    const trial = (guard: PathGuard) => {
      const publisher = new Flipper(mirror.root, mirror.ids, FLIP_EVERY_MS);
      onTestFinished(() => publisher.stop());
      return { access: accessByPath(guard, mirror), publisher, work: home.path };
    };

    test.skipIf(why !== '')(
      `fails, or mixes generations, when nothing guards it${why}`,
      async () => {
        const bare = { ...trial('bare'), runs: BARE_RUNS, untilTrouble: true };
        const { outcomes, flips } = await tryClient(client, bare);

        expect(outcomes.failed + outcomes.mixed).toBe(1);
        expect(flips.at(-1)).toBeGreaterThan(0);
      },
    );

    test.skipIf(why !== '').for(['run', 'reader'] as const)(
      `I1: gets all of one generation under \`%s\`${why}`,
      async (guard) => {
        const guarded = { ...trial(guard), runs: GUARDED_RUNS };
        const { outcomes, flips, accounts } = await tryClient(client, guarded);

        expect(outcomes, accounts.join('\n')).toEqual({ ok: GUARDED_RUNS, failed: 0, mixed: 0 });
        expect(Math.min(...flips)).toBeGreaterThan(0);
      },
    );
  });
});

const whyNotApt = whyNot(apt);

describe.skipIf(whyNotApt !== '')(
  `apt, which installs what it updated to before${whyNotApt}`,
  () => {
    /** Retention that keeps nothing for its own sake. */
    const keepLittle = ['--keep-last', '1', '--grace', '0s'];
    let home: string;
    let mirror: RepositoryMirror;
    let installation: Installation;
    const run = (...words: readonly string[]) => [
      launcher,
      'run',
      mirror.root,
      '--chdir',
      'no',
      ...words,
    ];
    const prune = (...options: string[]) => execa(launcher, ['prune', mirror.root, ...options]);
    const snapshots = () => readdirSync(join(mirror.root, 'snapshots')).sort();

    beforeEach(async () => {
      home = scratchDirectory();
      mirror = await mirrorOfRepositories(home, launcher, new Set([apt.repository]), 1);
      installation = new Installation(apt, accessByPath('bare', mirror), home);
    });

    test('I5: in one pin, while its snapshot is superseded and every other is pruned', async () => {
      const command = `${apt.update} && : >updated && until [ -e go ]; do sleep 0.05; done && ${apt.install}`;
      const ended = installation.run(run('--', 'sh', '-c', command));
      await appearance(join(installation.directory, 'updated'), ended);
      for (let publication = 0; publication < 3; publication += 1) {
        await mirror.publishNext(...keepLittle);
      }
      await prune(...keepLittle);

      expect(snapshots()).toEqual(['generation-1', 'generation-3', 'generation-4']);
      writeFileSync(join(installation.directory, 'go'), '');
      const { outcome, account } = await ended;
      expect(outcome, account).toBe('ok');
      expect(installation.generations).toEqual(['generation-1']);
      await prune(...keepLittle);
      expect(snapshots()).toEqual(['generation-3', 'generation-4']);
    });

    test.for([
      {
        name: '--sticky and --reuse',
        update: ['--sticky', 'lists'],
        install: ['--reuse', 'lists'],
      },
      { name: '--preset', update: ['--preset'], install: ['--preset'] },
    ])(
      'in two commands by $name, though `current` went on: bare it could not',
      async ({ update, install }) => {
        const bare = new Installation(apt, accessByPath('bare', mirror), home);
        expect(await bare.run(words(apt.update))).toMatchObject({ exitCode: 0 });
        expect(await installation.run(run(...update, '--', ...words(apt.update)))).toMatchObject({
          exitCode: 0,
        });
        await mirror.publishNext();
        await mirror.publishNext();
        await prune();
        const flipper = new Flipper(mirror.root, ['generation-2', 'generation-3'], FLIP_EVERY_MS);
        onTestFinished(() => flipper.stop());

        expect(await bare.run(words(apt.install))).not.toMatchObject({ outcome: 'ok' });
        const before = flipper.publications;
        const { outcome, account } = await installation.run(
          run(...install, '--', ...words(apt.install)),
        );
        expect(outcome, account).toBe('ok');
        expect(installation.generations).toEqual(['generation-1']);
        expect(flipper.publications).toBeGreaterThan(before);
      },
    );

    test('I1: reads a channel by its own name under the guard, while `current` is flipped', async () => {
      const promote = ['promote', mirror.root, '--to', 'production'];
      await execa(launcher, promote);
      await mirror.publishNext();
      await mirror.publishNext();
      const flipper = new Flipper(mirror.root, ['generation-2', 'generation-3'], FLIP_EVERY_MS);
      onTestFinished(() => flipper.stop());
      const guard = [
        launcher,
        'run',
        mirror.root,
        '--chdir',
        'no',
        '--channel',
        'production',
        '--',
      ];
      const access = {
        url: pathToFileURL(join(mirror.root, 'production')).href,
        around: (command: readonly string[]) => command,
      };
      const client = new Installation(apt, access, scratchDirectory());
      const { outcome, account } = await client.run([...guard, ...updateAndInstall(apt)]);
      expect(outcome, account).toBe('ok');
      expect(client.generations).toEqual(['generation-1']);
      expect(flipper.publications).toBeGreaterThan(0);
    });

    test('is told when the snapshot of a sticky pin is gone, and gets the current one where it asks for that', async () => {
      await installation.run(run('--sticky', 'lists', '--', ...words(apt.update)));
      await mirror.publishNext(...keepLittle);
      await mirror.publishNext(...keepLittle);
      expect(snapshots()).toEqual(['generation-2', 'generation-3']);

      const { exitCode, account } = await installation.run(
        run('--reuse', 'lists', '--', ...words(apt.install)),
      );
      expect(exitCode, account).toBe(125);
      expect(account).toContain('has no snapshot generation-1');

      const result = await installation.run(
        run('--reuse', 'lists', '--or-current', '--', ...updateAndInstall(apt)),
      );
      expect(result.outcome, result.account).toBe('ok');
      expect(installation.generations).toEqual(['generation-3']);
    });
  },
);

/** Waits until a file is there, which a command makes before it ends. */
async function appearance(path: string, command: Promise<Result>): Promise<void> {
  let end: Result | undefined;
  void command.then((result) => {
    end = result;
  });
  while (!existsSync(path)) {
    if (end !== undefined) throw new Error(`it ended without ${path}: ${end.account}`);
    await pause(20);
  }
}

/** The words of a command that holds no quotes. */
function words(command: string): string[] {
  return command.split(' ');
}
