import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createServer as createSocket } from 'node:net';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { ask } from '../../support/http/ask.ts';
import { serveTree } from '../../support/http/file-server.ts';
import { treeOf } from '../../support/http/tree-of.ts';
import { nobody, runsAsRoot } from '../../support/privilege.ts';

const INDEX = 'Suite: stable\n';
/** Larger than what is kept in memory, and than one buffer; each byte tells where it is from. */
const LARGE = Buffer.from(Array.from({ length: 1_500_000 }, (_, at) => (at * 31) % 251));

/** A small file is kept in memory the second time, and sent out of it the third. */
const TIMES = ['from the disk', 'from the disk again', 'from memory'];

describe('A file', () => {
  test('is sent with its type, its snapshot and how long it may be kept', async () => {
    const server = await serveTree(treeOf({ 'dists/InRelease': INDEX }), 'public, max-age=5');
    for (const time of TIMES) {
      const { status, headers, body } = await ask(server, '/dists/InRelease');
      expect(status, time).toBe(200);
      expect(body.toString(), time).toBe(INDEX);
      expect(headers, time).toMatchObject({
        'accept-ranges': 'bytes',
        'cache-control': 'public, max-age=5',
        'content-length': '14',
        'content-type': 'text/plain; charset=utf-8',
        'x-mirrorlatch-snapshot': 'this-one',
        'last-modified': expect.stringMatching(/GMT$/),
        etag: expect.stringMatching(/^"[^"]+"$/),
      });
    }
  });

  test.each([
    ['a.deb', /^application\//],
    ['a.rpm', /^application\//],
    ['Packages.xz', 'application/x-xz'],
    ['Packages.gz', 'application/gzip'],
    ['primary.xml.zst', 'application/zstd'],
    ['index.html', 'text/html; charset=utf-8'],
    ['notes.txt', 'text/plain; charset=utf-8'],
    ['packument.json', /^application\/json\b/],
    ['Release', 'text/plain; charset=utf-8'],
    ['vmlinuz', 'application/octet-stream'],
  ])('%s has its type, and no encoding that a client would undo', async (name, type) => {
    const server = await serveTree(treeOf({ [name]: 'content' }));
    const { headers } = await ask(server, `/${name}`);
    expect(headers['content-type']).toMatch(type);
    expect(headers['content-encoding']).toBeUndefined();
  });

  test('whose name is no UTF-8, or looks like an escape, is found by its bytes', async () => {
    const tree = treeOf({ 'a%20b?c#d+e~f': 'signs', '.well-known/x': 'hidden' });
    writeFileSync(Buffer.from(`${tree}/\xe9t\xe9`, 'latin1'), 'latin');
    const server = await serveTree(tree);
    expect((await ask(server, '/a%2520b%3Fc%23d+e~f')).body.toString()).toBe('signs');
    expect((await ask(server, '/%E9t%E9')).body.toString()).toBe('latin');
    expect((await ask(server, '/%C3%A9t%C3%A9')).status).toBe(404);
    expect((await ask(server, '/.well-known/x')).body.toString()).toBe('hidden');
  });

  test('is asked about with HEAD, which has the headers and no content', async () => {
    const server = await serveTree(treeOf({ small: INDEX, large: LARGE }));
    for (const path of ['/small', '/large']) {
      const head = await ask(server, path, { method: 'HEAD' });
      const { status, headers, body } = await ask(server, path);
      const again = await ask(server, path, { method: 'HEAD' });
      for (const answer of [head, again]) {
        expect(answer.body).toHaveLength(0);
        expect(answer.status).toBe(status);
        expect(answer.headers).toMatchObject({
          'content-length': String(body.length),
          etag: headers.etag,
        });
      }
    }
  });

  test('without content is sent', async () => {
    const server = await serveTree(treeOf({ empty: '' }));
    for (const _ of TIMES) {
      const { status, headers, body } = await ask(server, '/empty');
      expect([status, headers['content-length'], body.length]).toEqual([200, '0', 0]);
    }
    expect((await ask(server, '/empty', { headers: { range: 'bytes=0-' } })).status).toBe(416);
  });
});

test('A date that two generations share, in whole seconds, is no reason to send less than the whole', async () => {
  const [old, next, linked] = [treeOf({ file: 'old' }), treeOf({ file: 'new' }), treeOf({})];
  utimesSync(join(old, 'file'), 1_700_000_000.2, 1_700_000_000.2);
  utimesSync(join(next, 'file'), 1_700_000_000.9, 1_700_000_000.9);
  linkSync(join(next, 'file'), join(linked, 'file'));
  const date = new Date(1_700_000_000_000).toUTCString();
  const range = 'bytes=1-';
  const statuses = async (others: readonly string[]) => {
    const server = await serveTree(next, 'no-cache', others);
    const asked = [
      { 'if-modified-since': date },
      { range, 'if-range': date },
      { range, 'if-unmodified-since': date },
    ];
    const replies = [];
    for (const _ of TIMES) {
      for (const headers of asked) replies.push((await ask(server, '/file', { headers })).status);
    }
    return replies;
  };
  const thrice = (...of: number[]) => [...of, ...of, ...of];
  expect(await statuses([linked, old])).toEqual(thrice(200, 200, 412));
  // One that is linked is the same file, and one that has another date cannot be meant.
  utimesSync(join(old, 'file'), 1_700_000_001, 1_700_000_001);
  expect(await statuses([linked, old, treeOf({})])).toEqual(thrice(304, 206, 206));
});

describe.each([
  ['small', Buffer.from('0123456789abcdefghijklmnopqrstuvwxyz')],
  ['large', LARGE],
])('Of a %s file', (_, content) => {
  const size = content.length;

  test.each([
    ['bytes=0-4', 0, 5],
    ['bytes=3-3', 3, 4],
    [`bytes=${size - 5}-`, size - 5, size],
    ['bytes=-6', size - 6, size],
    [`bytes=2-${size * 2}`, 2, size],
    [`bytes=-${size * 2}`, 0, size],
  ])('a part is sent: %s', async (range, start, end) => {
    const server = await serveTree(treeOf({ file: content }));
    for (const _ of TIMES) {
      const { status, headers, body } = await ask(server, '/file', { headers: { range } });
      expect(status).toBe(206);
      expect(headers['content-range']).toBe(`bytes ${start}-${end - 1}/${size}`);
      expect(body.equals(content.subarray(start, end))).toBe(true);
    }
  });

  test('a part behind its end is refused, and nothing may be kept of the refusal', async () => {
    const server = await serveTree(treeOf({ file: content }), 'public, max-age=9, immutable');
    const { status, headers } = await ask(server, '/file', {
      headers: { range: `bytes=${size}-` },
    });
    expect(status).toBe(416);
    expect(headers['content-range']).toBe(`bytes */${size}`);
    expect(headers['cache-control']).toBe('no-cache');
    expect(headers.etag).toBeUndefined();
  });

  test('several parts, or what is no range, is the whole', async () => {
    const server = await serveTree(treeOf({ file: content }));
    for (const range of ['bytes=0-1,5-6', 'lines=1-2', 'bytes=']) {
      const { status, body } = await ask(server, '/file', { headers: { range } });
      expect([range, status, body.equals(content)]).toEqual([range, 200, true]);
    }
  });

  test('nothing is sent to a client that has it, nor the rest of another file', async () => {
    const tree = treeOf({ file: content });
    utimesSync(join(tree, 'file'), 1_700_000_000, 1_700_000_000);
    const server = await serveTree(tree);
    for (const _ of TIMES) await ask(server, '/file');
    const { headers: own } = await ask(server, '/file');
    const [etag = '', date = ''] = [own.etag, own['last-modified']];
    const newer = new Date(1_700_000_060_000).toUTCString();
    const statusFor = async (headers: Record<string, string>) =>
      (await ask(server, '/file', { headers })).status;
    expect(await statusFor({ 'if-none-match': etag })).toBe(304);
    expect(await statusFor({ 'if-modified-since': date })).toBe(304);
    // The client has the file of a later snapshot, and the mirror was rolled back.
    expect(await statusFor({ 'if-modified-since': newer })).toBe(200);
    const range = 'bytes=1-';
    expect(await statusFor({ range, 'if-range': date })).toBe(206);
    expect(await statusFor({ range, 'if-range': etag })).toBe(206);
    expect(await statusFor({ range, 'if-range': newer })).toBe(200);
    expect(await statusFor({ range, 'if-range': '"other"' })).toBe(200);
    expect(await statusFor({ range, 'if-unmodified-since': newer })).toBe(412);
    expect(await statusFor({ 'if-match': '"other"' })).toBe(412);
  });

  test('two generations share the ETag only while they share the file', async () => {
    const old = treeOf({ file: content });
    const next = treeOf({});
    linkSync(join(old, 'file'), join(next, 'file'));
    const [oldServer, nextServer] = [await serveTree(old), await serveTree(next)];
    const { headers: before } = await ask(oldServer, '/file');
    for (const _ of TIMES) {
      expect((await ask(nextServer, '/file')).headers.etag).toBe(before.etag);
    }
    // As rsync replaces a file: with the same size and time, in the place of the old one.
    writeFileSync(join(next, '.file.x'), Buffer.alloc(size, 'n'));
    execFileSync('touch', ['-r', join(old, 'file'), join(next, '.file.x')]);
    renameSync(join(next, '.file.x'), join(next, 'file'));
    const { headers: after, body } = await ask(nextServer, '/file');
    expect(after.etag).not.toBe(before.etag);
    expect(after['last-modified']).toBe(before['last-modified']);
    expect(body.equals(Buffer.alloc(size, 'n'))).toBe(true);
    expect((await ask(oldServer, '/file')).headers.etag).toBe(before.etag);
  });
});

describe('A directory', () => {
  test('without its slash leads to the same URL with it, whatever that looks like', async () => {
    const tree = treeOf({ 'pool/a b/': '', 'evil.example/x/': '' });
    const server = await serveTree(tree);
    const locationOf = async (path: string) => {
      const { status, headers } = await ask(server, path);
      expect(status).toBe(301);
      return headers.location;
    };
    expect(await locationOf('/pool')).toBe('/pool/');
    expect(await locationOf('/pool/a%20b?x=1')).toBe('/pool/a%20b/');
    expect(await locationOf('//evil.example/x')).toBe('/evil.example/x/');
    expect((await ask(server, '/pool/')).status).toBe(200);
  });

  test('is its index.html, or else its index.json', async () => {
    const tree = treeOf({
      'simple/pip/index.html': '<a href="pip.whl">pip.whl</a>',
      'npm/left-pad/index.json': '{"name":"left-pad"}',
      'npm/both/index.json': '{}',
      'npm/both/index.html': 'page',
      'npm/odd/index.html/': '',
    });
    const server = await serveTree(tree);
    for (const _ of TIMES) {
      const page = await ask(server, '/simple/pip/');
      expect(page.headers['content-type']).toBe('text/html; charset=utf-8');
      expect(page.body.toString()).toContain('pip.whl');
      const packument = await ask(server, '/npm/left-pad/');
      expect(packument.headers['content-type']).toMatch(/^application\/json\b/);
      expect(packument.body.toString()).toBe('{"name":"left-pad"}');
      expect((await ask(server, '/npm/both/')).body.toString()).toBe('page');
      expect((await ask(server, '/npm/odd/')).body.toString()).toContain('href="index.html/"');
    }
  });

  test('that has an index since shows it', async () => {
    const tree = treeOf({ 'npm/x/index.json': '{}' });
    const server = await serveTree(tree);
    for (const _ of TIMES) await ask(server, '/npm/x/');
    writeFileSync(join(tree, 'npm/x/index.html'), 'page');
    expect((await ask(server, '/npm/x/')).body.toString()).toBe('page');
    rmSync(join(tree, 'npm/x/index.html'));
    expect((await ask(server, '/npm/x/')).body.toString()).toBe('{}');
  });
});

describe('What the tree does not give', () => {
  test('is missing, so that another snapshot can be asked', async () => {
    const tree = treeOf({ file: INDEX, 'below/file': INDEX });
    symlinkSync('nowhere', join(tree, 'dangling'));
    symlinkSync('loop', join(tree, 'loop'));
    const server = await serveTree(tree);
    await ask(server, '/file');
    for (const path of [
      '/nothing',
      '/file/',
      '/file/below',
      '/below/nothing/',
      '/dangling',
      '/loop',
      '/file%00',
      `/${'x'.repeat(300)}`,
      `/${'x/'.repeat(4000)}`,
    ]) {
      expect([path, (await ask(server, path)).status]).toEqual([path, 404]);
    }
    expect(server.failures).toEqual([]);
  });

  test('is refused where a symlink leads out of the snapshot, into another one too', async () => {
    const tree = treeOf({ 'dists/trixie/Release': INDEX });
    const sibling = `${tree}-2`;
    mkdirSync(sibling);
    writeFileSync(join(sibling, 'file'), 'of another snapshot');
    symlinkSync('trixie', join(tree, 'dists/stable'));
    symlinkSync('../tree-2', join(tree, 'sibling'));
    symlinkSync('/etc/passwd', join(tree, 'passwd'));
    symlinkSync('..', join(tree, 'above'));
    const server = await serveTree(tree);
    expect((await ask(server, '/dists/stable/Release')).body.toString()).toBe(INDEX);
    for (const path of [
      '/sibling/file',
      '/sibling/',
      '/sibling',
      '/passwd',
      '/above/tree-2/file',
    ]) {
      const { status, body } = await ask(server, path);
      expect([path, status, body.toString()]).toEqual([path, 403, '403 Forbidden\n']);
    }
    expect((await ask(server, '/above/tree/dists/stable/Release')).status).toBe(200);
  });

  test('is refused if it is no file, and never opened', async () => {
    const tree = treeOf({});
    execFileSync('mkfifo', [join(tree, 'fifo')]);
    const socket = createSocket().listen(join(tree, 'socket'));
    const server = await serveTree(tree);
    expect((await ask(server, '/fifo')).status).toBe(403);
    expect((await ask(server, '/socket')).status).toBe(403);
    socket.close();
  });

  test('is refused if it may not be read', async () => {
    const tree = treeOf({ file: INDEX, 'below/file': INDEX });
    const server = await serveTree(tree);
    for (const _ of TIMES) await ask(server, '/file');
    chmodSync(join(tree, 'file'), 0);
    chmodSync(join(tree, 'below'), 0);
    if (runsAsRoot) becomeNobody();
    expect((await ask(server, '/file')).status).toBe(403);
    expect((await ask(server, '/below/file')).status).toBe(403);
  });
});

/** Root may read everything. */
function becomeNobody(): void {
  process.seteuid?.(nobody.uid);
  onTestFinished(() => process.seteuid?.(0));
}

test('What was read before is read again once it is another file', async () => {
  const tree = treeOf({ file: 'old' });
  const server = await serveTree(tree);
  for (const _ of TIMES) expect((await ask(server, '/file')).body.toString()).toBe('old');
  writeFileSync(join(tree, 'new'), 'new');
  execFileSync('touch', ['-r', join(tree, 'file'), join(tree, 'new')]);
  renameSync(join(tree, 'new'), join(tree, 'file'));
  expect((await ask(server, '/file')).body.toString()).toBe('new');
  rmSync(join(tree, 'file'));
  expect((await ask(server, '/file')).status).toBe(404);
});

test('What was written again in its place, with its size and date, is recognized as another', async () => {
  const date = new Date('2026-11-27T01:02:03Z');
  const tree = treeOf({ file: 'old' });
  const file = join(tree, 'file');
  const [server, frozen] = [await serveTree(tree, 'no-cache', [], false), await serveTree(tree)];
  const write = (content: string) => {
    writeFileSync(file, content);
    utimesSync(file, date, date);
  };
  write('old');
  let etag = '';
  for (const _ of TIMES) etag = String((await ask(server, '/file')).headers.etag);
  const { ctimeNs, ...before } = statSync(file, { bigint: true });
  // The kernel's clock has ticks.
  while (statSync(file, { bigint: true }).ctimeNs === ctimeNs) write('new');
  const { ino, size, mtimeNs } = before;
  expect(statSync(file, { bigint: true })).toMatchObject({ ino, size, mtimeNs });

  expect((await ask(frozen, '/file')).body.toString()).toBe('new');
  const known = { 'If-None-Match': etag };
  expect((await ask(server, '/file', { headers: known })).body.toString()).toBe('new');
  const rest = { 'If-Range': etag, Range: 'bytes=1-' };
  const reply = await ask(server, '/file', { headers: rest });
  expect([reply.status, reply.body.toString()]).toEqual([200, 'new']);
});

test('A snapshot that was moved away is missing', async () => {
  const tree = treeOf({ file: 'content', large: LARGE });
  const server = await serveTree(tree);
  for (const _ of TIMES) await ask(server, '/file');
  renameSync(tree, `${tree}-removed`);
  expect((await ask(server, '/file')).status).toBe(404);
  expect((await ask(server, '/large')).status).toBe(404);
  expect(readFileSync(join(`${tree}-removed`, 'file'), 'utf8')).toBe('content');
});
