import { expect, test } from 'vitest';
import { promote } from '../../../src/operations/promote.ts';
import { ask } from '../../support/http/ask.ts';
import type { ServeProcess } from '../../support/http/serve.ts';
import { serversOfTests } from '../../support/http/servers.ts';
import { mirrorsInPlace } from '../../support/in-place-mirror.ts';
import { copiesOf } from '../../support/small-mirror.ts';

const release = (suite: string) => ({ 'dists/x/InRelease': `Suite: ${suite}\n` });

/** `production` names one, and two is current. */
const mirrorsWithChannel = copiesOf(async (mirror) => {
  await mirror.publish('one', { ...release('one'), 'pool/a_1.deb': 'a 1', 'pool/b.deb': 'b 1' });
  await promote({ root: mirror.root, to: 'production' });
  await mirror.publish(
    'two',
    { ...release('twofold'), 'pool/a_1.deb': null, 'pool/a_2.deb': 'a 2', 'pool/b.deb': 'b 2' },
    '--allow-shrink',
  );
});
const inPlace = mirrorsInPlace();
const serve = serversOfTests();

const reader = (server: ServeProcess, agent: string) => async (path: string) =>
  (await ask(server.address, path, { headers: { 'User-Agent': agent } })).text;

test('I1: each client of a channel sees the snapshot that it named when the run began', async () => {
  const { root } = await mirrorsWithChannel();
  const server = await serve(`${root}=/debian/`);
  const early = reader(server, 'early');
  expect(await early('/debian/production/dists/x/InRelease')).toBe('Suite: one\n');
  expect(await early('/debian/production/pool/b.deb')).toBe('b 1');
  await promote({ root, to: 'production' });
  expect(await early('/debian/production/pool/b.deb')).toBe('b 1');
  expect(await early('/debian/production/pool/a_1.deb')).toBe('a 1');
  const late = reader(server, 'late');
  expect(await late('/debian/production/dists/x/InRelease')).toBe('Suite: twofold\n');
  expect(await late('/debian/production/pool/b.deb')).toBe('b 2');
});

test('a client that reads current and a channel has a run of each', async () => {
  const { root } = await mirrorsWithChannel();
  const both = reader(await serve(`${root}=/debian/`), 'both');
  for (const _ of [1, 2]) {
    expect(await both('/debian/current/pool/b.deb')).toBe('b 2');
    expect(await both('/debian/production/pool/b.deb')).toBe('b 1');
  }
});

test('a snapshot that a run of a channel holds is not pruned', async () => {
  const mirror = await mirrorsWithChannel();
  const { root } = mirror;
  const client = reader(await serve(`${root}=/debian/`), 'client');
  await client('/debian/production/pool/b.deb');
  await promote({ root, to: 'production' });
  const little = ['--keep-last', '1', '--keep-within', '0', '--grace', '0'];
  for (const id of ['three', 'four']) await mirror.publish(id, { file: id }, ...little);
  expect(mirror.snapshots()).toContain('one');
  expect(await client('/debian/production/pool/a_1.deb')).toBe('a 1');
});

test('CHANNEL.json says what the channel names; what is no channel is not there', async () => {
  const { root } = await mirrorsWithChannel();
  const server = await serve(`${root}=/debian/`);
  const get = (path: string, method = 'GET') => ask(server.address, path, { method });
  const said = await get('/debian/production.json');
  expect(JSON.parse(said.text)).toMatchObject({ id: 'one', path: 'snapshots/one/' });
  const moved = await get('/debian/production');
  expect([moved.status, moved.headers['location']]).toEqual([301, '/debian/production/']);
  for (const path of ['staging', 'staging/', 'staging/pool/b.deb', 'staging.json', 'previous/'])
    expect((await get(`/debian/${path}`)).status, path).toBe(404);
  expect((await get('/debian/production/pool/b.deb', 'PUT')).status).toBe(405);
  expect((await get('/debian/staging/pool/b.deb', 'PUT')).status).toBe(404);
});

test('a mirror in place has no channels', async () => {
  const { root } = await inPlace();
  const server = await serve(`${root}=/debian/`);
  expect((await ask(server.address, '/debian/production/file')).status).toBe(404);
});
