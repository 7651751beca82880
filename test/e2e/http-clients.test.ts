import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { questionsOf } from '../support/http/questions.ts';
import { type HttpTrialOptions, tryWay } from '../support/http/trial.ts';
import {
  amongNeighbours,
  apacheGuarded,
  nginxAlone,
  nginxGuarded,
  serve,
  serveForgetfully,
  throughAptCacherNg,
  throughSquid,
  underRun,
  type Way,
} from '../support/http/ways.ts';
import { missingOf } from '../support/installed.ts';
import { runsAsRoot } from '../support/privilege.ts';
import { launcher } from '../support/project.ts';
import { httpClients, missingPrograms } from '../support/repositories/clients.ts';
import type { Names } from '../support/repositories/generation.ts';
import { mirrorOfRepositories, type RepositoryMirror } from '../support/repositories/mirror.ts';
import type { Trial } from '../support/repositories/trial.ts';
import { makeScratch } from '../support/scratch.ts';

/** Of each client behind each guard: one, and one that has to get newer packages. scripts/clients.sh does more. */
const GUARDED_RUNS = 2;
const FLIP_EVERY_MS = 300;
/** Bare, at this rate, hardly a run ends well: at most so many until one does not. */
const BARE_RUNS = 20;
const BARE_FLIP_EVERY_MS = 20;

const present = httpClients.filter((client) => missingPrograms(client).length === 0);
/** One client of each kind, for what the others would only repeat. */
const some = present.filter(({ name }) => ['apt', 'dnf', 'pip, index', 'curl'].includes(name));

/** In the name of a skipped test; empty when the way can be tried here. */
function whyNot({ programs }: Way): string {
  if (!runsAsRoot) return ' (skipped: only root can install)';
  const missing = missingOf(...programs, 'apt-get', 'curl');
  return missing.length === 0 ? '' : ` (skipped: without ${missing.join(', ')})`;
}

describe('clients that update and install over HTTP while snapshots are published', () => {
  const home = makeScratch();
  let mirror: RepositoryMirror;

  beforeAll(async () => {
    mirror = await mirrorOf('mirror-of-all', present);
  });
  afterAll(() => home.remove());

  describe.for([nginxAlone, throughSquid(nginxAlone)])('$name', (way) => {
    const why = whyNot(way);

    test.skipIf(why !== '')(
      `each fail, or mix generations, when nothing guards them${why}`,
      async () => {
        const trials = await tryAll(way, {
          publishing: BARE_FLIP_EVERY_MS,
          runs: BARE_RUNS,
          untilTrouble: true,
        });

        const lucky = trials.filter(({ outcomes }) => outcomes.failed + outcomes.mixed === 0);
        expect(lucky.map(({ client }) => client.name)).toEqual([]);
      },
    );
  });

  describe.for([serve, nginxGuarded, apacheGuarded, underRun(serve)])('$name', (way) => {
    const why = whyNot(way);

    test.skipIf(why !== '')(`I1: each get all of one generation${why}`, async () => {
      const trials = await tryAll(way, { publishing: FLIP_EVERY_MS, runs: GUARDED_RUNS });

      expectAllWell(trials);
      const generations = new Set(trials.flatMap((trial) => [...trial.generations]));
      expect(generations.size, 'and later runs get newer ones').toBeGreaterThan(1);
    });
  });

  describe.for([serve, nginxGuarded])('$name', (way) => {
    const why = whyNot(way);

    test.skipIf(why !== '')(
      `I1, I5: so they do while each sync prunes the snapshots before the last two${why}`,
      async () => {
        expectAllWell(await trySome(way, { publishing: 'syncs' }));
      },
    );

    test.skipIf(why !== '')(
      `I1: so they do behind one address with others of their kind${why}`,
      async () => {
        const questions = await questionsOf(some, mirror, mkdtempSync(join(home.path, 'asked-')));

        expectAllWell(
          await trySome(amongNeighbours(way, questions), { publishing: FLIP_EVERY_MS }),
        );
      },
    );
  });

  describe.for([throughSquid(serve), throughSquid(nginxGuarded)])('$name', (way) => {
    const why = whyNot(way);

    test.skipIf(why !== '')(`I1: so they do${why}`, async () => {
      expectAllWell(await trySome(way, { publishing: FLIP_EVERY_MS }));
    });
  });

  describe.for([throughAptCacherNg(serve), throughAptCacherNg(nginxGuarded)])('$name', (way) => {
    const why = whyNot(way);

    test.skipIf(why !== '')(
      `I1: so does apt, where each version of a package has a name of its own${why}`,
      async () => {
        const apts = present.filter(({ name }) => name === 'apt');
        const archive = await mirrorOf(`archive-${way.name.split(',')[0]}`, apts, 'own');
        const options = { way, mirror: archive, publishing: FLIP_EVERY_MS, runs: GUARDED_RUNS };

        expectAllWell(await tryWay(apts, { ...options, work: home.path }));
      },
    );
  });

  const plain = underRun(nginxAlone);
  const whyNotPlain = whyNot(plain);
  test.skipIf(whyNotPlain !== '')(
    `I1: clients under \`run --http\` get all of one generation from a server that knows nothing of it${whyNotPlain}`,
    async () => {
      expectAllWell(await trySome(plain, { publishing: FLIP_EVERY_MS }));
    },
  );

  const whyNotForgetfully = whyNot(serveForgetfully);
  test.skipIf(whyNotForgetfully !== '')(
    `clients whose pin ends between update and install get the packages that they asked for${whyNotForgetfully}`,
    async () => {
      const archive = await mirrorOf('archive', some, 'own');

      expectAllWell(
        await tryWay(some, {
          way: serveForgetfully,
          mirror: archive,
          publishing: FLIP_EVERY_MS,
          runs: GUARDED_RUNS,
          between: 'sleep 1',
          work: home.path,
        }),
      );
    },
  );

  function mirrorOf(name: string, clients: typeof httpClients, names: Names = 'reused') {
    const repositories = new Set(clients.map(({ repository }) => repository));
    return mirrorOfRepositories(join(home.path, name), launcher, repositories, 4, names);
  }

  function tryAll(
    way: Way,
    options: Pick<HttpTrialOptions, 'publishing' | 'runs' | 'untilTrouble'>,
  ) {
    return tryWay(present, { way, mirror, work: home.path, ...options });
  }

  function trySome(way: Way, options: Pick<HttpTrialOptions, 'publishing'>) {
    return tryWay(some, { way, mirror, work: home.path, runs: GUARDED_RUNS, ...options });
  }
});

function expectAllWell(trials: readonly Trial[]): void {
  for (const { client, outcomes, flips, accounts } of trials) {
    const all = { ok: flips.length, failed: 0, mixed: 0 };
    expect(outcomes, `${client.name}: ${accounts.join('\n')}`).toEqual(all);
  }
  const flips = trials.flatMap((trial) => trial.flips);
  expect(Math.max(...flips), 'or nothing was tried').toBeGreaterThan(0);
}
