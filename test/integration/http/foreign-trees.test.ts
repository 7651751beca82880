import { mkdirSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { freePort } from '../../support/daemon.ts';
import { eventually } from '../../support/eventually.ts';
import { ask } from '../../support/http/ask.ts';
import { publishTree } from '../../support/http/foreign-tree.ts';
import {
  apacheInFront,
  nginxInFront,
  readerOf,
  shown,
  snapshotOf,
} from '../../support/http/fronts.ts';
import type { ServeProcess } from '../../support/http/serve.ts';
import { serversOfTests } from '../../support/http/servers.ts';
import { whyNotInstalled } from '../../support/installed.ts';
import { runProgram } from '../../support/program.ts';
import { scratchDirectory } from '../../support/scratch.ts';

/** Trees with a symlink `current` that another program keeps. */

const serve = serversOfTests();

/** Reads as one client, whose User-Agent is `agent`. */
const reader = (server: ServeProcess, agent: string) => (path: string) =>
  ask(server.address, path, { headers: { 'User-Agent': agent } });

test('Two trees of one name are two snapshots, each by its path', async () => {
  const root = scratchDirectory();
  publishTree(root, 'a/rel', { InRelease: 'A' });
  const server = await serve(`${root}=/`);
  const apt = reader(server, 'apt');
  expect(shown(await apt('/current/InRelease'))).toBe('200 A');
  publishTree(root, 'b/rel', { InRelease: 'B' });
  const newer = await reader(server, 'dnf')('/current/InRelease');
  expect([shown(newer), snapshotOf(newer)]).toEqual(['200 B', 'b~rel']);
  const same = await apt('/current/InRelease');
  expect([shown(same), snapshotOf(same)]).toEqual(['200 A', 'a~rel']);
  expect(shown(await apt('/snapshots/a~rel/InRelease'))).toBe('200 A');
  expect(shown(await apt('/snapshots/b~rel/InRelease'))).toBe('200 B');
  expect((await apt('/snapshots/rel/InRelease')).status).toBe(404);
});

test.each([
  ['with a name that is no ASCII', 'выпуск-1', /^\+D0\+B2.*-1$/],
  ['with spaces and signs in its name', 'a b~c+d%20"', /^a\+20b\+7Ec/],
  ['outside of the root', undefined, /^~.*~rel$/],
])('A tree %s has an id by which it can be asked for', async (_, name, id) => {
  const root = scratchDirectory();
  publishTree(root, name ?? join(scratchDirectory(), 'rel'), { InRelease: 'A' });
  const server = await serve(`${root}=/`);
  const read = reader(server, 'apt');
  const reply = await read('/current/InRelease');
  expect(shown(reply)).toBe('200 A');
  expect(snapshotOf(reply)).toMatch(id);
  expect(shown(await read(`/snapshots/${snapshotOf(reply)}/InRelease`))).toBe('200 A');
  const current = JSON.parse((await read('/current.json')).text);
  expect(current.id).toBe(snapshotOf(reply));
  expect(shown(await read(`/${current.path}InRelease`))).toBe('200 A');
  const pin = await ask(server.address, '/pins', { method: 'POST' });
  expect(pin.status).toBe(201);
  expect(shown(await read(`${JSON.parse(pin.text).url}current/InRelease`))).toBe('200 A');
  const { mirrors } = JSON.parse((await read('/-/status.json')).text);
  expect(mirrors).toMatchObject([{ current: { id: current.id } }]);
});

test('A name that starts like a time may come again, so no cache keeps it', async () => {
  const root = scratchDirectory();
  publishTree(root, '20261127T010203Z', { InRelease: 'A' });
  const reply = await reader(
    await serve(`${root}=/`),
    'apt',
  )('/snapshots/20261127T010203Z/InRelease');
  expect(reply.headers['cache-control']).toBe('no-cache');
});

/** Removes a tree, and puts another one in its place. */
function replaceTree(tree: string, files: Readonly<Record<string, string>>): void {
  mkdirSync(`${tree}.new`);
  for (const [name, content] of Object.entries(files)) {
    writeFileSync(join(`${tree}.new`, name), content);
  }
  rmSync(tree, { recursive: true });
  renameSync(`${tree}.new`, tree);
}

test('I1: A run does not go on in another tree that was put in the place of its own', async () => {
  const root = scratchDirectory();
  publishTree(root, 'rel', { InRelease: 'A', Packages: 'A' });
  const server = await serve(`${root}=/`);
  const apt = reader(server, 'apt');
  for (const name of ['InRelease', 'Packages', 'Packages']) await apt(`/current/${name}`);
  const pin = JSON.parse((await ask(server.address, '/pins', { method: 'POST' })).text);
  replaceTree(join(root, 'rel'), { InRelease: 'B', Packages: 'B' });
  const dnf = reader(server, 'dnf');
  for (const _ of ['from the disk', 'from the disk again']) {
    expect(shown(await dnf('/current/Packages'))).toBe('200 B');
  }
  const cut = await apt('/current/Packages');
  expect(cut.status).toBe(503);
  expect(cut.headers['retry-after']).toBe('30');
  expect((await apt('/current/InRelease')).status).toBe(503);
  expect(snapshotOf(await dnf('/current/InRelease'))).toBe('rel~~2');
  expect((await apt('/snapshots/rel/InRelease')).status).toBe(404);
  expect(shown(await apt('/snapshots/rel~~2/InRelease'))).toBe('200 B');
  expect((await apt('/snapshots/')).text).toBe('rel~~2\n');
  expect((await apt(`${pin.url}current/Packages`)).status).toBe(410);
});

describe('A server that is started again', () => {
  async function servedAgain(afterwards: (root: string) => void) {
    const root = scratchDirectory();
    publishTree(root, 'a/rel', { InRelease: 'A', Packages: 'A' });
    const state = join(scratchDirectory(), 'state');
    const listen = ['--listen', `127.0.0.1:${await freePort()}`, '--state', state];
    const first = await serve(`${root}=/`, ...listen);
    const made = await ask(first.address, '/pins', { method: 'POST' });
    const read = async (path: string) => shown(await reader(first, 'apt')(path));
    expect(await read('/current/InRelease')).toBe('200 A');
    await first.stop();
    afterwards(root);
    await serve(`${root}=/`, ...listen);
    const { token } = JSON.parse(made.text) as { token: string };
    const pinned = async () => (await ask(first.address, `/pins/${token}`)).status;
    return { read, pinned };
  }

  test('goes on with the tree of a run, though another has the same name', async () => {
    const { read, pinned } = await servedAgain((root) => {
      publishTree(root, 'b/rel', { InRelease: 'B', Packages: 'B' });
    });
    expect(await read('/current/Packages')).toBe('200 A');
    expect(await pinned()).toBe(200);
  });

  test.each([
    ['is current', false],
    ['was current', true],
  ])(
    'does not take another tree in its place for that of a run, where it %s',
    async (_, isPast) => {
      const { read, pinned } = await servedAgain((root) => {
        replaceTree(join(root, 'a/rel'), { InRelease: 'C', Packages: 'C' });
        if (isPast) publishTree(root, 'b/rel', { InRelease: 'B', Packages: 'B' });
      });
      expect(await read('/current/Packages')).toMatch(/^503 .*has lost the snapshot a~rel/);
      expect(await pinned()).toBe(404);
    },
  );
});

test('A web server in front may send from any tree below the root', async () => {
  const root = scratchDirectory();
  publishTree(root, 'a/rel', { InRelease: 'A' });
  const printed = async (option: string) =>
    (await runProgram(['serve', `${root}=/`, '--listen', `unix:${root}/socket`, option])).stdout;
  expect(await printed('--apache-config')).toContain(`<Directory "${root}">`);
  expect(await printed('--nginx-config')).toContain(`"~^${root}/.+$" `);
});

describe.each([nginxInFront, apacheInFront])('Behind $name', (kind) => {
  const why = whyNotInstalled(...kind.programs);
  const DATE = new Date('2026-11-27T01:02:03Z');

  test.skipIf(why !== '')(`I1: two trees of one name do not mix${why}`, async () => {
    const root = scratchDirectory();
    const publish = (home: string) => {
      publishTree(root, `${home}/rel`, { InRelease: home, 'd/file': home });
      symlinkSync('d/file', join(root, home, 'rel/link'));
      utimesSync(join(root, home, 'rel/d/file'), DATE, DATE);
      utimesSync(join(root, home, 'rel/InRelease'), 1, home === 'a' ? 1 : 2);
    };
    publish('a');
    const front = await kind.start([`${root}=/`], join(scratchDirectory(), 'front'));
    onTestFinished(() => front.stop());
    const apt = readerOf(front, 'apt');
    expect(shown(await apt('/current/InRelease'))).toBe('200 a');
    publish('b');
    const dnf = readerOf(front, 'dnf');
    await eventually(async () => expect(shown(await dnf('/current/InRelease'))).toBe('200 b'));

    const headers = { 'If-None-Match': '"another"' };
    const since = { headers: { 'If-Modified-Since': DATE.toUTCString() } };
    for (const [read, home] of [
      [apt, 'a'],
      [dnf, 'b'],
    ] as const) {
      for (const path of ['InRelease', 'link', 'd/file']) {
        const reply = await read(`/current/${path}`);
        expect([shown(reply), snapshotOf(reply)], path).toEqual([`200 ${home}`, `${home}~rel`]);
      }
      expect(shown(await read('/current/d/file', { headers }))).toBe(`200 ${home}`);
      expect(shown(await read('/current/d/file', since))).toBe(`200 ${home}`);
      const { 'last-modified': date = '' } = (await read('/current/InRelease')).headers;
      const known = { headers: { 'If-Modified-Since': date } };
      expect((await read('/current/InRelease', known)).status).toBe(304);
    }
    front.server.kill('SIGKILL');
    await front.server.result;
    expect(shown(await apt('/current/link'))).toBe('200 a');
    expect(shown(await dnf('/current/link'))).toBe('200 b');
    // nginx believes every date then.
    if (kind === apacheInFront) expect((await dnf('/current/d/file', since)).status).toBe(200);
  });
});
