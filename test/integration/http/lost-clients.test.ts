import { once } from 'node:events';
import { closeSync, openSync, readdirSync, readlinkSync, truncateSync, writeSync } from 'node:fs';
import { createServer } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { writeBody } from '../../../src/http/files/write-body.ts';
import { eventually } from '../../support/eventually.ts';
import { ask } from '../../support/http/ask.ts';
import { type FileServer, serveTree } from '../../support/http/file-server.ts';
import { treeOf } from '../../support/http/tree-of.ts';

/** More than the kernel takes for a client that reads nothing. */
const HUGE = 64 * 1024 * 1024;

/** The descriptors of this process, in which the server runs, that are open in a tree. */
function openIn(tree: string): string[] {
  return readdirSync('/proc/self/fd').flatMap((descriptor) => {
    try {
      const path = readlinkSync(`/proc/self/fd/${descriptor}`);
      return path.startsWith(tree) ? [path] : [];
    } catch {
      return [];
    }
  });
}

/** A client that asks, and waits for the first bytes of the answer. */
async function begin(server: FileServer, requests: string): Promise<Socket> {
  const socket = connect(server.port, '127.0.0.1');
  socket.on('error', () => {});
  socket.write(requests);
  await once(socket, 'readable');
  return socket;
}

const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: mirror\r\n\r\n`;

test('Clients that go away leave no file open, whatever they had asked for in advance', async () => {
  const tree = treeOf({ 'huge/file': '', 'many/0': '' });
  truncateSync(join(tree, 'huge/file'), HUGE);
  const server = await serveTree(tree);
  const requests = [get('/huge/file'), get('/huge/file').repeat(20), get('/huge/')];
  for (let round = 0; round < 20; round += 1) {
    const sockets = await Promise.all(requests.map((request) => begin(server, request)));
    expect(openIn(tree)).not.toEqual([]);
    for (const socket of sockets) socket.destroy();
  }
  await eventually(() => expect(openIn(tree)).toEqual([]));
  expect(server.failures).toEqual([]);
});

test('What is written while the connection of a client that has gone is being closed is waited for no longer', async () => {
  const written = new Promise<boolean>((resolve) => {
    const server = createServer((request, response) => {
      response.write('begun');
      // Node ends the connection by a listener of its own, which comes before this one.
      request.socket.once('end', () => writeBody(request, response, 'more').then(resolve));
    });
    onTestFinished(() => {
      server.close();
    });
    server.listen(0, '127.0.0.1', async () => {
      const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
      socket.write(get('/'));
      await once(socket, 'readable');
      socket.end().resume();
    });
  });
  expect(await written).toBe(false);
});

test('A client that stops reading does not hold up another', async () => {
  const tree = treeOf({ huge: '' });
  truncateSync(join(tree, 'huge'), HUGE);
  const server = await serveTree(tree);
  // More of them than there are large buffers.
  const stalled = await Promise.all(Array.from({ length: 20 }, () => begin(server, get('/huge'))));
  expect((await ask(server, '/huge')).body).toHaveLength(HUGE);
  for (const socket of stalled) socket.destroy();
  await eventually(() => expect(openIn(tree)).toEqual([]));
});

test.each([
  ['becomes shorter', (path: string) => truncateSync(path, 4096)],
  [
    'is written to at its end',
    (path: string) => {
      const descriptor = openSync(path, 'r+');
      writeSync(descriptor, 'x', HUGE - 1);
      closeSync(descriptor);
    },
  ],
])('A file that %s breaks the connection, so that nobody takes it for whole', async (_, change) => {
  const tree = treeOf({ huge: '' });
  truncateSync(join(tree, 'huge'), HUGE);
  const server = await serveTree(tree);
  const socket = await begin(server, get('/huge'));
  change(join(tree, 'huge'));
  socket.resume();
  await once(socket, 'close');
  expect(socket.bytesRead).toBeLessThan(HUGE);
  expect(server.failures).toEqual([expect.objectContaining({ code: 'BUSY' })]);
  await eventually(() => expect(openIn(tree)).toEqual([]));
});
