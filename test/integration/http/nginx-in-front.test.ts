import { once } from 'node:events';
import { chmodSync, readFileSync, statSync, symlinkSync, utimesSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { execa } from 'execa';
import { describe, expect, onTestFinished, test } from 'vitest';
import { tagOfTree } from '../../../src/http/files/hand-over.ts';
import { ask } from '../../support/http/ask.ts';
import {
  type Front,
  nginxInFront,
  readerOf,
  shown,
  snapshotOf,
} from '../../support/http/fronts.ts';
import { startServe } from '../../support/http/serve.ts';
import { whyNotInstalled } from '../../support/installed.ts';
import { runProgram } from '../../support/program.ts';
import { scratchDirectory } from '../../support/scratch.ts';
import { copiesOf, type SmallMirror } from '../../support/small-mirror.ts';

const AS_THEY_ARE = ['--allow-shrink', '--no-prune', '--without', 'safe-links'];

/** `dists/stable` is a symlink, as at Debian, and `out` leads out of the snapshot. */
const published = copiesOf(async (mirror) => {
  symlinkInSource(mirror, 'x', 'dists/stable');
  symlinkInSource(mirror, '/etc', 'out');
  symlinkInSource(mirror, '../../one/pool', 'pool/other');
  await mirror.publish('one', {}, ...AS_THEY_ARE);
});

function symlinkInSource(mirror: SmallMirror, target: string, name: string): void {
  mirror.change({
    'dists/x/InRelease': 'Suite: one\n',
    'dists/x/odd?% name': 'odd',
    'pool/a_1.deb': 'a 1',
  });
  symlinkSync(target, join(mirror.source, name));
}

const publishNext = (mirror: SmallMirror) =>
  mirror.publish(
    'two',
    { 'dists/x/InRelease': 'Suite: two\n', 'pool/a_1.deb': null },
    ...AS_THEY_ARE,
  );

const why = whyNotInstalled(...nginxInFront.programs, 'curl', 'openssl');

describe.skipIf(why !== '')(`nginx in front of mirrorlatch serve${why}`, () => {
  async function start(...words: string[]): Promise<Front> {
    const front = await nginxInFront.start(words, join(scratchDirectory(), 'front'));
    onTestFinished(() => front.stop());
    return front;
  }

  test('nginx sends what lies behind a symlink, in another snapshot or below a strict pin', async () => {
    const mirror = await published();
    const front = await start(`${mirror.root}=/debian/`, '--access-log', '-');
    await publishNext(mirror);
    const apt = readerOf(front, 'apt');
    const pin = await apt('/debian/pins', { method: 'POST', body: '{"snapshot": "one"}' });
    const { url } = JSON.parse(pin.text) as { url: string };
    const sent = [
      ['/debian/current/dists/stable/InRelease', 'Suite: two', 'two'],
      ['/debian/current/dists/stable/odd%3F%25%20name', 'odd', 'two'],
      ['/debian/snapshots/one/dists/stable/InRelease', 'Suite: one', 'one'],
      ['/debian/current/pool/a_1.deb', 'a 1', 'one'],
      [`${url}current/dists/x/InRelease`, 'Suite: one', 'one'],
    ] as const;
    for (const [path, content, id] of sent) {
      const reply = await apt(path);
      expect([path, shown(reply), snapshotOf(reply)]).toEqual([path, `200 ${content}`, id]);
      expect(reply.headers).toMatchObject({
        'cache-control': 'no-cache',
        'content-type': 'application/octet-stream',
        etag: expect.stringMatching(/^"/),
        'last-modified': expect.any(String),
      });
      const range = { Range: 'bytes=1-2' };
      const part = await apt(path, { headers: range });
      expect(shown(part)).toBe(`206 ${content.slice(1, 3).trim()}`);
      const head = await apt(path, { method: 'HEAD' });
      expect(head.headers['content-length']).toBe(reply.headers['content-length']);
      const known = { 'If-None-Match': `${reply.headers['etag']}` };
      expect((await apt(path, { headers: known })).status).toBe(304);
      const rest = { ...range, 'If-Range': `${reply.headers['etag']}` };
      expect((await apt(path, { headers: rest })).status).toBe(206);
      expect((await apt(path, { headers: { ...rest, 'If-Range': '"x"' } })).status).toBe(200);
    }
    const { server } = front;
    await apt('/-/healthz');
    await expect.poll(() => server.printedSoFar()).toContain('/-/healthz');
    const bodies = [...server.printedSoFar().matchAll(/"(GET \/debian\S+).*" (200|206) (\S+)/g)];
    expect(bodies.map(([, what, , bytes]) => [what, bytes])).toEqual(
      bodies.map(([, what]) => [what, '-']),
    );
  });

  test('I5: a snapshot stays until nginx has opened the file of it that mirrorlatch named', async () => {
    const mirror = await published();
    await publishNext(mirror);
    await mirror.publish('three', { file: 'three' }, ...AS_THEY_ARE);
    const front = await start(`${mirror.root}=/`);
    const reply = await readerOf(front, 'apt')('/current/pool/a_1.deb');
    expect([shown(reply), snapshotOf(reply)]).toEqual(['200 a 1', 'one']);
    await runProgram(['prune', mirror.root, '--keep-last', '1', '--grace', '0s']);
    expect(mirror.snapshots()).toContain('one');
  });

  test('it fits into a server with certificates and places of its own', async () => {
    const mirror = await published();
    const directory = scratchDirectory();
    const [key, certificate, tls] = ['key', 'certificate', 'tls'].map((name) =>
      join(directory, name),
    );
    const subject = [
      '-subj',
      '/CN=mirror.example.org',
      '-keyout',
      `${key}`,
      '-out',
      `${certificate}`,
    ];
    await execa('openssl', [
      'req',
      '-x509',
      '-newkey',
      'rsa:2048',
      '-noenc',
      '-days',
      '1',
      ...subject,
    ]);
    const app = createServer((_, response) => {
      response.writeHead(200, {
        'X-Accel-Redirect': '/-/sent/hostname',
        'X-Mirrorlatch-Tree': '/etc',
      });
      response.end();
    }).listen(0, '127.0.0.1');
    await once(app, 'listening');
    onTestFinished(() => void app.close());
    const { port } = app.address() as AddressInfo;
    const own = `    location / { return 200 own; }
    location ~ \\.(deb|php)$ { return 200 php; }
    location /app { proxy_pass http://127.0.0.1:${port}; }
    listen unix:${tls} ssl http2; ssl_certificate ${certificate}; ssl_certificate_key ${key};
`;
    const front = await nginxInFront.start(
      [`${mirror.root}=/debian/`],
      join(directory, 'front'),
      (printed) =>
        printed.replace(/ +# The status page once more.*\n +location "\/" \{[^}]*\}\n/, own),
    );
    onTestFinished(() => front.stop());
    const curl = async (path: string, ...options: string[]) => {
      const url = `https://mirror.example.org${path}`;
      const words = [
        '--http2',
        '-sk',
        '--unix-socket',
        `${tls}`,
        '-w',
        ' %{http_code} %{http_version}',
      ];
      return (await execa('curl', [...words, ...options, url])).stdout;
    };
    expect(await curl('/')).toBe('own 200 2');
    expect(await curl('/index.php')).toBe('php 200 2');
    expect(await curl('/debian/current/pool/a_1.deb')).toBe('a 1 200 2');
    expect(await curl('/debian/current/dists/stable/InRelease')).toBe('Suite: one\n 200 2');
    await publishNext(mirror);
    expect(await curl('/debian/current/dists/x/InRelease')).toBe('Suite: one\n 200 2');
    expect(await curl('/debian/current/dists/x/InRelease', '-A', 'dnf')).toBe('Suite: two\n 200 2');
    expect(await curl('/debian/current/pool/a_1.deb', '-A', 'dnf')).toBe('a 1 200 2');
    expect(await curl('/-/healthz')).toBe('ok\n 200 2');
    expect(await curl('/debian/pins', '-X', 'POST')).toContain(' 201 2');
    expect(await curl('/-/sent/dists/x/InRelease')).toContain(' 404 2');
    expect(await curl('/app')).toContain(' 404 2');
  });

  test('no client can make nginx send what mirrorlatch has not named', async () => {
    const mirror = await published();
    const front = await start(`${mirror.root}=/debian/`);
    const apt = readerOf(front, 'apt');
    const headers = {
      'X-Mirrorlatch-Tree': '/etc',
      'X-Accel-Redirect': '/-/sent/hostname',
    };
    const internal = ['nginx', 'decision', 'sent', 'alone', 'real', 'none', 'later'];
    for (const place of internal.map((name) => `/-/${name}`)) {
      for (const path of ['', '/hostname', '/dists/x/InRelease']) {
        const reply = await apt(`${place}${path}`, { headers });
        const later = reply.headers['retry-after'];
        expect([place, path, reply.status, later]).toEqual([place, path, 404, undefined]);
      }
    }
    expect(shown(await apt('/debian/current/dists/stable/InRelease', { headers }))).toBe(
      '200 Suite: one',
    );
  });

  test('an id that comes again has another ETag for a file of the same size and time', async () => {
    const mirror = await published();
    const time = new Date('2020-01-02T03:04:05Z');
    const tags = new Set<string | undefined>();
    for (const content of ['AAAA', 'BBBB']) {
      mirror.change({ file: content });
      utimesSync(join(mirror.source, 'file'), time, time);
      const words = ['--allow-shrink', '--keep-last', '1', '--grace', '0s', '--', '--checksum'];
      await mirror.sync('--id', 'rel', '--without', 'safe-links', ...words);
      const front = await start(`${mirror.root}=/`);
      const reply = await readerOf(front, 'apt')('/snapshots/rel/file');
      expect([shown(reply), reply.headers['cache-control']]).toEqual([
        `200 ${content}`,
        'no-cache',
      ]);
      tags.add(reply.headers['etag']);
      await front.stop();
      for (const id of ['next', 'after']) {
        mirror.change({ file: id });
        await mirror.sync('--id', id, '--without', 'safe-links', ...words);
      }
      expect(mirror.snapshots()).not.toContain('rel');
    }
    expect(tags.size).toBe(2);
  });

  test('a server that does not trust its peer names no file to it', async () => {
    const mirror = await published();
    const server = await startServe([`${mirror.root}=/`]);
    onTestFinished(async () => void (await server.stop()));
    const reply = await ask(server.address, '/-/nginx/current/pool/a_1.deb');
    expect(shown(reply)).toBe('404 There is nothing here.');
    expect(reply.headers['x-accel-redirect']).toBeUndefined();
  });

  test('a file that nginx may not read is sent by mirrorlatch', async () => {
    const mirror = await published();
    mirror.change({ 'dists/x/hidden': 'hidden' });
    chmodSync(join(mirror.source, 'dists/x/hidden'), 0o600);
    await mirror.sync('--id', 'hidden', ...AS_THEY_ARE);
    const front = await start(`${mirror.root}=/`, '--user', 'root');
    const apt = readerOf(front, 'apt');
    expect(shown(await apt('/current/dists/x/hidden'))).toBe('200 hidden');
    expect(shown(await apt('/current/dists/stable/hidden'))).toBe('200 hidden');
  });

  test('a file that is the same in the next snapshot is not sent again', async () => {
    const mirror = await published();
    mirror.change({ 'pool/same.deb': 'same' });
    await mirror.sync('--id', 'first', ...AS_THEY_ARE);
    const front = await start(`${mirror.root}=/`);
    const old = readerOf(front, 'old');
    const [same, other] = await Promise.all(
      ['/current/pool/same.deb', '/current/dists/x/InRelease'].map((path) => old(path)),
    );
    expect(same?.headers['etag']).toBe(other?.headers['etag']);
    await publishNext(mirror);
    const headers = { 'If-None-Match': `${same?.headers['etag']}` };
    const fresh = readerOf(front, 'new');
    const unchanged = await fresh('/current/pool/same.deb', { headers });
    expect([unchanged.status, unchanged.headers['etag']]).toEqual([304, same?.headers['etag']]);
    expect(shown(await fresh('/current/dists/x/InRelease', { headers }))).toBe('200 Suite: two');
    expect((await fresh('/current/none', { headers })).status).toBe(404);
  });

  test('without mirrorlatch, a path through symlinks is sent if it stays in the tree', async () => {
    const mirror = await published();
    const front = await start(`${mirror.root}=/debian/`);
    const apt = readerOf(front, 'apt');
    await apt('/debian/current/dists/x/InRelease');
    front.server.kill('SIGKILL');
    await front.server.result;
    await publishNext(mirror);
    for (const [read, id] of [
      [apt, 'one'],
      [readerOf(front, 'dnf'), 'two'],
    ] as const) {
      for (const path of ['dists/x/InRelease', 'dists/stable/InRelease']) {
        expect(shown(await read(`/debian/current/${path}`))).toBe(`200 Suite: ${id}`);
        const headers = { 'If-None-Match': '"x"' };
        expect(shown(await read(`/debian/current/${path}`, { headers }))).toBe(`200 Suite: ${id}`);
      }
      expect((await read('/debian/current/dists/stable/')).text).toContain('InRelease');
      expect(shown(await read('/debian/current/dists/stable/odd%3F%25%20name'))).toBe('200 odd');
      expect((await read('/debian/current/dists/stable')).status).toBe(503);
      for (const path of ['out/hostname', 'out/', 'none', 'dists/stable/none']) {
        expect([path, (await read(`/debian/current/${path}`)).status]).toEqual([path, 404]);
      }
    }
    // It leads into another snapshot than this one.
    expect(shown(await apt('/debian/current/pool/other/a_1.deb'))).toBe('200 a 1');
    expect((await readerOf(front, 'dnf')('/debian/current/pool/other/a_1.deb')).status).toBe(404);
    expect(shown(await apt('/debian/snapshots/one/dists/stable/InRelease'))).toBe('200 Suite: one');
    expect((await apt('/debian/snapshots/two/pool/other/a_1.deb')).status).toBe(404);
    const pruned = await apt('/debian/snapshots/none/file');
    expect(pruned).toMatchObject({ status: 503, headers: { 'retry-after': '30' } });
  });

  test('a reload of nginx in the middle of a run changes nothing for its client', async () => {
    const mirror = await published();
    const front = await start(`${mirror.root}=/`);
    const apt = readerOf(front, 'apt');
    await apt('/current/dists/x/InRelease');
    await publishNext(mirror);
    // So nothing but what nginx keeps is left to go by.
    front.server.kill('SIGKILL');
    await front.server.result;
    const workers = () =>
      readFileSync(`/proc/${front.web.pid}/task/${front.web.pid}/children`, 'utf8');
    const before = workers();
    process.kill(front.web.pid, 'SIGHUP');
    await expect.poll(() => workers().includes(before), { timeout: 50_000 }).toBe(false);
    const reply = await apt('/current/dists/x/InRelease');
    expect([shown(reply), snapshotOf(reply)]).toEqual(['200 Suite: one', 'one']);
  });

  test('a snapshot whose id is no time may be another one later, so it is not kept for ever', async () => {
    const mirror = await published();
    mirror.change({ file: 'timed' });
    await mirror.sync(...AS_THEY_ARE);
    const read = readerOf(await start(`${mirror.root}=/a.b+c/`), 'apt');
    const control = async (path: string) =>
      (await read(`/a.b+c/snapshots/${path}`)).headers['cache-control'];
    const id = mirror.linked('current');
    expect(await control(`${id}/file`)).toBe('public, max-age=31536000, immutable');
    expect(await control(`${id}/dists/stable/InRelease`)).toBe(
      'public, max-age=31536000, immutable',
    );
    expect(await control('one/file')).toBe('no-cache');
    expect(await control('one/dists/stable/InRelease')).toBe('no-cache');
  });
});

test('each snapshot has an ETag of its own, also where its directory is that of an earlier one', async () => {
  const mirror = await published();
  const inodes = new Set<bigint>();
  const tags = new Set<string>();
  for (let number = 1; number <= 6; number += 1) {
    mirror.change({ 'dists/x/InRelease': `Suite: ${number}\n` });
    const words = ['--id', `g${number}`, '--keep-last', '1', '--grace', '0s'];
    await mirror.sync(...words, '--allow-shrink', '--without', 'safe-links');
    const tree = join(mirror.root, 'snapshots', `g${number}`);
    inodes.add(statSync(tree, { bigint: true }).ino);
    tags.add(tagOfTree(tree));
  }
  expect(inodes.size).toBeLessThan(6);
  expect(tags.size).toBe(6);
});
