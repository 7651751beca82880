import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { listen } from '../../../src/http/server/listen.ts';
import { ask } from '../../support/http/ask.ts';

test('a connection that the system does not let in is told of, each time, and others are', async () => {
  const server = createServer((_, response) => response.end('here'));
  const told: string[] = [];
  const address = await listen(server, { kind: 'tcp', host: '127.0.0.1', port: 0 }, (message) => {
    told.push(message);
  });
  onTestFinished(async () => {
    server.close();
    await once(server, 'close');
  });
  // As net.Server has it for accept(2).
  for (const _ of [1, 2]) server.emit('error', new Error('accept ENOBUFS'));
  const warning = `a connection to ${address} cannot be accepted: accept ENOBUFS`;
  expect(told).toEqual([warning, warning]);
  expect((await ask(address, '/')).text).toBe('here');
});

test('what keeps a server from listening is no warning but a failure', async () => {
  const first = createServer().listen(0, '127.0.0.1');
  await once(first, 'listening');
  onTestFinished(() => void first.close());
  const { port } = first.address() as AddressInfo;
  const told: string[] = [];
  const again = listen(createServer(), { kind: 'tcp', host: '127.0.0.1', port }, (message) => {
    told.push(message);
  });
  await expect(again).rejects.toThrow(`another program listens on 127.0.0.1 port ${port}`);
  expect(told).toEqual([]);
});
