import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { ask } from '../../support/http/ask.ts';
import { type ServeProcess, startServe } from '../../support/http/serve.ts';
import { transcript } from '../../support/program.ts';
import { residentMegabytes } from '../../support/resident-memory.ts';
import { makeScratch } from '../../support/scratch.ts';
import { type SmallMirror, smallMirror } from '../../support/small-mirror.ts';
import { describeTree } from '../../support/tree.ts';

const scratch = makeScratch();
let mirror: SmallMirror;
let server: ServeProcess;
let before: unknown;

beforeAll(async () => {
  mirror = smallMirror({ home: join(scratch.path, 'home') });
  mkdirSync(join(scratch.path, 'outside'));
  writeFileSync(join(scratch.path, 'outside', 'secret'), 'secret');
  mirror.change({ 'dir/file': 'file', InRelease: 'one', big: Buffer.alloc(8 * 1024 * 1024) });
  symlinkSync('/etc', join(mirror.source, 'etc'));
  symlinkSync(join(scratch.path, 'outside/secret'), join(mirror.source, 'secret'));
  symlinkSync('../../.mirrorlatch/mirror.json', join(mirror.source, 'settings'));
  symlinkSync('dir', join(mirror.source, 'inside'));
  await mirror.sync('--id', 'one');
  before = await describeTree(mirror.root);
  server = await startServe([`${mirror.root}=/m/`]);
});

afterAll(async () => {
  const result = await server.stop();
  expect(result.exitCode, transcript(result)).toBe(0);
  await scratch.remove();
});

/** Sends bytes as they are, and returns all that comes back until the server closes the connection. */
function raw(...parts: string[]): Promise<string> {
  const socket = connectToServer();
  for (const part of parts) socket.write(part, 'latin1');
  return allOf(socket);
}

/** All that comes until the server closes a connection. */
function allOf(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    let received = '';
    socket.setEncoding('latin1');
    socket.on('data', (chunk: string) => {
      received += chunk;
    });
    socket.once('error', reject);
    socket.once('close', () => resolve(received));
  });
}

function connectToServer(): Socket {
  const { hostname, port } = new URL(server.address);
  return connect(Number(port), hostname);
}

const statusOf = (received: string) => /^HTTP\/1\.1 (\d+)/.exec(received)?.[1];

describe('a hostile client', () => {
  test.for([
    '/m/current/../../../../../../etc/passwd',
    '/m/current/%2e%2e/%2e%2e/.mirrorlatch/mirror.json',
    '/m/current/..%2f..%2f.mirrorlatch%2fmirror.json',
    '/m/current/%252e%252e/%252e%252e/.mirrorlatch/mirror.json',
    '/m/current/dir/..;/file',
    '/m/snapshots/../.mirrorlatch/mirror.json',
    '/m/snapshots/%2e%2e/.mirrorlatch/mirror.json',
    '/m/snapshots/.mirrorlatch/mirror.json',
    '/m/snapshots/one%2f..%2f..%2f.mirrorlatch/mirror.json',
    '/m/.mirrorlatch/mirror.json',
    '/m/pins/../../etc/passwd',
    '/m/current/etc/passwd',
    '/m/current/secret',
    '/m/current/settings',
    '/m/current/dir\\..\\..\\..\\.mirrorlatch\\mirror.json',
    '/m/current/dir/file%00.html',
    '/m/current//etc/passwd',
    'file:///etc/passwd',
    '//etc/passwd',
  ])('gets nothing from outside the snapshot by %s', async (path) => {
    const received = await raw(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    expect(statusOf(received)).toMatch(/^40[034]$/);
    expect(received).not.toMatch(/root:|secret\r?\n|"format"/);
  });

  test('follows a symlink that stays in the snapshot', async () => {
    expect((await ask(server.address, '/m/current/inside/file')).text).toBe('file');
  });

  test.for(['PUT', 'POST', 'DELETE', 'PATCH', 'MKCOL', 'MOVE', 'PROPFIND', 'OPTIONS', 'TRACE'])(
    'can change nothing by %s',
    async (method) => {
      for (const path of ['/m/current/InRelease', '/m/snapshots/one/new', '/m/', '/-/healthz']) {
        const reply = await ask(server.address, path, { method });
        expect(reply.status, path).toBe(405);
        expect(reply.headers['allow']).toBe('GET, HEAD');
      }
    },
  );

  test.for([
    ['two lengths', 'Content-Length: 5\r\nContent-Length: 6\r\n'],
    ['a length and chunks', 'Content-Length: 5\r\nTransfer-Encoding: chunked\r\n'],
    ['chunks that are disguised', 'Transfer-Encoding: xchunked\r\n'],
    ['a space before the colon', 'Content-Length : 5\r\n'],
    ['a folded header', 'X: a\r\n b\r\n'],
    ['a bare carriage return', 'X: a\rY: b\r\n'],
    ['a NUL', 'X: \0\r\n'],
  ])('smuggles no second request by %s', async ([_, header]) => {
    const hidden = 'GET /m/current/InRelease HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n';
    const received = await raw(`POST /m/pins HTTP/1.1\r\nHost: x\r\n${header}\r\n${hidden}`);
    expect(received).not.toContain('one');
    expect(received.match(/HTTP\/1\.1 200/g)).toBeNull();
  });

  test('sends no oversized header, path or body', async () => {
    const long = 'x'.repeat(20_000);
    const header = await raw(
      `GET /m/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX: ${long}\r\n\r\n`,
    );
    expect(statusOf(header)).toBe('431');
    const path = await raw(
      `GET /m/current/${long} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
    );
    expect(statusOf(path)).toMatch(/^4/);
    const name = await ask(server.address, `/m/current/${'x'.repeat(5_000)}`);
    expect(name.status).toBe(404);
    const deep = await ask(server.address, `/m/current/${'x/'.repeat(3_000)}`);
    expect(deep.status).toBe(404);
    const body = await raw(
      `POST /m/pins HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n${' '.repeat(10_000)}`,
    );
    expect(statusOf(body)).toBe('400');
  });

  test('is given up when it never ends its header', async () => {
    const socket = connectToServer();
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.on('error', () => {});
    socket.write('GET /m/current/InRelease HTTP/1.1\r\nHost: x\r\n');
    const others = setInterval(() => socket.write('X: y\r\n'), 1_000);
    let received = '';
    socket.on('data', (chunk) => {
      received += String(chunk);
    });
    await closed;
    clearInterval(others);
    expect(statusOf(received)).toBe('408');
  });

  test('that pipelines requests and goes away holds no snapshot', async () => {
    const open = () => openFiles(server.pid);
    const atFirst = open();
    for (let count = 0; count < 10; count += 1) {
      const socket = connectToServer();
      socket.on('error', () => {});
      const more = 'GET /m/snapshots/one/InRelease HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(5);
      socket.write(`GET /m/current/big HTTP/1.1\r\nHost: x\r\nUser-Agent: ${count}\r\n\r\n${more}`);
      await new Promise((resolve) => socket.once('readable', resolve));
      socket.destroy();
    }
    await eventually(() => expect(open()).toBeLessThanOrEqual(atFirst));
    await eventually(async () => {
      const { text } = await ask(server.address, '/-/status.json');
      expect(JSON.parse(text).mirrors[0].snapshots[0].leases).toBeLessThanOrEqual(1);
    });
  });

  test('that asks for many files before it has read one has one of them open', async () => {
    const atFirst = openFiles(server.pid);
    const socket = connectToServer();
    socket.on('error', () => {});
    socket.write('GET /m/current/big HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(200));
    await new Promise((resolve) => socket.once('readable', resolve));
    await ask(server.address, '/m/current/big');
    expect(openFiles(server.pid) - atFirst).toBeLessThan(10);
    socket.destroy();
    await eventually(() => expect(openFiles(server.pid)).toBeLessThanOrEqual(atFirst));
  });

  test('may ask for as much in advance as apt does, and gets all of it', async () => {
    const one = 'GET /m/current/InRelease HTTP/1.1\r\nHost: x\r\n';
    const received = await raw(`${one}\r\n`.repeat(199), `${one}Connection: close\r\n\r\n`);
    expect(received.match(/HTTP\/1\.1 200 OK/g)).toHaveLength(200);
  });

  test('gets its answers in the order of its requests, whatever it asks for a thousand times in advance', async () => {
    const atFirst = openFiles(server.pid);
    const socket = connectToServer();
    const parts = Array.from({ length: 1_000 }, (_, at) => at);
    socket.write('GET /m/current/big HTTP/1.1\r\nHost: x\r\n\r\n');
    const method = (at: number) => (at % 3 === 0 ? 'HEAD' : 'GET');
    for (const at of parts) {
      const range = `Range: bytes=${at}-${at}\r\n`;
      socket.write(`${method(at)} /m/current/big HTTP/1.1\r\nHost: x\r\n${range}\r\n`);
    }
    socket.write('POST /m/pins HTTP/1.1\r\nHost: x\r\nContent-Length: 15\r\n\r\n{"seconds": 10}');
    socket.write('GET /m/current/InRelease HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    await new Promise((resolve) => socket.once('readable', resolve));
    await ask(server.address, '/m/current/big');
    expect(openFiles(server.pid) - atFirst).toBeLessThan(10);
    const received = await allOf(socket);
    const sent = [...received.matchAll(/^Content-Range: bytes (\d+)-/gm)].map(([, at]) =>
      Number(at),
    );
    expect(sent).toEqual(parts);
    expect(received).toMatch(/HTTP\/1\.1 201 [\s\S]*HTTP\/1\.1 200 [\s\S]*one$/);
  });

  test.for<[string, string]>([
    ['a file', 'GET /m/current/big HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['what names no host', 'GET / HTTP/1.1\r\n\r\n'],
    ['what nobody expects', 'GET / HTTP/1.1\r\nHost: x\r\nExpect: x\r\n\r\n'],
  ])(
    'is cut off where all ask too much in advance, but no other client: %s',
    async ([_, request]) => {
      const sockets = Array.from({ length: 8 }, connectToServer);
      const isCut = sockets.map(
        (socket) => new Promise((resolve) => socket.once('close', resolve)),
      );
      for (const socket of sockets) {
        socket.on('error', () => {});
        // The first answer is never read, so the others wait.
        socket.write('GET /m/current/big HTTP/1.1\r\nHost: x\r\n\r\n');
        socket.write(request.repeat(1_000));
      }
      // A client that reads nothing only hears of it when it writes.
      const more = setInterval(() => {
        for (const socket of sockets) socket.write('\r\n');
      }, 50);
      await Promise.any(isCut);
      clearInterval(more);
      const one = 'GET /m/current/InRelease HTTP/1.1\r\nHost: x\r\n';
      const received = await raw(`${one}\r\n`.repeat(9), `${one}Connection: close\r\n\r\n`);
      expect(received.match(/HTTP\/1\.1 200 OK/g)).toHaveLength(10);

      for (const socket of sockets) socket.destroy();
      await eventually(async () => {
        const many = await raw(`${one}\r\n`.repeat(999), `${one}Connection: close\r\n\r\n`);
        expect(many.match(/HTTP\/1\.1 200 OK/g)).toHaveLength(1_000);
      });
    },
  );

  test('with thousands of names neither fills the memory nor opens more files', async () => {
    await ask(server.address, '/m/current/InRelease');
    const atFirst = openFiles(server.pid);
    for (let round = 0; round < 30; round += 1) {
      const agents = Array.from({ length: 100 }, (_, index) => `${round} ${index}`.padEnd(8_000));
      await Promise.all(
        agents.map((agent) =>
          ask(server.address, '/m/current/InRelease', { headers: { 'User-Agent': agent } }),
        ),
      );
    }
    await eventually(() => expect(openFiles(server.pid)).toBeLessThanOrEqual(atFirst));
    expect(residentMegabytes(server.pid)).toBeLessThan(200);
  });

  test('changes nothing on the disk', async () => {
    expect(await describeTree(mirror.root)).toEqual(before);
  });
});

function openFiles(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}
