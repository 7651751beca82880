import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { promote } from '../../../src/operations/promote.ts';
import {
  apacheInFront,
  type Front,
  nginxInFront,
  readerOf,
  shown,
  snapshotOf,
} from '../../support/http/fronts.ts';
import { whyNotInstalled } from '../../support/installed.ts';
import { runProgram, transcript } from '../../support/program.ts';
import { scratchDirectory } from '../../support/scratch.ts';
import { copiesOf } from '../../support/small-mirror.ts';

/** `production` names `one`, and `two` is current. */
const mirrorsWithChannel = copiesOf(async (mirror) => {
  const release = (id: string) => ({ 'dists/x/InRelease': `Suite: ${id}\n` });
  await mirror.publish('one', { ...release('one'), 'pool/a_1.deb': 'a 1' });
  await promote({ root: mirror.root, to: 'production' });
  const next = { ...release('two'), 'pool/a_1.deb': null, 'pool/a_2.deb': 'a 2' };
  await mirror.publish('two', next, '--allow-shrink', '--no-prune');
});

const INDEX = '/debian/production/dists/x/InRelease';

describe.each([nginxInFront, apacheInFront])('by $name in front of mirrorlatch serve,', (kind) => {
  const why = whyNotInstalled(...kind.programs);
  const tried = test.skipIf(why !== '');

  async function start(...words: string[]): Promise<Front> {
    const front = await kind.start(words, join(scratchDirectory(), 'front'));
    onTestFinished(() => front.stop());
    return front;
  }

  tried(
    `I1: a client of a channel sees the snapshot that it named when the run began${why}`,
    async () => {
      const { root } = await mirrorsWithChannel();
      const front = await start(`${root}=/debian/`, '--access-log', '-');
      const [apt, dnf] = [readerOf(front, 'apt'), readerOf(front, 'dnf')];
      const one = await apt(INDEX);
      expect([shown(one), snapshotOf(one)]).toEqual(['200 Suite: one', 'one']);
      await promote({ root, to: 'production' });
      for (let count = 0; count < 5; count += 1) expect(shown(await apt(INDEX))).toBe(shown(one));
      expect(shown(await apt('/debian/production/pool/a_1.deb'))).toBe('200 a 1');
      expect(shown(await dnf(INDEX))).toBe('200 Suite: two');
      expect(shown(await apt('/debian/current/dists/x/InRelease'))).toBe('200 Suite: two');
      await apt('/-/healthz');
      await expect.poll(() => front.server.printedSoFar()).toContain('/-/healthz');
      const decision = expect.stringMatching(/^GET \/-\/decide\/debian(\/|%2F)production$/);
      expect(front.server.printedSoFar().match(/GET \S+/g)).toEqual([
        decision,
        decision,
        'GET /-/decide/debian',
        'GET /-/healthz',
      ]);
      expect(front.web.logs()).not.toMatch(/warn|error\]/);
    },
  );

  tried(`what the snapshot of a channel lacks comes from another one${why}`, async () => {
    const { root } = await mirrorsWithChannel();
    const front = await start(`${root}=/debian/`);
    const apt = readerOf(front, 'apt');
    expect(shown(await apt(INDEX))).toBe('200 Suite: one');
    expect(shown(await apt('/debian/production/pool/a_2.deb'))).toBe('200 a 2');
    expect((await apt('/debian/production/pool/none.deb')).status).toBe(404);
    expect((await apt('/debian/production')).headers['location']).toMatch(
      /\/debian\/production\/$/,
    );
    expect((await apt(INDEX, { method: 'PUT' })).status).toBe(405);
    const { text } = await apt('/debian/production.json');
    expect(JSON.parse(text)).toMatchObject({ id: 'one', path: 'snapshots/one/' });
  });

  tried(
    `I1: the client goes on in its snapshot when mirrorlatch is killed, and others read what the channel names${why}`,
    async () => {
      const { root } = await mirrorsWithChannel();
      const front = await start(`${root}=/debian/`);
      const [apt, dnf] = [readerOf(front, 'apt'), readerOf(front, 'dnf')];
      await apt(INDEX);
      front.server.kill('SIGKILL');
      await front.server.result;
      expect(snapshotOf(await dnf(INDEX))).toBe('unpinned');
      await promote({ root, to: 'production' });
      expect(shown(await apt(INDEX))).toBe('200 Suite: one');
      expect(shown(await dnf(INDEX))).toBe('200 Suite: two');
      expect((await dnf('/debian/production/none')).status).toBe(404);
    },
  );

  tried(
    `a channel that is made later is pinned, and one that is taken away is not there${why}`,
    async () => {
      const { root } = await mirrorsWithChannel();
      const front = await start(`${root}=/debian/`);
      const apt = readerOf(front, 'apt');
      await promote({ root, to: 'testing', id: 'one' });
      const path = '/debian/testing/dists/x/InRelease';
      expect(shown(await apt(path))).toBe('200 Suite: one');
      await promote({ root, to: 'testing', id: 'two' });
      expect(shown(await apt(path))).toBe('200 Suite: one');
      await runProgram(['promote', root, '--to', 'production', '--remove']);
      expect((await apt(INDEX)).status).toBe(404);
      expect((await apt('/debian/production.json')).status).toBe(404);
    },
  );

  tried.each([
    ['/debian/', '/debian/'],
    ['/current=/linux/', '/-/mirrors/linux/'],
  ])(`I1: run --http pins the channel of a mirror at %s${why}`, async (place, base) => {
    const { root } = await mirrorsWithChannel();
    const front = await start(place.includes('=') ? `${root}${place}` : `${root}=${place}`);
    const url = `${front.web.origin}${base}production/`;
    const script = `curl -sS ${url}dists/x/InRelease && curl -sS ${front.web.origin}${base}current.json`;
    const words = ['run', '--http', url, '--verbose', '--', 'sh', '-c', script];
    const result = await runProgram(words, { byLauncher: true });
    expect(result.stdout, transcript(result)).toMatch(/^Suite: one\n.*"id":"one"/);
    expect(result.stderr).toContain('the server holds it');
  });
});
