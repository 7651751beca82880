import { mkdirSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { freePort } from '../../support/daemon.ts';
import { startAptCacherNg } from '../../support/http/apt-cacher-ng.ts';
import { ask, type Reply } from '../../support/http/ask.ts';
import { startNginx } from '../../support/http/nginx.ts';
import { type ServeProcess, startServe } from '../../support/http/serve.ts';
import { startSquid } from '../../support/http/squid.ts';
import type { WebServer } from '../../support/http/web-server.ts';
import { whyNotInstalled } from '../../support/installed.ts';
import { runsAsRoot } from '../../support/privilege.ts';
import { copiesOf, type SmallMirror } from '../../support/small-mirror.ts';

/** All generations have the same names, sizes and times: what a cache could take for the same. */
const GENERATIONS = ['1', '2', '3', '4', '5', '6'] as const;
const FIRST = '20260101T000000Z';
const TIME = new Date('2026-01-01T00:00:00Z');
const INDEX = 'dists/stable/InRelease';
const PACKAGE = 'pool/same_1_all.deb';

const published = copiesOf((mirror) => publish(mirror, FIRST));

async function publish(mirror: SmallMirror, generation: string): Promise<void> {
  mirror.change({ [INDEX]: `generation ${generation}`, [PACKAGE]: 'the same' });
  for (const file of [INDEX, PACKAGE]) utimesSync(join(mirror.source, file), TIME, TIME);
  await mirror.sync('--id', generation, '--no-prune', '--checksum');
}

const running: { stop(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const { stop } of running.splice(0).reverse()) await stop();
});

async function served({ trusted }: Cache): Promise<{ mirror: SmallMirror; server: ServeProcess }> {
  const mirror = await published();
  const words = [`${mirror.root}=/debian/`, '--pin-gap', '10m'];
  // Its port is one that apt-cacher-ng can reach.
  const listen = ['--listen', `127.0.0.1:${await freePort()}`];
  const server = await startServe(
    [...words, ...(trusted ? ['--trust-proxy', '127.0.0.1'] : [])],
    {},
    listen,
  );
  running.push(server);
  return { mirror, server };
}

function started<Server extends WebServer>(server: Server): Server {
  running.push(server);
  return server;
}

/** A cache as its clients reach it. */
interface Cache {
  readonly name: string;
  readonly program: string;
  /** Whether the server believes what it says about its clients: it names itself as their User-Agent. */
  readonly trusted: boolean;
  /** A file that it keeps by its own rules, too. */
  readonly kept: string;
  /** @returns the path to ask it for, for a path of the server. */
  start(mirror: SmallMirror, server: ServeProcess): Promise<(path: string) => [string, string]>;
}

const squid: Cache = {
  name: 'squid',
  program: 'squid',
  trusted: false,
  kept: INDEX,
  async start({ home }, server) {
    const { origin } = started(await startSquid(join(home, 'squid')));
    return (path) => [origin, `${server.address}${path}`];
  },
};

const nginx: Cache = {
  name: 'nginx as a cache',
  program: 'nginx',
  trusted: false,
  kept: INDEX,
  async start({ home }, server) {
    const directory = join(home, 'nginx');
    const http = (port: number) => `
      proxy_cache_path ${directory}/cache keys_zone=all:1m;
      server {
        listen 127.0.0.1:${port};
        location / { proxy_pass ${server.address}; proxy_cache all; proxy_cache_revalidate on; }
      }`;
    mkdirSync(directory);
    const { origin } = started(await startNginx({ directory, http }));
    return (path) => [origin, path];
  },
};

const aptCacherNg: Cache = {
  name: 'apt-cacher-ng',
  program: 'apt-cacher-ng',
  trusted: true,
  kept: PACKAGE,
  async start({ home }, server) {
    const settings = ['ExposeOrigin: 1'];
    const { origin } = started(await startAptCacherNg(join(home, 'apt-cacher-ng'), settings));
    return (path) => [origin, `${server.address}${path}`];
  },
};

const why = ({ program }: Cache): string =>
  (runsAsRoot ? '' : ' (skipped: needs root)') || whyNotInstalled(program);
const shown = ({ status, text }: Reply) => `${status} ${text}`;

describe.for([squid, nginx, aptCacherNg])('through $name', (cache) => {
  test.skipIf(why(cache) !== '')(
    `each client sees its own snapshot, though all ask for the same URLs${why(cache)}`,
    async () => {
      const { mirror, server } = await served(cache);
      const through = await cache.start(mirror, server);
      const read = (client: string, path: string) =>
        ask(...through(`/debian/current/${path}`), {
          headers: { 'User-Agent': client },
          from: `127.0.0.1${client}`,
        });
      for (const generation of GENERATIONS) {
        await publish(mirror, generation);
        // Who has begun earlier goes on with what was current then; who begins now gets what is current now.
        for (const client of GENERATIONS.slice(0, GENERATIONS.indexOf(generation) + 1)) {
          expect(shown(await read(client, INDEX))).toBe(`200 generation ${client}`);
          expect(shown(await read(client, PACKAGE))).toBe('200 the same');
        }
      }
    },
  );

  test.skipIf(why(cache) !== '')(
    `a snapshot by its id is kept, and needs the server no second time${why(cache)}`,
    async () => {
      const { mirror, server } = await served(cache);
      const through = await cache.start(mirror, server);
      const [origin, path] = through(`/debian/snapshots/${FIRST}/${cache.kept}`);
      const first = shown(await ask(origin, path));
      expect(first).toMatch(/^200 (generation|the same)/);
      server.kill('SIGKILL');
      await server.result;
      expect(shown(await ask(origin, path))).toBe(first);
    },
  );
});
