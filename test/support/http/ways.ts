import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { freePort, startDaemon } from '../daemon.ts';
import type { Access } from '../repositories/access.ts';
import type { RepositoryMirror } from '../repositories/mirror.ts';
import { mirrorPath } from '../repositories/npm-registry.ts';
import { CHANNEL } from '../repositories/promotions.ts';
import { bareMirror as bareApache, startApache } from './apache.ts';
import { startAptCacherNg } from './apt-cacher-ng.ts';
import { apacheInFront, type FrontKind, nginxInFront } from './fronts.ts';
import { Neighbours, type Question } from './neighbours.ts';
import { bareMirror as bareNginx, startNginx } from './nginx.ts';
import { hostBehindSquid, startSquid } from './squid.ts';
import { endsOfFiles, type WebServer } from './web-server.ts';

/** A mirror that can be reached over HTTP until it is stopped. */
interface ServedMirror {
  readonly access: Access;
  /** `http://ADDRESS:PORT` of what answers. */
  readonly origin: string;
  /** The ends of all logs, for the message of a failing test. */
  logs(): string;
  stop(): Promise<void>;
}

/** A way by which clients reach a mirror over HTTP. */
export interface Way {
  readonly name: string;
  /** The programs that it needs. */
  readonly programs: readonly string[];
  /** After so long a client that begins anew gets the newest snapshot, in ms. */
  readonly restMs: number;
  /** Starts the servers. @param directory for their files, which is made. */
  start(mirror: RepositoryMirror, directory: string): Promise<ServedMirror>;
}

/** Clients that know of nothing. */
function openAccess(origin: string): Access {
  return { url: `${origin}${mirrorPath}`, around: (command) => command };
}

/** nginx over ROOT, as admins have it without mirrorlatch. */
export const nginxAlone: Way = {
  name: 'nginx alone',
  programs: ['nginx'],
  restMs: 0,
  async start({ root }, directory) {
    const server = await startNginx({ directory, http: bareNginx(root) });
    return { ...server, access: openAccess(server.origin) };
  },
};

/** Apache over ROOT, as admins have it without mirrorlatch. */
export const apacheAlone: Way = {
  name: 'Apache alone',
  programs: ['apache2'],
  restMs: 0,
  async start({ root }, directory) {
    const server = await startApache({ directory, directives: () => bareApache(root) });
    return { ...server, access: openAccess(server.origin) };
  },
};

/** A new run begins at an index after this time, in s: longer than a busy client thinks. */
const GAP = 2;

/** `mirrorlatch serve` alone. */
export const serve: Way = servedWith('serve', ['--pin-gap', `${GAP}s`]);

/** By which pins end so soon that `install` comes after the end of the pin of `update`. */
const FORGETFULLY = ['--pin-gap', '500ms', '--pin-quiet', '500ms'];
const forgetful = (name: string) => `${name}, whose pins end in between`;

export const serveForgetfully: Way = servedWith(forgetful('serve'), FORGETFULLY);

function servedWith(name: string, options: readonly string[]): Way {
  return {
    name,
    programs: [],
    restMs: (GAP + 0.5) * 1000,
    async start({ program, root }, directory) {
      mkdirSync(directory, { recursive: true });
      const port = await freePort();
      const origin = `http://127.0.0.1:${port}`;
      const log = join(directory, 'access.log');
      const where = [`--listen=127.0.0.1:${port}`, `--access-log=${log}`];
      const words = ['serve', `${root}=/mirror/`, ...where, ...options];
      const { stop } = await startDaemon(program, words, port);
      const logs = () => endsOfFiles(directory, ['access.log']);
      return { origin, access: openAccess(origin), logs, stop };
    },
  };
}

/** It asks again after this time, in s: in the middle of each run. */
const FRONT_KEEP = 1;

/** A web server with the printed configuration in front of `mirrorlatch serve`. */
function inFront(
  kind: FrontKind,
  name = `${kind.name} in front`,
  options: readonly string[] = ['--front-quiet', `${GAP}s`],
): Way {
  return {
    name,
    programs: kind.programs,
    restMs: (FRONT_KEEP + GAP + 0.5) * 1000,
    async start({ root }, directory) {
      const words = [`${root}=/mirror/`, '--front-keep', `${FRONT_KEEP}s`, ...options];
      const { web, stop } = await kind.start(words, directory);
      return { origin: web.origin, access: openAccess(web.origin), logs: web.logs, stop };
    },
  };
}

export const nginxGuarded: Way = inFront(nginxInFront);
export const apacheGuarded: Way = inFront(apacheInFront);

const forgetfulFronts = [nginxInFront, apacheInFront].map((kind) =>
  inFront(kind, forgetful(`${kind.name} in front`), [...FORGETFULLY, '--front-quiet', '1s']),
);

/** All those whose pins end between update and install. */
export const forgetfulWays: readonly Way[] = [serveForgetfully, ...forgetfulFronts];

/** Clients that read a channel. */
export function ofChannel(way: Way): Way {
  return {
    ...way,
    name: `a channel by ${way.name}`,
    async start(mirror, directory) {
      const served = await way.start(mirror, directory);
      const url = served.access.url.replace(/current$/, CHANNEL);
      return { ...served, access: { ...served.access, url } };
    },
  };
}

/** Each client under `mirrorlatch run --http`. */
export function underRun(way: Way): Way {
  return {
    ...way,
    name: `run --http, ${way.name}`,
    restMs: 0,
    async start(mirror, directory) {
      const served = await way.start(mirror, directory);
      const { url } = served.access;
      const guard = [mirror.program, 'run', '--http', `${url}/`, '--'];
      return { ...served, access: { ...served.access, around: (words) => [...guard, ...words] } };
    },
  };
}

/** The same way while other clients behind the same address ask these questions. */
export function amongNeighbours(way: Way, questions: readonly Question[]): Way {
  return {
    ...way,
    name: `${way.name}, behind one address`,
    async start(mirror, directory) {
      const served = await way.start(mirror, directory);
      const neighbours = new Neighbours(served.origin, questions);
      return {
        ...served,
        stop: async () => {
          await neighbours.stop();
          await served.stop();
        },
      };
    },
  };
}

/** A cache that clients name as their proxy. */
interface CacheBetween {
  readonly name: string;
  readonly program: string;
  /** The name of this host that only the cache knows, if it can know one. */
  readonly host?: string;
  start(directory: string): Promise<WebServer>;
}

const squid: CacheBetween = {
  name: 'squid',
  program: 'squid',
  host: hostBehindSquid,
  start: startSquid,
};

const aptCacherNg: CacheBetween = {
  name: 'apt-cacher-ng',
  program: 'apt-cacher-ng',
  start: startAptCacherNg,
};

/** The same way with a cache between. */
function through({ name, program, host = '127.0.0.1', start }: CacheBetween, way: Way): Way {
  return {
    ...way,
    name: `${way.name}, through ${name}`,
    programs: [...way.programs, program],
    async start(mirror, directory) {
      const served = await way.start(mirror, join(directory, 'server'));
      // Last, because squid becomes another user, and outlives a test that fails in between.
      const cache = await start(join(directory, name));
      const url = served.access.url.replace('127.0.0.1', host);
      const environment = { ...served.access.environment, http_proxy: cache.origin };
      return {
        ...served,
        access: { ...served.access, url, environment },
        logs: () => `${served.logs()}\n${cache.logs()}`,
        stop: async () => {
          await served.stop();
          await cache.stop();
        },
      };
    },
  };
}

export const throughSquid = (way: Way): Way => through(squid, way);
export const throughAptCacherNg = (way: Way): Way => through(aptCacherNg, way);
