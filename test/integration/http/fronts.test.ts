import {
  mkdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import { freePort } from '../../support/daemon.ts';
import { ask } from '../../support/http/ask.ts';
import { publishTree } from '../../support/http/foreign-tree.ts';
import {
  apacheInFront,
  type Front,
  nginxInFront,
  readerOf,
  shown,
  snapshotOf,
} from '../../support/http/fronts.ts';
import { startServe } from '../../support/http/serve.ts';
import { mirrorsInPlace } from '../../support/in-place-mirror.ts';
import { whyNotInstalled } from '../../support/installed.ts';
import { runProgram } from '../../support/program.ts';
import { scratchDirectory } from '../../support/scratch.ts';
import { copiesOf, type Files, type SmallMirror } from '../../support/small-mirror.ts';

const RELEASE = { 'dists/x/InRelease': 'Suite: one\n', 'pool/a_1.deb': 'a 1' };
const NEXT = {
  'dists/x/InRelease': 'Suite: two\n',
  'dists/x/Release': 'Suite: two\n',
  'pool/a_1.deb': null,
  'pool/a_2.deb': 'a 2',
};
const AS_THEY_ARE = ['--allow-shrink', '--no-prune'];

const published = copiesOf((mirror) => mirror.publish('one', RELEASE));
const inPlace = mirrorsInPlace();

const publishNext = (mirror: SmallMirror) => mirror.publish('two', NEXT, ...AS_THEY_ARE);

describe.each([nginxInFront, apacheInFront])('$name in front of mirrorlatch serve', (kind) => {
  const why = whyNotInstalled(...kind.programs);
  const tried = test.skipIf(why !== '');

  async function start(...words: string[]): Promise<Front> {
    const front = await kind.start(words, join(scratchDirectory(), 'front'));
    onTestFinished(() => front.stop());
    return front;
  }

  tried(
    `I1: a client sees the snapshot of its run, and another client the next one${why}`,
    async () => {
      const mirror = await published();
      const front = await start(`${mirror.root}=/debian/`);
      const apt = readerOf(front, 'apt');
      const one = await apt('/debian/current/dists/x/InRelease');
      expect(shown(one)).toBe('200 Suite: one');
      expect(one.headers).toMatchObject({
        'cache-control': 'no-cache',
        'x-mirrorlatch-snapshot': 'one',
      });
      await publishNext(mirror);

      expect(shown(await apt('/debian/current/dists/x/InRelease'))).toBe('200 Suite: one');
      expect(shown(await apt('/debian/current/pool/a_1.deb'))).toBe('200 a 1');
      expect(shown(await readerOf(front, 'dnf')('/debian/current/dists/x/InRelease'))).toBe(
        '200 Suite: two',
      );
      const elsewhere = { from: '127.0.0.2' };
      expect(snapshotOf(await apt('/debian/current/dists/x/InRelease', elsewhere))).toBe('two');
      expect(front.web.logs()).not.toMatch(/warn|error\]/);
    },
  );

  tried(`what a snapshot lacks comes from another, but no index${why}`, async () => {
    const mirror = await published();
    const front = await start(`${mirror.root}=/`);
    const [apt, dnf] = [readerOf(front, 'apt'), readerOf(front, 'dnf')];
    await apt('/current/dists/x/InRelease');
    await publishNext(mirror);
    await dnf('/current/dists/x/InRelease');

    const newer = await apt('/current/pool/a_2.deb');
    expect([shown(newer), snapshotOf(newer)]).toEqual(['200 a 2', 'two']);
    const older = await dnf('/current/pool/a_1.deb');
    expect([shown(older), snapshotOf(older)]).toEqual(['200 a 1', 'one']);
    expect((await apt('/current/dists/x/Release')).status).toBe(404);
    expect((await apt('/current/pool/none.deb')).status).toBe(404);
  });

  tried(
    `mirrorlatch is asked once in a run of a client, however many files that reads${why}`,
    async () => {
      const mirror = await published();
      const front = await start(`${mirror.root}=/`, '--access-log', '-');
      const apt = readerOf(front, 'apt');
      for (let count = 0; count < 10; count += 1) await apt('/current/pool/a_1.deb');
      await readerOf(front, 'dnf')('/current/pool/a_1.deb');
      // Only what is asked through to it is logged after the decisions.
      await apt('/-/healthz');
      const { server } = front;
      await expect.poll(() => server.printedSoFar()).toContain('/-/healthz');
      expect(server.printedSoFar().match(/GET \S+/g)).toEqual([
        expect.stringContaining('/-/decide/'),
        expect.stringContaining('/-/decide/'),
        'GET /-/healthz',
      ]);
    },
  );

  tried.each(['/linux/debian/', '/'])(
    `clients that find what is current right below %s keep their URLs${why}`,
    async (place) => {
      const mirror = await published();
      const other = await published();
      const front = await start(`${mirror.root}/current=${place}`, `${other.root}=/other/`);
      const apt = readerOf(front, 'apt');
      expect(shown(await apt(`${place}dists/x/InRelease`))).toBe('200 Suite: one');
      await publishNext(mirror);
      expect(shown(await apt(`${place}dists/x/InRelease`))).toBe('200 Suite: one');
      expect(shown(await apt(`${place}pool/a_2.deb`))).toBe('200 a 2');
      expect(shown(await readerOf(front, 'dnf')(`${place}dists/x/InRelease`))).toBe(
        '200 Suite: two',
      );
      expect((await apt(`${place}pool`)).headers['location']).toMatch(`${place}pool/`);
      const own = place === '/' ? '/-/mirrors/mirror/' : '/-/mirrors/linux-debian/';
      expect(shown(await apt(`${own}snapshots/one/pool/a_1.deb`))).toBe('200 a 1');
      expect((await apt(`${own}pins`, { method: 'POST' })).status).toBe(201);
      expect((await apt('/other/pins', { method: 'POST' })).status).toBe(201);
      expect(shown(await apt('/other/current/pool/a_1.deb'))).toBe('200 a 1');
      const { headers } = await apt(place, { method: 'HEAD' });
      expect(headers['x-mirrorlatch-base']).toBe(own);
      expect(shown(await apt('/-/healthz'))).toBe('200 ok');
      expect((await apt('/-/decide/x')).status).toBe(404);
      expect((await apt(`${place}pool/a_1.deb`, { method: 'PUT' })).status).toBe(405);
    },
  );

  tried(`a mirror is sent whose path has a space and leads through a symlink${why}`, async () => {
    const mirror = await published();
    const home = scratchDirectory();
    mkdirSync(join(home, 'a disk'));
    renameSync(mirror.root, join(home, 'a disk/mirror'));
    symlinkSync('a disk', join(home, 'a way'));
    const front = await start(`${join(home, 'a way/mirror')}=/`);
    const apt = readerOf(front, 'apt');
    expect(shown(await apt('/current/pool/a_1.deb'))).toBe('200 a 1');
    expect(JSON.parse((await apt('/current.json')).text)).toMatchObject({ id: 'one' });
    // Only then is it the web server that finds them.
    front.server.kill('SIGKILL');
    await front.server.result;

    expect(shown(await apt('/current/pool/a_1.deb'))).toBe('200 a 1');
    expect(shown(await apt('/snapshots/one/pool/a_1.deb'))).toBe('200 a 1');
    // Apache leaves this to mirrorlatch.
    if (kind === nginxInFront) expect((await apt('/current.json')).status).toBe(200);
  });

  tried(`without mirrorlatch, runs go on, and others read what is current${why}`, async () => {
    const mirror = await published();
    const front = await start(`${mirror.root}=/`);
    const [apt, dnf] = [readerOf(front, 'apt'), readerOf(front, 'dnf')];
    await apt('/current/dists/x/InRelease');
    front.server.kill('SIGKILL');
    await front.server.result;
    await publishNext(mirror);

    expect(shown(await apt('/current/dists/x/InRelease'))).toBe('200 Suite: one');
    // Apache's program looks into other snapshots itself.
    const found = kind === apacheInFront ? 200 : 404;
    expect((await apt('/current/pool/a_2.deb')).status).toBe(found);
    const unpinned = await dnf('/current/dists/x/InRelease');
    expect([shown(unpinned), snapshotOf(unpinned)]).toEqual(['200 Suite: two', 'unpinned']);
    expect((await dnf('/current/pool/a_1.deb')).status).toBe(found);
    expect((await apt('/current/dists/x/Release')).status).toBe(404);
    expect((await dnf('/current/pool/none.deb')).status).toBe(404);
    expect(shown(await dnf('/snapshots/one/pool/a_1.deb'))).toBe('200 a 1');
    const later = { status: 503, headers: { 'retry-after': '30' } };
    const unreachable = kind === apacheInFront ? later : { status: 502 };
    expect(await dnf('/pins', { method: 'POST' })).toMatchObject(unreachable);
    expect(await dnf('/-/healthz')).toMatchObject(unreachable);
    const json = kind === apacheInFront ? later : { status: 200 };
    expect(await dnf('/current.json')).toMatchObject(json);

    await front.again();
    await expect
      .poll(async () => snapshotOf(await dnf('/current/dists/x/InRelease')), { timeout: 50_000 })
      .toBe('two');
  });

  tried(
    `I1: a run whose snapshot is gone fails, also if only the web server knows of it${why}`,
    async () => {
      const mirror = await published();
      const state = join(mirror.home, 'state');
      const front = await start(`${mirror.root}=/`, '--state', state);
      const apt = readerOf(front, 'apt');
      expect(shown(await apt('/current/dists/x/InRelease'))).toBe('200 Suite: one');
      front.server.kill('SIGKILL');
      await front.server.result;
      rmSync(state, { recursive: true });
      for (const id of ['two', 'three', 'four'])
        await mirror.publish(id, { 'pool/a_1.deb': id }, '--keep-last', '1', '--grace', '0s');
      expect(mirror.snapshots()).not.toContain('one');
      await front.again();

      const later = { status: 503, headers: { 'retry-after': '30' } };
      for (const _ of ['once', 'and again'])
        expect(await apt('/current/pool/a_1.deb')).toMatchObject(later);
      expect(shown(await readerOf(front, 'dnf')('/current/pool/a_1.deb'))).toBe('200 four');
    },
  );

  tried(
    `I1: while mirrorlatch hangs, runs go on, and others are told to come back${why}`,
    async () => {
      const mirror = await published();
      symlinkSync('x', join(mirror.source, 'dists/stable'));
      await mirror.sync('--id', 'links', ...AS_THEY_ARE);
      const impatient = (printed: string) => printed.replace('read_timeout 20s', 'read_timeout 1s');
      const front = await kind.start(
        [`${mirror.root}=/`],
        join(scratchDirectory(), 'front'),
        impatient,
      );
      onTestFinished(() => front.stop());
      const [apt, dnf] = [readerOf(front, 'apt'), readerOf(front, 'dnf')];
      await apt('/current/dists/x/InRelease');
      await publishNext(mirror);
      front.server.kill('SIGSTOP');
      onTestFinished(() => front.server.kill('SIGCONT'));

      const later = { status: 503, headers: { 'retry-after': '30' } };
      for (const path of [
        '/current/dists/x/InRelease',
        '/current/pool/none.deb',
        '/current/dists/',
      ])
        expect(await dnf(path)).toMatchObject(later);
      const changed = { headers: { 'If-None-Match': '"other"' } };
      expect(await dnf('/current/pool/a_2.deb', changed)).toMatchObject(later);
      expect(shown(await dnf('/snapshots/one/pool/a_1.deb'))).toBe('200 a 1');
      for (const path of ['/current/dists/x/InRelease', '/current/dists/stable/InRelease'])
        for (const options of [{}, changed]) {
          const read = await apt(path, options);
          expect([shown(read), snapshotOf(read)]).toEqual(['200 Suite: one', 'links']);
        }
      // It may be in a snapshot that only mirrorlatch knows.
      expect(await apt('/current/pool/none.deb')).toMatchObject(later);

      front.server.kill('SIGKILL');
      await front.server.result;
      await expect
        .poll(async () => shown(await dnf('/current/dists/x/InRelease')), { timeout: 20_000 })
        .toBe('200 Suite: two');
      expect((await dnf('/current/pool/none.deb')).status).toBe(404);
    },
  );

  tried.each([
    ['while the web server keeps the decision', []],
    ['when the web server asks again', ['--front-keep', '1s']],
  ])(`a run whose snapshot has been removed fails, %s${why}`, async (_when, options) => {
    const mirror = await published();
    const front = await start(`${mirror.root}=/`, ...options);
    const apt = readerOf(front, 'apt');
    expect(shown(await apt('/current/pool/a_1.deb'))).toBe('200 a 1');
    await publishNext(mirror);
    renameSync(join(mirror.root, 'snapshots/one'), join(mirror.home, 'gone'));
    await pause(1500);
    for (let tries = 0; tries < 3; tries += 1) {
      expect((await apt('/current/dists/x/InRelease')).status).toBe(503);
    }
  });

  tried(`I5: a restart of mirrorlatch, and a prune after it, change no run${why}`, async () => {
    const mirror = await published();
    const front = await start(`${mirror.root}=/`);
    const apt = readerOf(front, 'apt');
    expect(snapshotOf(await apt('/current/dists/x/InRelease'))).toBe('one');
    await front.server.stop();
    const server = await front.again();
    for (const id of ['two', 'three', 'four'])
      await mirror.publish(id, { file: id }, '--keep-last', '1', '--grace', '0s');
    expect(mirror.snapshots()).toEqual(['four', 'one', 'three']);
    expect(snapshotOf(await apt('/current/pool/a_1.deb'))).toBe('one');
    // What mirrorlatch says if it is asked again.
    const headers = { 'X-Forwarded-For': '127.0.0.1', 'User-Agent': 'apt' };
    const decided = await ask(server.address, '/-/decide/mirror', { headers });
    expect(snapshotOf(decided)).toBe('one');
  });

  tried(`a mirrorlatch that is started again is found at once${why}`, async () => {
    const mirror = await published();
    await publishNext(mirror);
    const front = await start(`${mirror.root}=/`);
    const apt = readerOf(front, 'apt');
    // The web server keeps connections to mirrorlatch, which end with it.
    const ask = () => Promise.all(Array.from({ length: 8 }, () => apt('/current/pool/a_1.deb')));
    const all = Array(8).fill('200 a 1');
    expect((await ask()).map(shown)).toEqual(all);
    let { server } = front;
    for (const end of ['SIGTERM', 'SIGKILL'] as const) {
      server.kill(end);
      await server.result;
      expect((await apt('/current/pool/none.deb')).status).toBe(404);
      expect((await apt('/-/healthz')).status).toBeGreaterThan(500);
      server = await front.again();
      expect((await ask()).map(shown)).toEqual(all);
      expect(shown(await apt('/-/healthz'))).toBe('200 ok');
    }
  });

  tried(`two snapshots have two ETags for files of one size and time${why}`, async () => {
    const mirror = await published();
    const front = await start(`${mirror.root}=/`);
    const time = new Date('2020-01-02T03:04:05Z');
    const publish = async (id: string) => {
      mirror.change({ file: id });
      utimesSync(join(mirror.source, 'file'), time, time);
      await mirror.sync('--id', id, ...AS_THEY_ARE, '--', '--checksum');
    };
    await publish('1st');
    const old = await readerOf(front, 'old')('/current/file');
    await publish('2nd');
    const read = readerOf(front, 'new');
    const fresh = await read('/current/file');
    expect([shown(old), shown(fresh)]).toEqual(['200 1st', '200 2nd']);
    expect(fresh.headers['last-modified']).toBe(old.headers['last-modified']);
    const [oldTag, tag] = [old, fresh].map(({ headers }) => `${headers['etag']}`);
    expect(tag).toMatch(/^"/);
    expect(tag).not.toBe(oldTag);
    if (kind === apacheInFront) {
      const own = await ask(front.server.address, '/snapshots/2nd/file');
      expect(tag).toBe(own.headers['etag']);
    }

    const given = async (headers: Record<string, string>) =>
      shown(await read('/current/file', { headers }));
    expect(await given({ 'If-None-Match': tag ?? '' })).toBe('304 ');
    expect(await given({ 'If-None-Match': `"x", W/${tag}` })).toBe('304 ');
    expect(await given({ 'If-Match': tag ?? '' })).toBe('200 2nd');
    expect((await read('/current/file', { headers: { 'If-Match': '"x"' } })).status).toBe(412);
    const both = { 'If-None-Match': oldTag ?? '', 'If-Modified-Since': time.toUTCString() };
    expect(await given(both)).toBe('200 2nd');
    expect(await given({ 'If-Modified-Since': new Date().toUTCString() })).toBe('200 2nd');
    // Both snapshots have the date.
    const since = time.toUTCString();
    expect(await given({ 'If-Modified-Since': since })).toBe('200 2nd');
    expect(await given({ Range: 'bytes=1-', 'If-Range': since })).toBe('200 2nd');
    const alsoTagged = { 'If-None-Match': oldTag ?? '', Range: 'bytes=1-', 'If-Range': since };
    expect(await given(alsoTagged)).toBe('200 2nd');
    const unmodified = { Range: 'bytes=1-', 'If-Unmodified-Since': since };
    expect((await read('/current/file', { headers: unmodified })).status).toBe(412);
    const pin = await read('/pins', { method: 'POST' });
    const pinned = `${pin.headers['location']}current/file`;
    for (const headers of [{ Range: 'bytes=1-', 'If-Range': since }, alsoTagged])
      expect(shown(await read(pinned, { headers }))).toBe('200 2nd');
    expect(shown(await read(pinned, { headers: { Range: 'bytes=1-' } }))).toBe('206 nd');
    const linked = await read('/current/below/file');
    const date = `${linked.headers['last-modified']}`;
    const unchanged = await read('/current/below/file', { headers: { 'If-Modified-Since': date } });
    expect(shown(unchanged)).toBe('304 ');
    // A cache would take it for the length of the file that it has.
    expect(unchanged.headers['content-length']).toBeUndefined();
    const rest = { Range: 'bytes=1-' };
    expect(await given({ ...rest, 'If-Range': tag ?? '' })).toBe('206 nd');
    expect(await given({ ...rest, 'If-Range': oldTag ?? '' })).toBe('200 2nd');
    expect(await given({ ...rest, 'If-Range': new Date().toUTCString() })).toBe('200 2nd');
    const head = await read('/current/file', { method: 'HEAD' });
    expect(head.headers).toMatchObject({ etag: tag, 'content-length': '3' });
    expect(head.body.length).toBe(0);
  });

  tried(`a snapshot by its id never changes, and an earlier time leads to it${why}`, async () => {
    const mirror = await published();
    mirror.change({ file: 'timed' });
    await mirror.sync(...AS_THEY_ARE);
    const id = mirror.linked('current') ?? '';
    const front = await start(`${mirror.root}=/debian/`);
    const read = readerOf(front, 'apt');
    const reply = await read(`/debian/snapshots/${id}/file`);
    expect(shown(reply)).toBe('200 timed');
    expect(reply.headers['cache-control']).toBe('public, max-age=31536000, immutable');
    // A name that a person gave may be another snapshot's later.
    const named = await read('/debian/snapshots/one/file');
    expect(named.headers['cache-control']).toBe('no-cache');
    const later = await read('/debian/snapshots/20990101T000000Z/file');
    expect(later.headers['location']).toContain(`/debian/snapshots/${id}/file`);
    expect((await read('/debian/snapshots/none/file')).status).toBe(404);
    expect((await read('/debian/snapshots/')).text).toContain(id);
    const current = await read('/debian/current.json');
    expect(JSON.parse(current.text)).toMatchObject({ id });
    expect(current.headers['cache-control']).toBe('no-cache');
  });

  tried(`names, directories and indexes are those of the tree${why}`, async () => {
    const mirror = await published();
    const names = ['a b+c~d', '100%', 'what?', 'ä', 'two\nlines', 'lib++_1:2.deb'];
    mirror.change({
      ...Object.fromEntries(names.map((name) => [`odd/${name}`, name])),
      'simple/index.html': '<a href="x">x</a>',
      'packument/index.json': '{"name":"packument"}',
    });
    await mirror.sync(...AS_THEY_ARE);
    const read = readerOf(await start(`${mirror.root}=/m/`), 'wget');
    for (const name of names) {
      const reply = await read(`/m/current/odd/${encodeURIComponent(name)}`);
      expect(shown(reply)).toBe(`200 ${name}`);
    }
    expect(shown(await read('/m/current/odd%2F100%25?query'))).toBe('200 100%');
    for (const [path, target] of [
      ['/m/current', '/m/current/'],
      ['/m/current/odd', '/m/current/odd/'],
    ] as const) {
      const { status, headers } = await read(path);
      expect(status).toBe(301);
      expect(new URL(`${headers['location']}`, 'http://host/').pathname).toBe(target);
    }
    const listing = await read('/m/current/odd/');
    expect(listing.text).toContain('href="100%25"');
    expect(listing.text).toMatch(/href="a%20b(\+|%2B)c~d"/);
    expect(listing.headers).toMatchObject({ 'cache-control': 'no-cache' });
    expect(shown(await read('/m/current/simple/'))).toBe('200 <a href="x">x</a>');
    const packument = await read('/m/current/packument/');
    expect(packument.headers['content-type']).toContain('application/json');
  });

  tried(
    `a symlink within the snapshot is followed, and one that leads out is refused${why}`,
    async () => {
      const mirror = await published();
      symlinkSync('x', join(mirror.source, 'dists/stable'));
      // Not even where another snapshot has the path.
      await mirror.publish('before', { 'out/host.conf': 'mine' }, ...AS_THEY_ARE);
      rmSync(join(mirror.source, 'out'), { recursive: true });
      symlinkSync('/etc', join(mirror.source, 'out'));
      await mirror.sync('--id', 'links', '--without', 'safe-links', ...AS_THEY_ARE);
      const read = readerOf(await start(`${mirror.root}=/`), 'apt');
      expect(shown(await read('/current/dists/stable/InRelease'))).toBe('200 Suite: one');
      expect(shown(await read('/snapshots/links/dists/stable/InRelease'))).toBe('200 Suite: one');
      for (const path of ['/current/out/host.conf', '/snapshots/links/out/host.conf']) {
        expect((await read(path)).status).toBe(403);
      }
      for (const path of ['/current/../../../etc/passwd', '/current/..%2f..%2f..%2fetc/passwd']) {
        expect([400, 403, 404]).toContain((await read(path)).status);
      }
    },
  );

  tried(
    `the snapshot of a run stays the same also for what mirrorlatch itself sends of it${why}`,
    async () => {
      const mirror = await published();
      symlinkSync('x', join(mirror.source, 'dists/stable'));
      await mirror.sync('--id', 'links', ...AS_THEY_ARE);
      // A run by mirrorlatch's own rules begins at every index.
      const front = await start(`${mirror.root}=/`, '--pin-gap', '0', '--pin-quiet', '0');
      const apt = readerOf(front, 'apt');
      expect(shown(await apt('/current/dists/stable/InRelease'))).toBe('200 Suite: one');
      await publishNext(mirror);
      expect(shown(await apt('/current/dists/stable/InRelease'))).toBe('200 Suite: one');
      // What a client says of it counts for nothing.
      const headers = { 'X-Mirrorlatch-Snapshot': 'two', 'X-Forwarded-For': '192.0.2.7' };
      expect(snapshotOf(await apt('/current/dists/stable/InRelease', { headers }))).toBe('links');
    },
  );

  tried(
    `pins and the status page are mirrorlatch's, decisions nobody's, and nothing is written${why}`,
    async () => {
      const mirror = await published();
      const front = await start(`${mirror.root}=/debian/`);
      const read = readerOf(front, 'ci');
      const made = await read('/debian/pins', { method: 'POST', body: '{"seconds": 60}' });
      expect(made.status).toBe(201);
      const { url } = JSON.parse(made.text) as { url: string };
      await publishNext(mirror);
      expect(shown(await read(`${url}current/dists/x/InRelease`))).toBe('200 Suite: one');
      expect((await read(url.replace(/\/$/, ''), { method: 'DELETE' })).status).toBe(204);
      expect((await read('/-/status.json')).status).toBe(200);
      expect((await read('/-/decide/mirror')).status).toBe(404);
      expect((await read('/-/nginx/debian/current/pool/a_1.deb')).status).toBe(404);
      for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS']) {
        const { status } = await read('/debian/current/dists/x/InRelease', { method });
        expect([method, status]).toEqual([method, 405]);
      }
      expect((await read('/debian/current/new', { method: 'PUT', body: 'x' })).status).toBe(405);
    },
  );

  tried.each(['in place', 'of another program'])(
    `a file that is written again in a tree %s, with its size and date, is another${why}`,
    async (which) => {
      const root = which === 'in place' ? (await inPlace()).root : scratchDirectory();
      if (which !== 'in place') publishTree(root, 'releases/1', { file: 'content' });
      const file = join(root, 'current/file');
      const date = new Date('2026-11-27T01:02:03Z');
      utimesSync(file, date, date);
      const { ino, size, mtimeNs, ctimeNs } = statSync(file, { bigint: true });
      const read = readerOf(await start(`${root}=/`), 'ci');
      const about = (etag: string) => read('/current/file', { headers: { 'If-None-Match': etag } });
      const { etag = '' } = (await about('"another"')).headers;
      const told = (await read('/current/file')).headers.etag ?? etag;
      expect((await about(told)).status).toBe(304);
      // The kernel's clock has ticks.
      while (statSync(file, { bigint: true }).ctimeNs === ctimeNs) {
        writeFileSync(file, 'CONTENT');
        utimesSync(file, date, date);
      }
      expect(statSync(file, { bigint: true })).toMatchObject({ ino, size, mtimeNs });
      expect(shown(await about(etag))).toBe('200 CONTENT');
    },
  );

  tried(`a mirror in place is 503 behind its gate, without mirrorlatch, too${why}`, async () => {
    const mirror = await inPlace();
    const front = await start(`${mirror.root}=/`);
    const read = readerOf(front, 'apt');
    const paths = ['/current/file', '/current/none', '/current/'];
    const expectClosedAndOpen = async () => {
      await runProgram(['gate', 'close', mirror.root]);
      for (const path of paths) {
        const closed = await read(path);
        expect(closed).toMatchObject({ status: 503, headers: { 'retry-after': '30' } });
      }
      await runProgram(['gate', 'open', mirror.root]);
      expect(shown(await read('/current/file'))).toBe('200 content');
      expect((await read('/current/none')).status).toBe(404);
    };
    expect(shown(await read('/current/file'))).toBe('200 content');
    await expectClosedAndOpen();
    front.server.kill('SIGKILL');
    await front.server.result;
    await expectClosedAndOpen();
  });

  tried(
    `several mirrors are served, one at / and one of another program among them${why}`,
    async () => {
      const home = scratchDirectory();
      // A mirror's name is that of its directory.
      const named = async (name: string, files: Files) => {
        const mirror = await published();
        await mirror.publish(name, files, ...AS_THEY_ARE);
        symlinkSync(mirror.root, join(home, name));
        return join(home, name);
      };
      const debian = await named('debian', { which: 'debian' });
      const files = await named('files', { which: 'files', 'debian/which': 'files' });
      const site = join(home, 'site');
      publishTree(site, 'releases/7', { which: 'site' });
      const front = await start(debian, `${files}=/`, `${site}=/the/site/`);
      const read = readerOf(front, 'apt');

      expect(shown(await read('/debian/current/which'))).toBe('200 debian');
      expect(shown(await read('/current/which'))).toBe('200 files');
      expect(shown(await read('/current/debian/which'))).toBe('200 files');
      const foreign = await read('/the/site/current/which');
      expect([shown(foreign), snapshotOf(foreign)]).toEqual(['200 site', 'releases~7']);
      expect(shown(await read('/the/site/snapshots/releases~7/which'))).toBe('200 site');
      expect((await read('/else/current/which')).status).toBe(404);
    },
  );

  tried(`over TCP, the printed line starts a server that trusts the web server${why}`, async () => {
    const mirror = await published();
    const listen = ['--listen', `127.0.0.1:${await freePort()}`];
    let line = '';
    const front = await kind.start(
      [`${mirror.root}=/`, ...listen],
      join(scratchDirectory(), 'front'),
      (printed) => {
        line = /^# +mirrorlatch serve (.*)$/m.exec(printed)?.[1] ?? '';
        return printed;
      },
    );
    onTestFinished(() => front.stop());
    const apt = readerOf(front, 'apt');
    expect(snapshotOf(await apt('/current/file'))).toBe('unpinned');
    await front.server.stop();
    const server = await startServe(line.replaceAll("'", '').split(' '));
    onTestFinished(async () => void (await server.stop()));
    await expect
      .poll(async () => snapshotOf(await apt('/current/file')), { timeout: 50_000 })
      .toBe('one');
  });

  tried(
    `behind a proxy that it trusts, clients are told apart by what that forwards${why}`,
    async () => {
      const mirror = await published();
      const front = await kind.start(
        [`${mirror.root}=/`],
        join(scratchDirectory(), 'front'),
        trusting,
      );
      onTestFinished(() => front.stop());
      const apt = readerOf(front, 'apt');
      const from = (address: string) => ({ headers: { 'X-Forwarded-For': address } });
      const path = '/current/dists/x/InRelease';
      expect(snapshotOf(await apt(path, from('192.0.2.7')))).toBe('one');
      await publishNext(mirror);
      expect(snapshotOf(await apt(path, from('192.0.2.7')))).toBe('one');
      expect(snapshotOf(await apt(path, from('192.0.2.8')))).toBe('two');
    },
  );
});

/** The lines of the configuration for a proxy before the web server, in force for the test itself. */
const trusting = (printed: string) =>
  printed.replace(/# (set_real_ip_from|RemoteIP)/g, '$1').replaceAll('192.0.2.1', '127.0.0.1');

test('the configurations for nginx and for Apache are printed one at a time', async () => {
  const both = await runProgram(['serve', '/srv/none', '--nginx-config', '--apache-config']);
  expect(both.exitCode).toBe(64);
  expect(both.stderr).toContain('one after the other');
});
