import { expect, onTestFinished, test } from 'vitest';
import { ask, type Reply } from '../../support/http/ask.ts';
import { startServe } from '../../support/http/serve.ts';
import { runProgram, transcript } from '../../support/program.ts';
import { residentMegabytes } from '../../support/resident-memory.ts';
import { mirrorsWith } from '../../support/small-mirror.ts';

const published = mirrorsWith('one', 'two');

const ADDRESSES = 50;
const REQUESTS = 5_000;
const AT_A_TIME = 200;
/** The bounds of serve, in all and for one address. */
const MOST = 1_000;
const MOST_OF_ADDRESS = 100;
/** The most that the server may have in memory, in MiB. */
const MOST_MEMORY = 120;

/** Runs this for the numbers below `count`, so many at a time. */
async function each(count: number, run: (number: number) => Promise<void>): Promise<void> {
  let next = 0;
  const lane = async () => {
    while (next < count) await run(next++);
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, lane));
}

test('thousands of clients that pin are bounded, and what they hold is released', async () => {
  const mirror = await published();
  const server = await startServe([`${mirror.root}=/`]);
  onTestFinished(async () => {
    await server.stop();
  });
  const addressOf = (number: number) => `127.0.1.${(number % ADDRESSES) + 1}`;
  const made: { token: string; from: string }[] = [];
  const refused: Reply[] = [];
  // No reader has held this snapshot before, so its lease is taken while others ask for it.
  const body = '{"snapshot":"one"}';
  const post = async (from: string) => {
    const reply = await ask(server.address, '/pins', { method: 'POST', body, from });
    if (reply.status === 201) made.push({ token: JSON.parse(reply.text).token, from });
    else refused.push(reply);
  };

  await each(2 * MOST_OF_ADDRESS, () => post(addressOf(0)));
  expect(made).toHaveLength(MOST_OF_ADDRESS);
  await each(REQUESTS, (number) => post(addressOf(number)));

  expect(made).toHaveLength(MOST);
  expect(Math.max(...countsBy(made.map(({ from }) => from)))).toBe(MOST_OF_ADDRESS);
  expect(
    new Set(refused.map(({ status, headers }) => `${status} ${headers['retry-after']}`)),
  ).toEqual(new Set(['503 30']));
  expect(residentMegabytes(server.pid)).toBeLessThan(MOST_MEMORY);
  const read = await ask(server.address, `/pins/${made[0]?.token}/current/file`);
  expect([read.status, read.text, (await ask(server.address, '/current/file')).text]).toEqual([
    200,
    'one',
    'two',
  ]);

  const prune = async () => {
    const words = ['prune', mirror.root, '--keep-last', '1', '--grace', '0s'];
    const result = await runProgram(words);
    expect(result.exitCode, transcript(result)).toBe(0);
  };
  await mirror.publish('three', { file: 'three' }, '--no-prune');
  await prune();
  expect(mirror.snapshots()).toContain('one');
  await each(MOST, async (number) => {
    const { token = '' } = made[number] ?? {};
    const { status } = await ask(server.address, `/pins/${token}`, { method: 'DELETE' });
    expect(status).toBe(204);
  });
  await prune();
  expect(mirror.snapshots()).not.toContain('one');
});

/** How often each text is there. */
function countsBy(texts: readonly string[]): number[] {
  const counts = new Map<string, number>();
  for (const text of texts) counts.set(text, (counts.get(text) ?? 0) + 1);
  return [...counts.values()];
}
