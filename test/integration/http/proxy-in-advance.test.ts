import { existsSync, writeFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { ask } from '../../support/http/ask.ts';
import { servePlainly } from '../../support/http/plain-server.ts';
import { startProgram, transcript } from '../../support/program.ts';
import { mirrorsWith } from '../../support/small-mirror.ts';

const mirrors = mirrorsWith('first', 'second');

const COUNT = 1_000;
/** More than the kernel takes for those who do not read. */
const LARGE = 20_000_000;
const SMALL = 1_000;
const numbers = Array.from({ length: COUNT }, (_, at) => at);

/** A command under `run --http` that goes on until `end`, and its proxy. What is asked for by a number waits in `held`. */
async function guarded() {
  const mirror = await mirrors();
  const held = new Map<number, ServerResponse>();
  const server = await servePlainly(mirror.root, (request, response) => {
    const [, number] = /\/file\?(\d+)$/.exec(request.url ?? '') ?? [];
    if (number === undefined) return false;
    held.set(Number(number), response);
    response.once('close', () => held.delete(Number(number)));
    return true;
  });
  const url = `${server.url}/current/file`;
  const go = join(mirror.home, 'go');
  const command = `curl -sS ${url} && echo " $http_proxy" && until [ -e '${go}' ]; do sleep 0.05; done`;
  const running = startProgram(['run', '--http', url, '--', 'sh', '-c', command], {
    byLauncher: true,
  });
  const end = async () => {
    writeFileSync(go, '');
    return await running.result;
  };
  onTestFinished(async () => {
    if (!existsSync(go)) await end();
  });
  await eventually(() => expect(running.printedSoFar()).toMatch(/^second http:.*\n$/));
  const proxy = running.printedSoFar().trim().split(' ')[1] ?? '';
  return { held, url, proxy, end };
}

/** A client that asks a proxy for all of it at once. */
function askInAdvance(proxy: string, url: string, asked = numbers): Socket {
  const socket = connect(Number(new URL(proxy).port), '127.0.0.1');
  onTestFinished(() => void socket.destroy());
  socket.on('error', () => {});
  const requests = asked.map((at) => `GET ${url}?${at} HTTP/1.1\r\nHost: x\r\n\r\n`);
  socket.write(requests.join(''));
  return socket;
}

test('the proxy asks for ten files at a time of those that a client wants in advance, and answers in order', async () => {
  const { held, url, proxy, end } = await guarded();
  const socket = askInAdvance(proxy, url);
  let received = '';
  socket.on('data', (chunk) => {
    received += String(chunk);
  });
  await eventually(() => expect(held.size).toBe(10));
  expect((await ask(proxy, url)).text).toBe('second');
  expect([...held.keys()]).toEqual(numbers.slice(0, 10));

  // The last first, as far as they have come.
  const answer = setInterval(() => {
    expect(held.size).toBeLessThanOrEqual(10);
    for (const [at, response] of [...held].reverse()) response.end(`it is number ${at}.`);
  }, 1);
  await eventually(() => expect(received).toContain(`number ${COUNT - 1}.`));
  clearInterval(answer);
  const answers = [...received.matchAll(/it is number (\d+)\./g)].map(([, at]) => Number(at));
  expect(answers).toEqual(numbers);
  const result = await end();
  expect(result.exitCode, transcript(result)).toBe(0);
});

test('an answer for which the proxy has to wait goes on, although those after it come meanwhile', async () => {
  const { held, url, proxy } = await guarded();
  const socket = askInAdvance(proxy, url, numbers.slice(0, 10));
  let received = 0;
  socket.pause().on('data', (chunk: Buffer) => {
    received += chunk.length;
  });
  await eventually(() => expect(held.size).toBe(10));
  const [first, ...others] = [...held.values()];
  first?.end(Buffer.alloc(LARGE));
  const left = () => first?.writableLength ?? 0;
  // The proxy takes no more of it than has room.
  await eventually(async () => {
    const before = left();
    await pause(100);
    expect(left()).toBe(before);
  });
  expect(left()).toBeGreaterThan(0);
  for (const other of others) other.end(Buffer.alloc(SMALL));
  await pause(100);
  socket.resume();
  await eventually(() => expect(received).toBeGreaterThan(LARGE + 9 * SMALL));
});

test('the proxy ends what it has asked for in advance when its client has gone', async () => {
  const { held, url, proxy } = await guarded();
  const socket = askInAdvance(proxy, url);
  await eventually(() => expect(held.size).toBe(10));
  for (const response of held.values()) response.write('begun');
  socket.destroy();
  await eventually(() => expect(held.size).toBe(0));
});
