import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, describe, expect, it, onTestFinished } from 'vitest';
import { nginxInFront } from '../support/http/fronts.ts';
import { startServe } from '../support/http/serve.ts';
import { whyNotInstalled } from '../support/installed.ts';
import { runProgram, transcript } from '../support/program.ts';
import { residentMegabytes } from '../support/resident-memory.ts';
import { makeScratch } from '../support/scratch.ts';
import { diceOf } from './dice.ts';
import { writeGeneration } from './http-load/bodies.ts';
import { emptyTally, type Readers, readQuickly, readSlowly } from './http-load/reader.ts';
import { byScale, tellSummary } from './scale.ts';

/** Half of them are slow. */
const CONNECTIONS = 2_000;
const MINUTE_MS = 60_000;
const LASTS_MS = byScale({ sample: MINUTE_MS / 2, all: 10 * MINUTE_MS });
/** The most that the server may have in memory, in MiB: it reaches some 125 within two minutes, and stays there. */
const MOST_MEMORY = 140;

const scratch = makeScratch();

afterAll(() => scratch.remove());

/** What is under load. */
interface Subject {
  /** `http://127.0.0.1:PORT`. */
  readonly origin: string;
  /** The process of mirrorlatch. */
  readonly pid: number;
  /** Each kills a server by SIGKILL and starts it again. */
  readonly kills: readonly (() => Promise<void>)[];
  stop(): Promise<void>;
}

interface Kind {
  readonly name: string;
  readonly programs: readonly string[];
  start(root: string, directory: string): Promise<Subject>;
}

const kinds: readonly Kind[] = [
  {
    name: 'serve',
    programs: [],
    async start(root) {
      // Runs end before they hold more snapshots than the server keeps for them.
      const times = ['--pin-gap', '2s', '--pin-quiet', '10s', '--pin-max-age', '10s'];
      const words = [`${root}=/mirror/`, ...times];
      let server = await startServe(words);
      const { host } = new URL(server.address);
      return {
        origin: server.address,
        get pid() {
          return server.pid;
        },
        kills: [
          async () => {
            server.kill('SIGKILL');
            await server.result;
            server = await startServe(words, {}, ['--listen', host]);
          },
        ],
        stop: async () => {
          server.kill('SIGKILL');
          await server.result;
        },
      };
    },
  },
  {
    name: 'nginx in front',
    programs: nginxInFront.programs,
    async start(root, directory) {
      // So that clients who are never quiet get newer snapshots, too.
      const soon = ['--front-keep', '2s', '--front-quiet', '2s', '--pin-max-age', '5s'];
      const front = await nginxInFront.start([`${root}=/mirror/`, ...soon], directory);
      let { web, server } = front;
      return {
        origin: web.origin,
        get pid() {
          return server.pid;
        },
        kills: [
          async () => {
            await web.kill();
            web = await web.again();
          },
          async () => {
            server.kill('SIGKILL');
            await server.result;
            await pause(1_000);
            server = await front.again();
          },
        ],
        stop: async () => {
          await web.kill();
          await front.stop();
        },
      };
    },
  },
];

describe.for(kinds)(`${CONNECTIONS} connections, half of them slow, to $name`, (kind) => {
  const why = whyNotInstalled(...kind.programs);

  it.skipIf(why !== '')(
    `get the bytes of their snapshot while one is published each second, and servers are killed${why}`,
    {
      timeout: LASTS_MS + 5 * MINUTE_MS,
    },
    async () => {
      const directory = join(scratch.path, kind.name.replaceAll(' ', '-'));
      const root = join(directory, 'mirror');
      const publisher = await startPublisher(join(directory, 'source'), root);
      const subject = await kind.start(root, join(directory, 'servers'));
      onTestFinished(() => subject.stop());
      const until = performance.now() + LASTS_MS;
      let absences = 0;
      const readers: Readers = {
        url: `${subject.origin}/mirror/current/`,
        tally: emptyTally(),
        dice: diceOf('readers'),
        isOver: () => performance.now() >= until,
        absences: () => absences,
      };
      const { tally } = readers;
      const reading = Array.from({ length: CONNECTIONS / 2 }, (_, number) => [
        // Ten connections have the same name, as those of one client.
        readQuickly(readers, `quick/${Math.floor(number / 10)}`),
        readSlowly(readers, `slow/${Math.floor(number / 10)}`),
      ]).flat();

      const memory: number[] = [];
      let connections = 0;
      const kills = [...subject.kills];
      while (!readers.isOver()) {
        await pause(500);
        memory.push(residentMegabytes(subject.pid));
        connections = Math.max(connections, establishedOn(Number(new URL(subject.origin).port)));
        const left = (LASTS_MS * kills.length) / (subject.kills.length + 1);
        if (kills.length > 0 && until - performance.now() < left) {
          absences += 1;
          await kills.shift()?.();
          absences += 1;
        }
      }
      await Promise.all(reading);
      const publications = await publisher.stop();

      const most = Math.max(...memory);
      tellSummary(
        `HTTP load, ${kind.name}: ${tally.wrong.length} wrong of ${tally.bodies} bodies (${tally.unpinned} unpinned) and ${tally.unchanged} answers of 304 on ${connections} connections; ${tally.broken} runs broken, ${tally.lost} of them by a lost snapshot; ${tally.generations.size} of ${publications} snapshots read; mirrorlatch took at most ${Math.round(most)} MiB`,
      );
      expect(tally.wrong.slice(0, 20)).toEqual([]);
      expect(connections).toBeGreaterThan(0.95 * CONNECTIONS);
      expect(tally.bodies).toBeGreaterThan(CONNECTIONS);
      expect(tally.broken).toBeGreaterThan(0);
      expect(tally.generations.size).toBeGreaterThan(2);
      expect(most).toBeLessThanOrEqual(MOST_MEMORY);
    },
  );
});

/** Publishes a snapshot each second, and prunes. */
async function startPublisher(source: string, root: string) {
  let generation = 0;
  const publish = async () => {
    generation += 1;
    writeGeneration(source, generation);
    const result = await runProgram([
      ...['sync', source, root, '--id', `g${generation}`],
      ...['--keep-last', '3', '--grace', '0s', '--quiet'],
    ]);
    if (result.exitCode !== 0) throw new Error(transcript(result));
  };
  await publish();
  let isOver = false;
  const publishing = (async () => {
    while (!isOver) await Promise.all([publish(), pause(1_000)]);
  })();
  publishing.catch(() => {});
  return {
    /** @returns the number of publications. */
    stop: async () => {
      isOver = true;
      await publishing;
      return generation;
    },
  };
}

/** The established connections to a port of 127.0.0.1 (proc_pid_net(5)). */
function establishedOn(port: number): number {
  const local = `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  return readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .filter((line) => / *\d+: (\S+) \S+ 01 /.exec(line)?.[1] === local).length;
}
