import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { apacheAlone, nginxAlone, throughSquid, type Way } from '../support/http/ways.ts';
import { whyNotInstalled } from '../support/installed.ts';
import { runsAsRoot } from '../support/privilege.ts';
import { launcher } from '../support/project.ts';
import { httpClients, missingPrograms } from '../support/repositories/clients.ts';
import { Flipper } from '../support/repositories/flipper.ts';
import { mirrorOfRepositories, type RepositoryMirror } from '../support/repositories/mirror.ts';
import { type TrialOptions, tryClientsInTurn } from '../support/repositories/trial.ts';
import { makeScratch, scratchDirectory } from '../support/scratch.ts';

/** Bare, at this rate, hardly a run ends well: at most so many until one does not. */
const BARE_RUNS = 20;
const BARE_FLIP_EVERY_MS = 20;

const present = httpClients.filter((client) => missingPrograms(client).length === 0);

/** In the name of a skipped test; empty when the way can be tried here. */
function whyNot({ programs }: Way): string {
  if (!runsAsRoot) return ' (skipped: only root can install)';
  return whyNotInstalled(...programs);
}

describe('clients that update and install over HTTP while snapshots are published', () => {
  const home = makeScratch();
  let mirror: RepositoryMirror;

  beforeAll(async () => {
    const repositories = new Set(present.map(({ repository }) => repository));
    mirror = await mirrorOfRepositories(home.path, launcher, repositories, 4);
  });
  afterAll(() => home.remove());

  describe.for([nginxAlone, apacheAlone, throughSquid(nginxAlone)])('behind $name', (way) => {
    const why = whyNot(way);

    test.skipIf(why !== '')(`fail, or mix generations, each of them${why}`, async () => {
      const options = { runs: BARE_RUNS, untilTrouble: true, everyMs: BARE_FLIP_EVERY_MS };
      const trials = await tryAll(way, options);

      const lucky = trials.filter(({ outcomes }) => outcomes.failed + outcomes.mixed === 0);
      expect(lucky.map(({ client }) => client.name)).toEqual([]);
    });
  });

  /** Two lanes, because most of the time clients and servers wait for each other. */
  async function tryAll(
    way: Way,
    { everyMs, ...options }: Pick<TrialOptions, 'runs' | 'untilTrouble'> & { everyMs: number },
  ) {
    const work = scratchDirectory();
    const served = await way.start(mirror, join(work, 'server'));
    onTestFinished(() => served.stop());
    const publisher = new Flipper(mirror.root, mirror.ids, everyMs);
    onTestFinished(() => publisher.stop());
    const lanes = [0, 1].map((lane) => present.filter((_, index) => index % 2 === lane));
    const all = { ...options, access: served.access, publisher, work };
    return (await Promise.all(lanes.map((clients) => tryClientsInTurn(clients, all)))).flat();
  }
});
