import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { tryWay } from '../support/http/trial.ts';
import {
  apacheGuarded,
  nginxAlone,
  nginxGuarded,
  ofChannel,
  serve,
  underRun,
} from '../support/http/ways.ts';
import { missingOf } from '../support/installed.ts';
import { runsAsRoot } from '../support/privilege.ts';
import { launcher } from '../support/project.ts';
import { httpClients, missingPrograms } from '../support/repositories/clients.ts';
import { mirrorOfRepositories, type RepositoryMirror } from '../support/repositories/mirror.ts';
import { makeScratch } from '../support/scratch.ts';

const RUNS = 2;

const present = httpClients.filter(
  (client) => ['apt', 'dnf'].includes(client.name) && missingPrograms(client).length === 0,
);

describe('clients of a channel, which is promoted all the time,', () => {
  const home = makeScratch();
  let mirror: RepositoryMirror;

  beforeAll(async () => {
    const repositories = new Set(present.map(({ repository }) => repository));
    mirror = await mirrorOfRepositories(join(home.path, 'mirror'), launcher, repositories, 3);
  });
  afterAll(() => home.remove());

  describe.for([
    underRun(ofChannel(serve)),
    underRun(ofChannel(nginxAlone)),
    underRun(ofChannel(nginxGuarded)),
    ofChannel(serve),
    ofChannel(nginxGuarded),
    ofChannel(apacheGuarded),
  ])('$name', (way) => {
    const missing = missingOf(...way.programs, 'apt-get', 'curl');
    const why = runsAsRoot
      ? missing.map((program) => ` (skipped: without ${program})`).join('')
      : ' (skipped: only root can install)';

    test.skipIf(why !== '')(`I1: get all of one generation${why}`, async () => {
      const options = { way, mirror, work: home.path, runs: RUNS };
      const trials = await tryWay(present, { ...options, publishing: 'promotions' });
      for (const { client, outcomes, accounts } of trials) {
        const all = { ok: RUNS, failed: 0, mixed: 0 };
        expect(outcomes, `${client.name}: ${accounts.join('\n')}`).toEqual(all);
      }
      const flips = trials.flatMap((trial) => trial.flips);
      expect(Math.max(...flips), 'or nothing was tried').toBeGreaterThan(0);
    });
  });
});
