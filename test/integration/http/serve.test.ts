import { once } from 'node:events';
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { execa } from 'execa';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { StatusReport } from '../../../src/http/status/status-report.ts';
import { sync } from '../../../src/index.ts';
import { freePort } from '../../support/daemon.ts';
import { eventually } from '../../support/eventually.ts';
import { expectFailure } from '../../support/expect-failure.ts';
import { ask, type Reply } from '../../support/http/ask.ts';
import { publishTree } from '../../support/http/foreign-tree.ts';
import { type ServeProcess, startServe } from '../../support/http/serve.ts';
import { serversOfTests } from '../../support/http/servers.ts';
import { mirrorsInPlace } from '../../support/in-place-mirror.ts';
import { mayMount, nobody, runsAsRoot } from '../../support/privilege.ts';
import {
  nobodyRunsTheProgram,
  runForJson,
  runProgram,
  startProgram,
  transcript,
} from '../../support/program.ts';
import { scratchDirectory } from '../../support/scratch.ts';
import { copiesOf, type Files, type SmallMirror } from '../../support/small-mirror.ts';

const RELEASE = { 'dists/x/InRelease': 'Suite: one\n', 'pool/a_1.deb': 'a 1' };
const NEXT = {
  'dists/x/InRelease': 'Suite: twofold\n',
  'pool/a_1.deb': null,
  'pool/a_2.deb': 'a 2',
};
/** How many snapshots besides the current one the runs of a mirror hold. */
const MOST_SNAPSHOTS = 16;
const AS_THEY_ARE = ['--allow-shrink', '--no-prune'];

const published = copiesOf((mirror) => mirror.publish('one', RELEASE));
const inPlace = mirrorsInPlace();
const serve = serversOfTests();

/** Publishes from this process, for tests that need many snapshots. */
const publishHere = ({ source, root, change }: SmallMirror, id: string, files: Files) => {
  change(files);
  return sync({ source, root, id, shrink: { isAllowed: true }, prune: false });
};

/** Executes a command with a listening socket as descriptor 3, as systemd.socket(5) does. */
const ACTIVATION = `import os, socket, sys
listener = socket.create_server(("127.0.0.1", 0))
os.dup2(os.dup(listener.fileno()), 3)
os.set_inheritable(3, True)
os.execvpe(sys.argv[1], sys.argv[1:], {**os.environ, "LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())})`;

/** Reads as one client, whose User-Agent is `agent`. */
const reader = (server: ServeProcess, agent: string) => (path: string) =>
  ask(server.address, path, { headers: { 'User-Agent': agent } });

/** What a process has read in its life (proc_pid_io(5)). */
const bytesReadBy = (pid: number) =>
  Number(/^rchar: (\d+)$/m.exec(readFileSync(`/proc/${pid}/io`, 'utf8'))?.[1]);

const shown = ({ status, text }: Reply) => `${status} ${text.trim()}`;

describe('a client of mirrorlatch serve', () => {
  test('I1: sees the snapshot of its run while others are published, and another client the next one', async () => {
    const mirror = await published();
    const server = await serve(`${mirror.root}=/debian/`);
    const first = reader(server, 'apt');
    const one = await first('/debian/current/dists/x/InRelease');
    expect(shown(one)).toBe('200 Suite: one');
    expect(one.headers).toMatchObject({
      'cache-control': 'no-cache',
      'x-mirrorlatch-snapshot': 'one',
    });
    await mirror.publish('two', NEXT, ...AS_THEY_ARE);

    expect(shown(await first('/debian/current/dists/x/InRelease'))).toBe('200 Suite: one');
    expect(shown(await first('/debian/current/pool/a_1.deb'))).toBe('200 a 1');
    const other = reader(server, 'dnf');
    expect(shown(await other('/debian/current/dists/x/InRelease'))).toBe('200 Suite: twofold');
  });

  test('is told from another of its address by all of its User-Agent: that of pip has 420 characters', async () => {
    const mirror = await published();
    const server = await serve(`${mirror.root}=/`);
    const host = (name: string) => reader(server, `pip/23 ${'x'.repeat(400)} ${name}`);
    expect(shown(await host('a')('/current/dists/x/InRelease'))).toBe('200 Suite: one');
    await mirror.publish('two', NEXT, ...AS_THEY_ARE);
    expect(shown(await host('b')('/current/dists/x/InRelease'))).toBe('200 Suite: twofold');
    expect(shown(await host('a')('/current/dists/x/InRelease'))).toBe('200 Suite: one');
  });

  test('gets a file that its snapshot lacks from the newest one that has it, but no index', async () => {
    const mirror = await published();
    const server = await serve(mirror.root);
    const base = `/${mirror.root.split('/').at(-1)}/current/`;
    const early = reader(server, 'early');
    await early(`${base}dists/x/InRelease`);
    const added = { ...NEXT, 'dists/y/InRelease': 'Suite: y\n', 'dists/y/Packages': 'y' };
    await mirror.publish('two', added, ...AS_THEY_ARE);

    const file = await early(`${base}pool/a_2.deb`);
    expect(shown(file)).toBe('200 a 2');
    expect(file.headers['x-mirrorlatch-snapshot']).toBe('two');
    for (const index of ['dists/y/InRelease', 'dists/y/Packages', 'dists/y/']) {
      const reply = await early(`${base}${index}`);
      expect(reply.status, index).toBe(404);
      expect(reply.headers['x-mirrorlatch-snapshot']).toBeUndefined();
    }
    expect((await early(`${base}pool/a_3.deb`)).status).toBe(404);
  });

  test('I5: keeps its snapshot from prune until the server forgets it', async () => {
    const mirror = await published();
    const server = await serve(`${mirror.root}=/`, '--pin-quiet', '10s');
    const read = reader(server, 'apt');
    await read('/current/dists/x/InRelease');
    const keepLittle = ['--keep-last', '1', '--grace', '0s', '--allow-shrink'];
    for (const id of ['two', 'three', 'four']) {
      await mirror.publish(id, { 'dists/x/InRelease': `Suite: ${id}, the next\n` }, ...keepLittle);
      expect(shown(await read('/current/dists/x/InRelease'))).toBe('200 Suite: one');
    }
    expect(mirror.snapshots()).toContain('one');
    await eventually(async () => {
      await runProgram(['prune', mirror.root, '--keep-last', '1', '--grace', '0s']);
      expect(mirror.snapshots()).toEqual(['four', 'three']);
    });
  });

  test('goes on in its snapshot where runs hold too many of them, and fails when that is pruned', async () => {
    const mirror = await published();
    const server = await serve(`${mirror.root}=/`);
    const read = reader(server, 'apt');
    const file = '/current/pool/a_1.deb';
    expect((await read('/current/dists/x/InRelease')).status).toBe(200);
    for (let number = 2; number <= MOST_SNAPSHOTS + 3; number += 1) {
      await publishHere(mirror, `s${number}`, { 'pool/a_1.deb': `a ${number}` });
      await reader(server, `client ${number}`)('/current/dists/x/InRelease');
      expect(shown(await read(file))).toBe('200 a 1');
    }
    await eventually(async () => {
      await runProgram(['prune', mirror.root, '--keep-last', '1', '--grace', '0s']);
      expect(mirror.snapshots()).not.toContain('one');
    });
    for (let tries = 0; tries < 3; tries += 1) expect((await read(file)).status).toBe(503);
  });

  test('reads a snapshot by its id for ever, and the list of those that are there', async () => {
    const mirror = await published();
    await mirror.publish('two', NEXT, ...AS_THEY_ARE);
    mirror.change({ file: 'by its time' });
    await mirror.sync(...AS_THEY_ARE);
    const server = await serve(`${mirror.root}=/`);
    const read = reader(server, 'curl');
    const old = await read('/snapshots/one/pool/a_1.deb');
    expect(shown(old)).toBe('200 a 1');
    // A person may give the name to another snapshot when this one is gone.
    expect(old.headers['cache-control']).toBe('no-cache');
    const time = mirror.snapshots().find((id) => id.startsWith('20'));
    expect((await read(`/snapshots/${time}/file`)).headers['cache-control']).toBe(
      'public, max-age=31536000, immutable',
    );
    expect(shown(await read('/snapshots/two/pool/a_2.deb'))).toBe('200 a 2');
    expect((await read('/snapshots/two/pool/a_1.deb')).status).toBe(404);
    expect((await read('/snapshots/three/pool/a_1.deb')).status).toBe(404);
    expect((await read('/snapshots/')).text).toContain('one');
  });

  test('does not make the server read the whole history for each of its requests', async () => {
    const mirror = await published();
    appendFileSync(mirror.state('history.jsonl'), `"${'x'.repeat(1_000_000)}"\n`);
    const server = await serve(`${mirror.root}=/`);
    const askForAll = async () => {
      for (const path of ['/snapshots/', '/current.json', '/'])
        expect((await reader(server, 'curl')(path)).status).toBe(200);
      const { status } = await ask(server.address, '/pins', { method: 'POST' });
      expect(status).toBe(201);
    };
    await askForAll();
    const before = bytesReadBy(server.pid);
    for (let count = 0; count < 5; count += 1) await askForAll();
    expect(bytesReadBy(server.pid) - before).toBeLessThan(1_000_000);
    await mirror.publish('two', NEXT, ...AS_THEY_ARE);
    const at = mirror.history().findLast(({ event }) => event === 'published')?.['at'];
    expect(JSON.parse((await reader(server, 'curl')('/current.json')).text)).toMatchObject({
      id: 'two',
      publishedAt: at,
    });
  });

  test('that has only a date is sent the whole file where another snapshot has another of that date', async () => {
    const mirror = await published();
    const time = new Date('2020-01-02T03:04:05Z');
    const publish = async (id: string, content: string) => {
      mirror.change({ file: content });
      utimesSync(join(mirror.source, 'file'), time, time);
      await mirror.sync('--id', id, ...AS_THEY_ARE, '--', '--checksum');
    };
    await publish('1st', 'old');
    await publish('2nd', 'new');
    const server = await serve(`${mirror.root}=/`);
    const statusOf = async (path: string, headers: Record<string, string>) =>
      (await ask(server.address, path, { headers })).status;
    const since = time.toUTCString();
    expect(await statusOf('/current/file', { 'If-Modified-Since': since })).toBe(200);
    expect(await statusOf('/current/file', { Range: 'bytes=1-', 'If-Range': since })).toBe(200);
    await mirror.publish('3rd', { other: 'new' }, ...AS_THEY_ARE);
    await runProgram(['prune', mirror.root, '--keep-last', '1', '--grace', '0s']);
    expect(await statusOf('/current/file', { 'If-Modified-Since': since })).toBe(304);
    expect(await statusOf('/current/file', { Range: 'bytes=1-', 'If-Range': since })).toBe(206);
  });

  test('finds its way from the base of a mirror in a browser, and by a script', async () => {
    const mirror = await published();
    await mirror.publish('two', NEXT, ...AS_THEY_ARE);
    const server = await serve(`${mirror.root}=/debian/`);
    const read = async (path: string, Accept: string) => {
      const reply = await ask(server.address, path, { headers: { Accept } });
      expect(reply).toMatchObject({ status: 200, headers: { vary: 'Accept' } });
      return reply;
    };
    const browser = 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8';
    const linksIn = ({ text }: Reply) =>
      [...text.matchAll(/<a href="([^"]*)">.*?<\/td><td>(.*?)<\/td><td>(.*?)<\/td>/g)].map(
        (found) => found.slice(1),
      );
    const time = expect.stringMatching(/^\d{4}-\d\d-\d\d \d\d:\d\d$/);

    const base = await read('/debian/', browser);
    expect(base.headers['content-type']).toBe('text/html; charset=utf-8');
    expect(linksIn(base)).toEqual([
      ['current/', time, 'two'],
      ['snapshots/', '', ''],
      ['current.json', '', ''],
    ]);
    expect(linksIn(await read('/debian/snapshots/', browser))).toEqual([
      ['../', '', ''],
      ['two/', time, 'current'],
      ['one/', time, ''],
    ]);
    expect((await read('/debian/', '*/*')).text).toBe('current/\ncurrent.json\nsnapshots/\n');
    expect((await read('/debian/snapshots/', '*/*')).text).toBe('two\none\n');
    const listed = JSON.parse((await read('/debian/snapshots/', 'application/json')).text);
    const publishedAt = expect.stringMatching(/^\d{4}-.+Z$/);
    expect(listed).toEqual({
      format: 1,
      snapshots: [
        { id: 'two', publishedAt, isCurrent: true },
        { id: 'one', publishedAt, isCurrent: false },
      ],
    });

    const made = await ask(server.address, '/debian/pins', {
      method: 'POST',
      body: '{"snapshot":"one"}',
    });
    const { url } = JSON.parse(made.text) as { url: string };
    expect(linksIn(await read(url, browser))[0]).toEqual(['current/', time, 'one']);
    expect(linksIn(await read(`${url}snapshots/`, browser))[1]).toEqual(['one/', time, 'current']);
  });

  test('is told that a name is wrong, whatever the method', async () => {
    const mirror = await published();
    const server = await serve(`${mirror.root}=/debian/`);
    for (const path of ['/debain/pins', '/debian/pinz', '/-/nothing', '/-/mirrors/debian/pins']) {
      for (const method of ['POST', 'GET', 'DELETE']) {
        expect((await ask(server.address, path, { method })).status, path).toBe(404);
      }
    }
    expect((await ask(server.address, '/metrics', { method: 'POST' })).status).toBe(405);
    expect((await ask(server.address, '/debian/', { method: 'POST' })).status).toBe(405);
  });

  test('finds what is current right below the prefix, if that is what is served', async () => {
    const mirror = await published();
    const server = await serve(`${mirror.root}/current=/linux/`);
    expect(shown(await ask(server.address, '/linux/pool/a_1.deb'))).toBe('200 a 1');
    const base = /\. Pins, snapshots and current\.json are below \/-\/mirrors\/linux\/$/;
    for (const path of ['current.json', 'pins', 'snapshots/', 'current/file']) {
      expect(shown(await ask(server.address, `/linux/${path}`))).toMatch(base);
    }
    expect(shown(await ask(server.address, '/linux/pins', { method: 'POST' }))).toMatch(base);
    expect(shown(await ask(server.address, '/linux/other'))).toBe('404 There is nothing here.');
    expect(shown(await ask(server.address, '/-/mirrors/other/pins', { method: 'POST' }))).toMatch(
      /^404 .+ at \/-\/mirrors\/linux\/$/,
    );
    const pin = await ask(server.address, '/-/mirrors/linux/pins', { method: 'POST' });
    const { url } = JSON.parse(pin.text) as { url: string };
    expect(shown(await ask(server.address, `${url}current/pool/a_1.deb`))).toBe('200 a 1');
  });

  test('finds what is current right below a prefix that lies within that of another mirror', async () => {
    const [mirror, outer, inner] = [await published(), await published(), await published()];
    await outer.publish('outer', { outer: 'outer' }, ...AS_THEY_ARE);
    await inner.publish('inner', { inner: 'inner' }, ...AS_THEY_ARE);
    const [whole, below] = [`${mirror.root}=/`, `${outer.root}=/linux/`];
    const server = await serve(whole, below, `${inner.root}/current=/linux/debian/`);
    for (const [path, answer] of [
      ['/linux/debian/inner', '200 inner'],
      ['/linux/current/outer', '200 outer'],
      ['/current/pool/a_1.deb', '200 a 1'],
    ] as const) {
      expect(shown(await ask(server.address, path))).toBe(answer);
    }
  });

  test('is told when a snapshot has been removed, and not led to another in the midst of a run', async () => {
    const mirror = await published();
    const [first, second, third] = ['20260101T030000Z', '20260102T030000Z', '20260103T030000Z'];
    for (const id of [first, second, third]) await mirror.publish(id, { file: id }, ...AS_THEY_ARE);
    const server = await serve(`${mirror.root}=/`);
    const read = (time: string) => ask(server.address, `/snapshots/${time}/file`);
    const asked = '20260102T120000Z';
    expect((await read(asked)).headers['location']).toBe(`/snapshots/${second}/file`);
    expect((await read(second)).status).toBe(200);
    await runProgram(['prune', mirror.root, '--keep-last', '1', '--grace', '0s']);
    // `previous` stays, so the next publication makes the pruned one different from it.
    await mirror.publish('last', { file: 'last' }, '--keep-last', '1', '--grace', '0s');
    expect(mirror.snapshots()).toEqual([second, third, 'last']);
    expect((await read(asked)).headers['location']).toBe(`/snapshots/${second}/file`);
    expect((await read(first)).status).toBe(410);
  });

  test('finds snapshots that were moved to another place, with a symlink in theirs, and no directory of a person', async () => {
    const mirror = await published();
    for (const id of ['two', 'three']) await mirror.publish(id, { file: id }, ...AS_THEY_ARE);
    const snapshots = join(mirror.root, 'snapshots');
    renameSync(snapshots, join(mirror.home, 'elsewhere'));
    symlinkSync('../elsewhere', snapshots);
    mkdirSync(join(snapshots, 'private'));
    writeFileSync(join(snapshots, 'private/file'), 'private');
    const server = await serve(`${mirror.root}=/`);
    const read = (path: string) => ask(server.address, path);
    expect(shown(await read('/snapshots/one/pool/a_1.deb'))).toBe('200 a 1');
    expect((await read('/snapshots/')).text.trim().split('\n')).toEqual(['three', 'two', 'one']);
    expect((await read('/snapshots/private/file')).status).toBe(404);
  });

  test('is led to the last snapshot before a time, as apt asks for one', async () => {
    const mirror = await published();
    const [first, second] = ['20260101T030000Z', '20260102T030000Z'];
    for (const id of [first, second]) await mirror.publish(id, { file: id }, ...AS_THEY_ARE);
    const server = await serve(`${mirror.root}=/debian/`);
    const location = async (path: string) => {
      const { status, headers } = await ask(server.address, path);
      return [status, headers['location']];
    };
    for (const time of ['20260101T030001Z', '20260102']) {
      expect(await location(`/debian/snapshots/${time}/a%20b?c`)).toEqual([
        302,
        `/debian/snapshots/${first}/a%20b?c`,
      ]);
    }
    expect(await location('/debian/snapshots/20270101T000000Z/')).toEqual([
      302,
      `/debian/snapshots/${second}/`,
    ]);
    for (const spelling of [
      '//debian//snapshots//20270101T000000Z//a/b',
      '/%64ebian/./snapshots/2027%30101T000000Z/./a/%62',
      'http://debian/debian/snapshots/20270101T000000Z/a/b',
    ]) {
      expect(await location(spelling)).toEqual([302, `/debian/snapshots/${second}/a/b`]);
    }
    expect(await location('/-/apt/debian/current/20260101T040000Z/file')).toEqual([
      302,
      '/debian/snapshots/20260101T040000Z/file',
    ]);
    const early = await ask(server.address, '/debian/snapshots/20250101T000000Z/file');
    expect(shown(early)).toMatch(/^404 .+ The oldest is 20260101T030000Z: /);
    expect(await location('/-/apt/other/current/20260101T040000Z/file')).toEqual([404, undefined]);
  });

  test('keeps its run, however many snapshots another client asks for by their times', async () => {
    const mirror = await published();
    for (let day = 10; day < 28; day += 1) {
      await publishHere(mirror, `202601${day}T030000Z`, { file: `${day}`, other: `${day}` });
    }
    const server = await serve(`${mirror.root}=/`);
    const client = reader(server, 'client');
    expect((await client('/current/file')).text).toBe('27');
    for (let day = 10; day < 28; day += 1) {
      const { status } = await ask(server.address, `/snapshots/202601${day}T030001Z/file`);
      expect(status).toBe(302);
    }
    const pins = async () => {
      const { text } = await ask(server.address, '/-/status.json');
      return (JSON.parse(text) as StatusReport).mirrors[0]?.pins?.pins;
    };
    const held = async () => {
      const listed = (await runForJson(['list', mirror.root])) as unknown as { leases: number }[];
      return listed.filter(({ leases }) => leases > 0).length;
    };
    expect(await pins()).toBe(19);
    // What is too much is the lease of the oldest, not its run.
    await eventually(async () => expect(await held()).toBe(17));
    expect(await pins()).toBe(19);
    await mirror.publish('next', { other: 'next' }, ...AS_THEY_ARE);
    expect((await client('/current/other')).text).toBe('27');
  });

  test('reads what is current as JSON', async () => {
    const mirror = await published();
    await mirror.publish('two', NEXT, ...AS_THEY_ARE);
    const server = await serve(`${mirror.root}=/`);
    const { headers, text } = await ask(server.address, '/current.json');
    expect(headers).toMatchObject({
      'content-type': 'application/json',
      'cache-control': 'no-cache',
    });
    expect(JSON.parse(text)).toEqual({
      format: 1,
      id: 'two',
      path: 'snapshots/two/',
      previous: 'one',
      publishedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
    });
  });

  test('is told that a mirror in place has no snapshots, and so is its admin', async () => {
    const { root } = await inPlace();
    const server = await serve(`${root}=/`);
    for (const path of ['snapshots/', 'snapshots/20260101T000000Z/file', 'current.json']) {
      expect(shown(await ask(server.address, `/${path}`))).toMatch(
        /^404 This mirror is written in place: it has no snapshots/,
      );
    }
    const printed = await runProgram(['serve', root, '--apt-config', 'http://mirror.example.org']);
    expectFailure(printed, 64, /is written in place: apt finds no snapshots/);
  });

  test('is told to come back where nothing has been published, and while a mirror in place is written', async () => {
    const empty = join(scratchDirectory(), 'empty');
    await runProgram(['init', empty]);
    const mirror = await inPlace();
    const server = await serve(`${empty}=/empty/`, `${mirror.root}=/live/`);
    const read = reader(server, 'apt');
    expect(await read('/empty/current/x')).toMatchObject({
      status: 503,
      headers: { 'retry-after': '30' },
    });

    expect((await read('/live/current/file')).status).toBe(200);
    await runProgram(['gate', 'close', mirror.root]);
    const closed = await read('/live/current/file');
    expect(closed).toMatchObject({ status: 503, headers: { 'retry-after': '30' } });
    expect(closed.text).toContain('closed by hand');
    expect(closed.text).not.toContain(mirror.root);
    await runProgram(['gate', 'open', mirror.root]);
    expect((await read('/live/current/file')).status).toBe(200);
    expect((await ask(server.address, '/live/pins', { method: 'POST' })).status).toBe(409);
  });

  test('is told to come back where `current` leads nowhere, and the log says why once', async () => {
    const mirror = await published();
    const server = await serve(`${mirror.root}=/`);
    rmSync(join(mirror.root, 'current'));
    symlinkSync('snapshots/gone', join(mirror.root, 'current'));
    for (let count = 0; count < 3; count += 1) {
      const reply = await ask(server.address, '/current/file');
      expect(reply).toMatchObject({ status: 503, headers: { 'retry-after': '30' } });
      expect(reply.text).not.toContain(mirror.root);
    }
    const said = () => server.saidSoFar().match(/current leads to the snapshot gone/g);
    await eventually(() => expect(said()).toHaveLength(1));
  });

  test('of a tree whose `current` another program keeps is pinned, too', async () => {
    const home = scratchDirectory();
    const publish = (id: string) => publishTree(home, `releases/${id}`, { 'repomd.xml': id });
    publish('1');
    mkdirSync(join(home, 'releases', 'private'));
    const server = await serve(`${home}=/`);
    const read = reader(server, 'dnf');
    expect(shown(await read('/current/repomd.xml'))).toBe('200 1');
    publish('2');
    expect(shown(await read('/current/repomd.xml'))).toBe('200 1');
    expect(shown(await reader(server, 'other')('/current/repomd.xml'))).toBe('200 2');
    expect((await read('/snapshots/private/')).status).toBe(404);
  });
});

describe('a strict pin', () => {
  const post = (server: ServeProcess, body = '') =>
    ask(server.address, '/pins', { method: 'POST', body });

  test('is a whole prefix of one snapshot until it is released, and keeps that from prune', async () => {
    const mirror = await published();
    const server = await serve(`${mirror.root}=/`);
    const made = await post(server, '{"seconds":60}');
    expect(made.status).toBe(201);
    const pin = JSON.parse(made.text) as { token: string; url: string };
    expect(pin).toMatchObject({ id: 'one', url: `/pins/${pin.token}/`, seconds: 60 });
    expect(made.headers['location']).toBe(pin.url);
    for (const id of ['two', 'three', 'four']) {
      await mirror.publish(id, NEXT, '--keep-last', '1', '--grace', '0s', '--allow-shrink');
      Object.assign(NEXT, { 'dists/x/InRelease': `Suite: after ${id}\n` });
    }
    const read = (path: string) => ask(server.address, `${pin.url}${path}`);
    expect(shown(await read('current/dists/x/InRelease'))).toBe('200 Suite: one');
    expect((await read('current/pool/a_2.deb')).status).toBe(404);
    expect(JSON.parse((await read('current.json')).text)).toMatchObject({ id: 'one' });
    expect(mirror.snapshots()).toContain('one');

    const renewed = await ask(server.address, `/pins/${pin.token}`, {
      method: 'PUT',
      body: '{"seconds":120}',
    });
    expect(JSON.parse(renewed.text)).toMatchObject({ id: 'one', seconds: 120 });
    const remove = () => ask(server.address, `/pins/${pin.token}`, { method: 'DELETE' });
    expect((await remove()).status).toBe(204);
    expect((await remove()).status).toBe(410);
    expect((await read('current/dists/x/InRelease')).status).toBe(410);
    expect((await ask(server.address, '/pins/unknown/current/x')).status).toBe(404);
    await runProgram(['prune', mirror.root, '--keep-last', '1', '--grace', '0s']);
    expect(mirror.snapshots()).not.toContain('one');
  });

  test('ends by itself when its time is over', async () => {
    const mirror = await published();
    const server = await serve(`${mirror.root}=/`);
    const { url } = JSON.parse((await post(server, '{"seconds":1}')).text);
    expect((await ask(server.address, `${url}current/pool/a_1.deb`)).status).toBe(200);
    await eventually(async () =>
      expect((await ask(server.address, `${url}current/pool/a_1.deb`)).status).toBe(410),
    );
  });

  test('is still good for a server that was started anew, until its client makes it anew', async () => {
    const mirror = await published();
    const first = await startServe([`${mirror.root}=/`]);
    const { token, url } = JSON.parse((await post(first)).text);
    first.kill('SIGKILL');
    await first.result;
    await mirror.publish('two', NEXT, ...AS_THEY_ARE);
    const second = await serve(`${mirror.root}=/`);
    const read = () => ask(second.address, `${url}current/dists/x/InRelease`);
    expect(shown(await read())).toBe('200 Suite: one');
    expect((await ask(second.address, `/pins/${token}`, { method: 'PUT' })).status).toBe(404);
    for (const invented of ['three~x', '..~x', '~', 'live~x']) {
      expect((await ask(second.address, `/pins/${invented}/current/`)).status).toBe(404);
    }
  });

  test('that ends while its client asks for more time has ended, and the client is told', async () => {
    const mirror = await published();
    const server = await serve(`${mirror.root}=/`);
    const { token } = JSON.parse((await post(server)).text);
    const { hostname, port } = new URL(server.address);
    const socket = connect(Number(port), hostname);
    socket.write(`PUT /pins/${token} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n`);
    // Its answer is on the way once another one is there.
    await ask(server.address, '/-/healthz');
    await ask(server.address, `/pins/${token}`, { method: 'DELETE' });
    socket.write('{}');
    const [answer] = await once(socket, 'data');
    expect(String(answer)).toMatch(/^HTTP\/1\.1 410 /);
    socket.destroy();
  });

  test('can be of another snapshot, and says what is wrong with a request', async () => {
    const mirror = await published();
    await mirror.publish('two', NEXT, ...AS_THEY_ARE);
    const server = await serve(`${mirror.root}=/`);
    const idOf = (reply: Reply) => (JSON.parse(reply.text) as { id: string }).id;
    expect(idOf(await post(server, '{"snapshot":"previous"}'))).toBe('one');
    expect(idOf(await post(server, '{"snapshot":"one"}'))).toBe('one');
    expect(idOf(await post(server, '{"snapshot":"current"}'))).toBe('two');
    expect((await post(server, '{"snapshot":"../.."}')).status).toBe(404);
    expect((await post(server, '{')).status).toBe(400);
    expect((await post(server, '[1]')).status).toBe(400);
    expect((await post(server, ' '.repeat(5000))).status).toBe(400);
    const time = '"seconds" is %s, not a number of at least 1.';
    for (const value of ['-1', '"1"', 'null']) {
      expect(shown(await post(server, `{"seconds":${value}}`))).toBe(
        `400 ${time.replace('%s', value)}`,
      );
    }
    expect(shown(await post(server, '{"second":5}'))).toMatch(
      /^400 The field "second" is not allowed.+"snapshot", .+; "seconds", a number/,
    );
    expect(shown(await post(server, '{"snapshot":7}'))).toMatch(
      /^400 "snapshot" is 7, not "current", "previous" or the id of a snapshot/,
    );
    expect(shown(await post(server, '{"snapshot":"three"}'))).toMatch(
      /^404 There is no snapshot "three".+\/snapshots\//,
    );
    expect(shown(await ask(server.address, '/pins?seconds=5', { method: 'POST' }))).toMatch(
      /^400 .+ not into a query\. Send for example/,
    );
    const { token } = JSON.parse((await post(server)).text) as { token: string };
    const change = { method: 'PUT', body: '{"snapshot":"one"}' };
    expect(shown(await ask(server.address, `/pins/${token}`, change))).toMatch(
      /^400 The field "snapshot" is not allowed/,
    );
  });

  test('of a time, or of what was before the first snapshot, is refused with what there is', async () => {
    const mirror = await published();
    const server = await serve(`${mirror.root}=/`);
    expect(shown(await post(server, '{"snapshot":"previous"}'))).toMatch(
      /^404 No snapshot was current before .+\/snapshots\//,
    );
    await mirror.publish('20260101T030000Z', NEXT, ...AS_THEY_ARE);
    expect(shown(await post(server, '{"snapshot":"20260102T000000Z"}'))).toMatch(
      /^404 .+ The last before that time is 20260101T030000Z/,
    );
  });

  test('is refused where one client has too many', async () => {
    const mirror = await published();
    const server = await serve(`${mirror.root}=/`);
    for (let count = 0; count < 100; count += 1) expect((await post(server)).status).toBe(201);
    expect(await post(server)).toMatchObject({ status: 503, headers: { 'retry-after': '30' } });
    const other = await ask(server.address, '/pins', { method: 'POST', from: '127.0.0.2' });
    expect(other.status).toBe(201);
  });

  test('is refused where one network has too many, from however many addresses', async () => {
    const mirror = await published();
    const server = await serve(`${mirror.root}=/`, '--trust-proxy', '127.0.0.1');
    const from = (address: string) =>
      ask(server.address, '/pins', { method: 'POST', headers: { 'X-Forwarded-For': address } });
    for (let count = 1; count <= 100; count += 1) {
      expect((await from(`2001:db8::${count}`)).status).toBe(201);
    }
    expect((await from('2001:db8::1:1')).status).toBe(503);
    expect((await from('2001:db8:0:1::1')).status).toBe(201);
  });
});

describe('a decision for a web server in front', () => {
  test('names the tree of the client, and only a trusted proxy gets it', async () => {
    const mirror = await published();
    const name = mirror.root.split('/').at(-1) ?? '';
    const socket = join(mirror.home, 'socket');
    const server = await serve(
      `${mirror.root}=/`,
      '--listen',
      `unix:${socket}`,
      '--listen',
      '127.0.0.1:0',
    );
    const headers = {
      'X-Forwarded-For': '192.0.2.1',
      'User-Agent': 'apt',
      'X-Original-URI': '/current/dists/x/InRelease',
    };
    const decide = (more = {}) =>
      ask(server.address, `/-/decide/${name}`, { headers: { ...headers, ...more } });
    const first = await decide();
    expect(first).toMatchObject({
      status: 204,
      headers: {
        'x-mirrorlatch-snapshot': 'one',
        'x-mirrorlatch-tree': join(mirror.root, 'snapshots/one'),
        'cache-control': 'max-age=600, stale-if-error=600',
      },
    });
    await mirror.publish('two', NEXT, ...AS_THEY_ARE);
    expect((await decide()).headers['x-mirrorlatch-snapshot']).toBe('one');
    const other = await decide({ 'X-Forwarded-For': '192.0.2.2' });
    expect(other.headers['x-mirrorlatch-snapshot']).toBe('two');
    // What the web server does not find comes to the same run.
    const missed = await ask(server.address, '/current/pool/a_2.deb', { headers });
    expect(shown(missed)).toBe('200 a 2');
    const [, open = ''] = /"(http:[^"]+)"/.exec(server.printedSoFar()) ?? [];
    expect((await ask(open, `/-/decide/${name}`, { headers })).status).toBe(403);
    for (const other of ['other', 'another']) {
      expect((await ask(server.address, `/-/decide/${other}`, { headers })).status).toBe(404);
    }
    const warnings = () =>
      server.saidSoFar().match(/asks for the mirror "\w+", .+ not served here/g);
    await eventually(() => expect(warnings()).toEqual([expect.stringContaining('"other"')]));
  });
});

describe('the server', () => {
  test('lets an answer end at SIGTERM, and takes no more', async () => {
    const mirror = await published();
    const big = Buffer.alloc(32 * 1024 * 1024, 'x');
    await mirror.publish('big', { 'big.deb': big }, ...AS_THEY_ARE);
    const server = await startServe([`${mirror.root}=/`]);
    const { port, hostname } = new URL(server.address);
    const socket = connect(Number(port), hostname);
    const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`;
    socket.write(get('/current/big.deb') + get('/current.json').repeat(2));
    let received = 0;
    let end = '';
    await new Promise((resolve) => socket.once('readable', resolve));
    server.kill('SIGTERM');
    await eventually(async () => {
      await expect(ask(server.address, '/current.json')).rejects.toThrow('ECONNREFUSED');
    });
    socket.on('data', (chunk) => {
      received += chunk.length;
      end = `${end}${String(chunk)}`.slice(-1000);
    });
    const result = await server.result;
    expect(result.exitCode, transcript(result)).toBe(0);
    await eventually(() => expect(received).toBeGreaterThan(big.length));
    // So the client knows that it has to ask elsewhere for the second.
    await eventually(() => expect(end).toMatch(/Connection: close[\s\S]*"id":"big"/));
    expect(end.match(/HTTP\/1\.1 200/g)).toHaveLength(1);
  });

  test('sends at SIGTERM all of an answer that a slow client has asked for in advance', async () => {
    const mirror = await published();
    const body = 'x'.repeat(60_000);
    await mirror.publish('medium', { 'medium.deb': body }, ...AS_THEY_ARE);
    const server = await startServe([`${mirror.root}=/`]);
    const { port, hostname } = new URL(server.address);
    const socket = connect(Number(port), hostname);
    socket.write('GET /current/medium.deb HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(200));
    await new Promise((resolve) => socket.once('readable', resolve));
    // Until all that lies between is full.
    let before = -1;
    await eventually(async () => {
      const now = socket.readableLength + socket.bytesRead;
      const isFull = now === before;
      before = now;
      await pause(200);
      expect(isFull).toBe(true);
    });
    server.kill('SIGTERM');
    await pause(300);
    let received = '';
    socket.on('data', (chunk) => {
      received += String(chunk);
    });
    expect((await server.result).exitCode).toBe(0);
    await eventually(() => expect(socket.readableEnded).toBe(true));
    const bodies = received.split(/HTTP\/1\.1 200 OK[\s\S]*?\r\n\r\n/).slice(1);
    expect(bodies.length).toBeLessThan(200);
    expect(bodies.at(-1)).toBe(body);
  });

  test.runIf(runsAsRoot)('goes on as nobody when root starts it', async () => {
    const mirror = await published();
    const server = await serve(`${mirror.root}=/`);
    const status = readFileSync(`/proc/${server.pid}/status`, 'utf8');
    const nobody = (await execa('id', ['-u', 'nobody'])).stdout;
    expect(status).toMatch(new RegExp(`^Uid:\\s+${nobody}\\s+${nobody}\\s`, 'm'));
    expect(status).toMatch(/^Groups:\s+65534\s*$/m);
  });

  test.runIf(runsAsRoot)(
    'refuses a mirror that nobody may not enter, and names the way out',
    async () => {
      const mirror = await published();
      chmodSync(mirror.home, 0o700);
      const result = await runProgram(['serve', mirror.root, '--listen', '127.0.0.1:0']);
      expectFailure(result, 77, /user nobody may not enter .*mirror/, /chmod a\+rx.*--user/);
    },
  );

  test.runIf(runsAsRoot)('answers 503 when its user may not enter a mirror any more', async () => {
    const mirror = await published();
    const server = await serve(`${mirror.root}=/`);
    chmodSync(mirror.home, 0o700);
    expect((await ask(server.address, '/current/pool/a_1.deb')).status).toBe(503);
    await eventually(() =>
      expect(server.saidSoFar()).toMatch(/user nobody may not enter .*mirror.*chmod a\+rx.*--user/),
    );
  });

  test('warns of a file that its user may not read, and not of each', async () => {
    const mirror = await published();
    const server = await startServe([`${mirror.root}=/`]);
    for (const name of ['pool/a_1.deb', 'dists/x/InRelease']) {
      chmodSync(join(mirror.root, 'snapshots/one', name), 0);
      expect((await ask(server.address, `/current/${name}`)).status).toBe(403);
    }
    const { stderr } = await server.stop();
    expect(stderr).toMatch(/the user \S+ may not read ".+\/one\/pool\/a_1\.deb", .+--user/);
    expect(stderr.match(/may not read/g)).toHaveLength(1);
  });

  test('ends with 129 by SIGHUP, so that what supervises it starts it again', async () => {
    const mirror = await published();
    const server = await startServe([`${mirror.root}=/`]);
    server.kill('SIGHUP');
    expect((await server.result).exitCode).toBe(129);
  });

  test('takes the place of one that was killed on a unix socket, but not of one that runs', async () => {
    const mirror = await published();
    const socket = join(mirror.home, 'socket');
    const words = [`${mirror.root}=/`, '--listen', `unix:${socket}`];
    const killed = await startServe(words);
    const second = await runProgram(['serve', ...words]);
    expectFailure(second, 75, /another program listens on/);
    killed.kill('SIGKILL');
    await killed.result;
    const server = await serve(...words);
    expect((await ask(server.address, '/current.json')).status).toBe(200);
    expect(statSync(socket).isSocket()).toBe(true);
  });

  test('ends if it cannot listen at one of several places, and is found at none', async () => {
    const mirror = await published();
    const socket = join(mirror.home, 'socket');
    const words = [`${mirror.root}=/`, '--listen', `unix:${socket}`];
    const killed = await startServe(words);
    killed.kill('SIGKILL');
    await killed.result;
    const { host } = new URL((await serve(`${mirror.root}=/`)).address);
    const second = await runProgram(['serve', ...words, '--listen', host]);
    expectFailure(second, 75, /another program listens on 127\.0\.0\.1/);
    expect(existsSync(socket)).toBe(false);
  });

  test.skipIf(!nobodyRunsTheProgram)(
    'says that it may not make a socket, in a directory of another user or below one',
    async () => {
      const mirror = await published();
      const closed = join(mirror.home, 'closed');
      mkdirSync(join(closed, 'below'), { recursive: true });
      chmodSync(closed, 0o700);
      chmodSync(mirror.home, 0o755);
      for (const directory of [mirror.home, join(closed, 'below')]) {
        const listen = ['--listen', `unix:${directory}/socket`];
        const result = await runProgram(['serve', mirror.root, ...listen], { user: nobody });
        expectFailure(result, 77, /may not listen on .+socket/, /has to be writable for this user/);
      }
    },
  );

  test.skipIf(!nobodyRunsTheProgram)(
    'names the socket of another user that it may not replace, and not the directory',
    async () => {
      const mirror = await published();
      const directory = join(mirror.home, 'sticky');
      mkdirSync(directory);
      chmodSync(directory, 0o1777);
      chmodSync(mirror.home, 0o755);
      const words = ['serve', mirror.root, '--listen', `unix:${directory}/socket`];
      const killed = await startServe(words.slice(1));
      killed.kill('SIGKILL');
      await killed.result;
      const result = await runProgram(words, { user: nobody });
      expectFailure(
        result,
        77,
        /may not replace .*\/socket, .* ran as root$/m,
        /as root: rm \/.*socket$/m,
      );
    },
  );

  test('uses the socket that systemd has opened', async () => {
    const mirror = await published();
    const server = await startServe(
      [`${mirror.root}=/`],
      { through: ['python3', '-c', ACTIVATION] },
      [],
    );
    onTestFinished(async () => void (await server.stop()));
    expect((await ask(server.address, '/current.json')).status).toBe(200);
  });

  test('leaves standard output to the log that goes there, and tells elsewhere where it listens', async () => {
    const { root } = await published();
    const words = ['serve', `${root}=/`, '--listen', `127.0.0.1:${await freePort()}`];
    const server = startProgram([...words, '--access-log', '-']);
    await eventually(() => expect(server.saidSoFar()).toContain('status page at http://127'));
    const [, address = ''] = /status page at (\S+)\/-\/$/m.exec(server.saidSoFar()) ?? [];
    await ask(address, '/current/pool/a_1.deb');
    await eventually(() => expect(server.printedSoFar()).toContain('a_1.deb'));
    server.kill('SIGTERM');
    const { stdout, stderr } = await server.result;
    expect(stdout).toMatch(/^127\.0\.0\.1 - - .*a_1\.deb.*\n?$/);
    expect(stderr).toContain('serving mirror at http://127');
  });

  test('logs each request in the combined format', async () => {
    const mirror = await published();
    const server = await serve(`${mirror.root}=/`, '--access-log', '-');
    await ask(server.address, '/current/pool/a_1.deb', { headers: { 'User-Agent': 'a"b' } });
    await eventually(() =>
      expect(server.printedSoFar()).toMatch(
        /^127\.0\.0\.1 - - \[.+\] "GET \/current\/pool\/a_1\.deb HTTP\/1\.1" 200 3 "-" "a\\x22b"$/m,
      ),
    );
    // What is in demand is kept in memory.
    for (const agent of ['first', 'second', 'third', 'fourth']) {
      await ask(server.address, '/current/pool/a_1.deb', { headers: { 'User-Agent': agent } });
      const line = `HTTP/1.1" 200 3 "-" "${agent}"`;
      await eventually(() => expect(server.printedSoFar()).toContain(line));
    }
    for (const [method, bytes] of [
      ['GET', 3],
      ['HEAD', '-'],
    ] as const) {
      await ask(server.address, '/-/healthz', { method });
      const line = `"${method} /-/healthz HTTP/1.1" 200 ${bytes} `;
      await eventually(() => expect(server.printedSoFar()).toContain(line));
    }
    const { headers } = await ask(server.address, '/current/pool/a_1.deb');
    const same = { 'If-None-Match': `${headers.etag}` };
    await ask(server.address, '/current/pool/a_1.deb', { headers: same });
    await eventually(() => expect(server.printedSoFar()).toContain('HTTP/1.1" 304 - '));
    const made = JSON.parse((await ask(server.address, '/pins', { method: 'POST' })).text);
    await ask(server.address, `/pins/${made.token}`, { method: 'DELETE' });
    await eventually(() => expect(server.printedSoFar()).toContain('HTTP/1.1" 204 - '));
  });

  test.runIf(mayMount)(
    'goes on with its log after a full disk, and in a new file after logrotate',
    async () => {
      const mirror = await published();
      const directory = join(mirror.home, 'log');
      mkdirSync(directory);
      await execa('mount', ['-t', 'tmpfs', '-o', 'size=64k,mode=0777', 'tmpfs', directory]);
      onTestFinished(async () => {
        await execa('umount', ['--lazy', directory]);
      });
      const log = join(directory, 'access.log');
      const server = await serve(`${mirror.root}=/`, '--access-log', log);
      await ask(server.address, '/first');
      await execa('sh', ['-c', 'cat /dev/zero >"$1" || :', 'sh', join(directory, 'filler')]);
      for (let count = 0; count < 100; count += 1) await ask(server.address, `/${'x'.repeat(100)}`);
      rmSync(join(directory, 'filler'));
      await ask(server.address, '/second');
      await eventually(() => expect(readFileSync(log, 'utf8')).toContain('GET /second'));
      expect(server.saidSoFar().match(/access log cannot be written/g)).toHaveLength(1);
      await eventually(() => expect(server.saidSoFar()).toMatch(/log that were lost: \d+/));
      const lines = readFileSync(log, 'utf8').split('\n').slice(0, -1);
      for (const line of lines) expect(line).toMatch(/^127\.0\.0\.1 - - \[[^[]+"$/);
      const [, lost] = /lost: (\d+)/.exec(server.saidSoFar()) ?? [];
      expect(lines.length + Number(lost)).toBe(102);

      renameSync(log, `${log}.1`);
      await eventually(async () => {
        await ask(server.address, '/third');
        expect(readFileSync(log, 'utf8')).toContain('GET /third');
      });
    },
  );

  test.for([
    [['/nowhere'], 66, /no mirror in \/nowhere/],
    [[], 64, /is missing/],
    [['ROOT=/a/', 'ROOT/../mirror/=/b/'], 64, /mirror is named twice: .+ and /],
    [['ROOT', 'OTHER=/mirror/'], 64, /two mirrors would be served at \/mirror\/current\/: /],
    [['ROOT=/', 'OTHER/current=/'], 64, /two mirrors would be served at \/: /],
    [['ROOT=/a/', 'OTHER=/a/current/'], 64, /OTHER at \/a\/current\/ would hide \/a\/current of /],
    [['OTHER=/a/pins/x/', 'ROOT=/a/'], 64, /would hide \/a\/pins of/],
    [['ROOT=/', 'OTHER=/snapshots/'], 64, /would hide \/snapshots of/],
    [['ROOT=/a/', 'OTHER/current=/a/current.json/'], 64, /would hide \/a\/current.json of/],
    [['ROOT=/a b/'], 64, /cannot begin a URL/],
    [
      ['ROOT=/status.json'],
      64,
      /^mirrorlatch: \/status.json is a page of the server/,
      /=\/OTHER\/$/m,
    ],
    [['ROOT', '--pin-gap', '15m'], 64, /--pin-gap \(15m\) is longer than --pin-quiet \(10m by def/],
    [
      ['ROOT=debian'],
      64,
      /"debian" of .+ does not begin with a slash/,
      /Write .+mirror=\/debian\/$/m,
    ],
    [['ROOT='], 64, /place "" of/, /Write .+mirror=\/$/m],
    [['ROOT', '--listen', 'unix:HOME/none/socket'], 64, /no directory .+none/, /mkdir -p/],
    [['ROOT', '--listen', 'unix:ROOT/current'], 64, /current is there already, and is no socket/],
    [['ROOT', '--listen', `unix:HOME/${'x'.repeat(110)}`], 64, /107/],
    [['ROOT', '--listen', 'example.org:80'], 64, /cannot listen on/],
    [['ROOT', '--listen', '192.0.2.1:8080'], 69, /no address of this host/, /ip -brief address/],
    [['ROOT', '--access-log', 'HOME/none/log'], 64, /no directory for .+none/, /mkdir -p .+none$/m],
    [['ROOT', '--access-log', 'HOME'], 64, /is a directory/, /--access-log .+\/access.log$/m],
    [['ROOT', '--trust-proxy', 'x'], 64, /not the address of a proxy/],
    [
      ['ROOT', '--user', 'no-such-user', '--listen', '127.0.0.1:0'],
      64,
      /no user "no-such-user"/,
      /getent passwd/,
    ],
  ] as const)('refuses %j', async ([words, code, ...messages]) => {
    const mirror = await published();
    const places = { ROOT: mirror.root, HOME: mirror.home, OTHER: '/nowhere/OTHER' };
    const given = words.map((word) =>
      word.replace(/ROOT|HOME|OTHER/, (name) => places[name as keyof typeof places]),
    );
    expectFailure(await runProgram(['serve', ...given]), code, ...messages);
    expect(readlinkSync(join(mirror.root, 'current'))).toBe('snapshots/one');
  });

  test.runIf(runsAsRoot)('does not stay root where Node cannot become another user', async () => {
    // As src/node_credentials.cc has it in the Node of Debian 13.
    const refusing =
      'process.initgroups=()=>{throw%20Object.assign(new%20Error(),{code:%22ERR_INVALID_STATE%22})}';
    const env = { NODE_OPTIONS: `--import=data:text/javascript,${refusing}` };
    const { root } = await published();
    for (const words of [[], ['--access-log', join(scratchDirectory(), 'log')]]) {
      const result = await runProgram(['serve', root, '--listen', '127.0.0.1:0', ...words], {
        env,
      });
      expectFailure(result, 69, /this Node cannot become the user nobody/, /User=nobody/);
    }
  });
});
