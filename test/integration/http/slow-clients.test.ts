import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { whenEnded } from '../../../src/http/server/exchange.ts';
import { Transfers } from '../../../src/http/server/transfers.ts';
import { eventually } from '../../support/eventually.ts';
import { ask } from '../../support/http/ask.ts';
import { type ServeProcess, startServe } from '../../support/http/serve.ts';
import { mirrorsInPlace } from '../../support/in-place-mirror.ts';
import { runProgram, startProgram } from '../../support/program.ts';
import { copiesOf } from '../../support/small-mirror.ts';

/** More than the kernel takes for a client that reads nothing. */
const BIG = Buffer.from(Uint32Array.from({ length: 4 * 1024 * 1024 }, (_, at) => at).buffer);

const published = copiesOf((mirror) => mirror.publish('one', { big: BIG }));
const inPlace = mirrorsInPlace();

async function serve(...words: string[]): Promise<ServeProcess> {
  const server = await startServe(words);
  onTestFinished(async () => void (await server.stop()));
  return server;
}

/** A client that asks for a file, and reads no more than the first bytes of it until it is told to. */
async function slowClient(address: string, path: string) {
  const { hostname, port } = new URL(address);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => {});
  onTestFinished(() => void socket.destroy());
  socket.write(`GET ${path} HTTP/1.0\r\nUser-Agent: slow\r\n\r\n`);
  await once(socket, 'readable');
  return { socket, readOn: () => bodyOf(socket) };
}

/** What comes until the connection ends, without the header. */
async function bodyOf(socket: Socket): Promise<Buffer> {
  const parts: Buffer[] = [];
  socket.on('data', (part: Buffer) => parts.push(part));
  await once(socket, 'close');
  const all = Buffer.concat(parts);
  return all.subarray(all.indexOf('\r\n\r\n') + 4);
}

test('I5: a slow client of a snapshot by its id, or of a pin that has ended, does not keep it, and gets its file to the end', async () => {
  const mirror = await published();
  for (const id of ['two', 'three']) await mirror.publish(id, { big: id }, '--allow-shrink');
  const server = await serve(`${mirror.root}=/`);
  const body = '{"snapshot": "one", "seconds": 600}';
  const made = await ask(server.address, '/pins', { method: 'POST', body });
  const { url } = JSON.parse(made.text) as { url: string };
  const slow = await Promise.all([
    slowClient(server.address, '/snapshots/one/big'),
    slowClient(server.address, `${url}current/big`),
  ]);
  const prune = () => runProgram(['prune', mirror.root, '--keep-last', '1', '--grace', '0s']);
  await prune();
  expect(mirror.snapshots()).toContain('one');
  await ask(server.address, url.replace(/\/$/, ''), { method: 'DELETE' });
  await prune();
  expect(mirror.snapshots()).not.toContain('one');
  expect((await ask(server.address, '/snapshots/one/big')).status).toBe(410);

  // The next syncs recycle the tree, which changes no file of it.
  for (const id of ['four', 'five']) await mirror.publish(id, { big: id });
  for (const { readOn } of slow) expect((await readOn()).equals(BIG)).toBe(true);
});

test('a slow client of a mirror in place is cut off when a writer has waited for it long enough', async () => {
  const mirror = await inPlace();
  mirror.change({ big: BIG });
  await mirror.sync();
  const server = await serve(`${mirror.root}=/`);
  const { readOn } = await slowClient(server.address, '/current/big');
  mirror.change({ big: 'small' });
  const sync = startProgram(['sync', `${mirror.source}/`, mirror.root, '--allow-shrink']);
  await mirror.reaches('closing');
  mirror.rewrite({ since: new Date(Date.now() - 3_600_000).toISOString() });
  expect((await sync.result).exitCode).toBe(0);
  expect((await readOn()).length).toBeLessThan(BIG.length);
  expect((await ask(server.address, '/current/big')).text).toBe('small');
});

test('the end of an answer is told once, also where its client goes away', async () => {
  const ends: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    whenEnded({ request, response, isUnix: false }, () => ends.push(request.url));
    if (request.url === '/short') response.end('whole');
    else response.write('begun');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const { socket } = await slowClient(address, '/long');
  socket.destroy();
  await eventually(() => expect(ends).toContain('/long'));
  await ask(address, '/short');
  await eventually(() => expect(ends).toEqual(['/long', '/short']));
});

test('an answer is cut off only if it is old and in the way, or if that is pressing', async () => {
  let now = 0;
  const ways = { old: false, pressing: false };
  let isUnreadable = false;
  const transfers = new Transfers(1_000, () => now);
  const isInTheWay = () => {
    if (isUnreadable) throw new Error('the mirror cannot be read');
    return ways.old;
  };
  const server = createServer((request, response) => {
    const rules = { isInTheWay, isPressing: () => ways.pressing };
    transfers.note({ request, response, isUnix: false }, rules);
    if (request.url === '/short') response.end('whole');
    else response.write('begun');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const isCut = async (afterMs: number) => {
    const { socket } = await slowClient(address, '/long');
    now += afterMs;
    transfers.sweep();
    socket.resume();
    const closed = once(socket, 'close').then(() => true);
    // A whole exchange more takes longer than the end of a connection.
    const another = ask(address, '/short').then(() => false);
    const result = await Promise.race([closed, another]);
    socket.destroy();
    return result;
  };
  expect(await isCut(2_000)).toBe(false);
  ways.old = true;
  expect(await isCut(999)).toBe(false);
  expect(await isCut(1_000)).toBe(true);
  isUnreadable = true;
  expect(await isCut(1_000)).toBe(false);
  ways.pressing = true;
  expect(await isCut(1)).toBe(true);
});
