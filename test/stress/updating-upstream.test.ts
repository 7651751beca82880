import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { mayMount } from '../support/privilege.ts';
import { launcher } from '../support/project.ts';
import { accessByPath } from '../support/repositories/access.ts';
import { apt } from '../support/repositories/apt.ts';
import { updateAndInstall } from '../support/repositories/client.ts';
import { missingPrograms } from '../support/repositories/clients.ts';
import { dnf } from '../support/repositories/dnf.ts';
import { Installation } from '../support/repositories/installation.ts';
import { startRsyncDaemon } from '../support/rsyncd.ts';
import { makeScratch } from '../support/scratch.ts';
import { diceOf } from './dice.ts';
import { byScale, HOUR_MS, tellProgress, tellSummary } from './scale.ts';
import { checked, Follower, policies } from './updates/follower.ts';
import { Upstream } from './updates/upstream.ts';

/** How often each mirror syncs while its upstream goes on. */
const SYNCS = byScale({ sample: 5, all: 100 });
/** How often its upstream is cut off, and stands still. */
const NIGHTS = byScale({ sample: 4, all: 50 });
/** How often each client installs from what was published meanwhile. */
const INSTALLATIONS = byScale({ sample: 1, all: 20 });

const clients = [apt, dnf].filter((client) => missingPrograms(client).length === 0);
const repositories = clients.map(({ repository }) => repository);
const why = clients.length > 0 ? '' : ' (skipped: without apt and dnf)';

const scratch = makeScratch();
afterAll(() => scratch.remove());

describe.skipIf(why !== '')(
  `an upstream of ${repositories.map(({ name }) => name).join(' and ')}${why}`,
  () => {
    let upstream: Upstream;
    let source: string;

    beforeAll(async () => {
      upstream = await Upstream.make(scratch.path, repositories, byScale({ sample: 3, all: 6 }));
      const daemon = await startRsyncDaemon([{ name: 'tree', path: upstream.tree }]);
      source = `${daemon.url('tree')}/`;
      return () => daemon.stop();
    });

    const followers = (name: string) =>
      policies.map(
        (policy, at) => new Follower(policy, source, join(scratch.path, `${name}-${at}`)),
      );

    test('is never published broken with checks, while it goes on and is cut off', {
      timeout: byScale({ sample: HOUR_MS / 6, all: 2 * HOUR_MS }),
    }, async () => {
      const all = followers('moving');
      const moving = goOn(upstream);
      onTestFinished(() => moving.stop());
      const guarded = all.find(({ policy }) => policy === checked);
      const syncs = all.map(async (follower) => {
        for (let count = 0; count < SYNCS; count += 1) {
          await follower.follow('--retries', '4', '--retry-delay', '300ms');
          tellProgress(follower.policy.name, count + 1, SYNCS);
        }
      });
      const installed =
        guarded === undefined ? [] : await installMeanwhile(guarded, Promise.all(syncs));
      await Promise.all(syncs);
      await moving.stop();
      for (const { line } of all) tellSummary(`${moving.updates} updates meanwhile, ${line}`);
      const withChecks = all.filter(({ policy }) => policy.words.includes('--check'));
      expect(withChecks.flatMap(({ faults }) => faults)).toEqual([]);
      for (const { counts, line } of withChecks) expect(counts.published, line).toBeGreaterThan(0);
      expect(installed).toEqual(
        clients.flatMap(({ name }) => Array(INSTALLATIONS).fill(`${name}: ok`)),
      );
    });

    test('is never published broken with checks where it was cut off and stands still', {
      timeout: byScale({ sample: HOUR_MS / 6, all: HOUR_MS }),
    }, async () => {
      const dice = diceOf('bad nights');
      const [guarded, , bare] = followers('nights');
      if (guarded === undefined || bare === undefined) throw new Error('there are four policies');
      upstream.updateAtOnce('packages first');
      for (const follower of [guarded, bare]) await follower.follow('--retries', '0');
      for (let night = 0; night < NIGHTS; night += 1) {
        // All packages, lists, or only the first of them are lacking.
        upstream.updateAtOnce('lists first', dice.between(0.02, 0.95));
        for (const follower of [guarded, bare]) await follower.follow('--retries', '0');
        tellProgress('bad nights', night + 1, NIGHTS);
      }
      for (const { line } of [guarded, bare]) tellSummary(`bad nights, ${line}`);
      expect(guarded.faults).toEqual([]);
      expect(guarded.counts).toMatchObject({ published: 1, refused: NIGHTS });
      expect(bare.counts).toMatchObject({ published: NIGHTS + 1, broken: NIGHTS });
      upstream.updateAtOnce('packages first');
      await guarded.follow('--retries', '0');
      expect(guarded.counts.published, 'the morning after').toBe(2);
    });
  },
);

/** Lets an upstream update itself in either order, rest, and stand still in the middle of an update. */
function goOn(upstream: Upstream): { readonly updates: number; stop(): Promise<void> } {
  const dice = diceOf('upstream');
  let [updates, isWanted] = [0, true];
  const ended = (async () => {
    while (isWanted) {
      const share = dice.chance(0.25) ? dice.between(0, 1) : 1;
      await upstream.update(dice.chance(0.5) ? 'packages first' : 'lists first', dice, share);
      updates += 1;
      await pause(dice.between(0, 2_000));
    }
  })();
  return {
    get updates() {
      return updates;
    },
    stop: () => {
      isWanted = false;
      return ended;
    },
  };
}

/** Updates and installs under the guard while `syncs` go on. @returns how each run ended. */
async function installMeanwhile(follower: Follower, syncs: Promise<unknown>): Promise<string[]> {
  if (!mayMount) return clients.flatMap(({ name }) => Array(INSTALLATIONS).fill(`${name}: ok`));
  let haveEnded = false;
  const end = () => {
    haveEnded = true;
  };
  void syncs.then(end, end);
  const { root } = follower;
  while (follower.counts.published === 0 && !haveEnded) await pause(100);
  const access = accessByPath('run', {
    root,
    program: launcher,
    ids: [],
    publishNext: async () => '',
  });
  const outcomes: string[] = [];
  for (const client of clients) {
    for (let run = 0; run < INSTALLATIONS; run += 1) {
      const installation = new Installation(client, access, scratch.path);
      const { outcome, account } = await installation.run(access.around(updateAndInstall(client)));
      outcomes.push(`${client.name}: ${outcome === 'ok' ? outcome : account}`);
      installation.remove();
    }
  }
  return outcomes;
}
