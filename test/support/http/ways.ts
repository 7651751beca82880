import { join } from 'node:path';
import type { Access } from '../repositories/access.ts';
import type { RepositoryMirror } from '../repositories/mirror.ts';
import { mirrorPath } from '../repositories/npm-registry.ts';
import { bareMirror as bareApache, startApache } from './apache.ts';
import { bareMirror as bareNginx, startNginx } from './nginx.ts';
import { startSquid } from './squid.ts';

/** A mirror that can be reached over HTTP until it is stopped. */
interface ServedMirror {
  readonly access: Access;
  /** The ends of all logs, for the message of a failing test. */
  logs(): string;
  stop(): Promise<void>;
}

/** A way by which clients reach a mirror over HTTP. */
export interface Way {
  readonly name: string;
  /** The programs that it needs. */
  readonly programs: readonly string[];
  /** Starts the servers. @param directory an empty one for their files. */
  start(mirror: RepositoryMirror, directory: string): Promise<ServedMirror>;
}

const bare = (command: readonly string[]) => command;

/** nginx over ROOT, as admins have it without mirrorlatch. */
export const nginxAlone: Way = {
  name: 'nginx alone',
  programs: ['nginx'],
  async start({ root }, directory) {
    const server = await startNginx({ directory, http: bareNginx(root) });
    const url = `${server.origin}${mirrorPath}`;
    return { ...server, access: { name: 'nginx alone', url, around: bare } };
  },
};

/** Apache over ROOT, as admins have it without mirrorlatch. */
export const apacheAlone: Way = {
  name: 'Apache alone',
  programs: ['apache2'],
  async start({ root }, directory) {
    const server = await startApache({ directory, directives: () => bareApache(root) });
    const url = `${server.origin}${mirrorPath}`;
    return { ...server, access: { name: 'Apache alone', url, around: bare } };
  },
};

/** The same way with a cache between, which clients name as their proxy. */
export function throughSquid(way: Way): Way {
  return {
    name: `${way.name}, through squid`,
    programs: [...way.programs, 'squid'],
    async start(mirror, directory) {
      const squid = await startSquid(join(directory, 'squid'));
      const served = await way.start(mirror, join(directory, 'server'));
      const environment = { ...served.access.environment, http_proxy: squid.origin };
      return {
        access: { ...served.access, environment },
        logs: () => `${served.logs()}\n${squid.logs()}`,
        stop: async () => {
          await served.stop();
          await squid.stop();
        },
      };
    },
  };
}
