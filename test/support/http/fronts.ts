import { chmodSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '../daemon.ts';
import { runsAsRoot } from '../privilege.ts';
import { runProgram, transcript } from '../program.ts';
import { startApache } from './apache.ts';
import { type AskOptions, ask, type Reply } from './ask.ts';
import { startNginx } from './nginx.ts';
import { type ServeProcess, startServe } from './serve.ts';
import type { WebServer } from './web-server.ts';

/** A web server with the printed configuration, in front of a `mirrorlatch serve`. */
export interface Front {
  readonly web: WebServer;
  readonly server: ServeProcess;
  /** Starts another server in the place of one that has ended. */
  again(): Promise<ServeProcess>;
  stop(): Promise<void>;
}

/** A kind of web server that mirrorlatch prints a configuration for. */
export interface FrontKind {
  readonly name: string;
  readonly programs: readonly string[];
  /**
   * @param mirrors `ROOT[=/PREFIX/]`, and options of `serve`.
   * @param directory an empty one for all files.
   * @param adapted changes what was printed, as an admin does.
   */
  start(
    mirrors: readonly string[],
    directory: string,
    adapted?: (printed: string) => string,
  ): Promise<Front>;
}

export const nginxInFront: FrontKind = {
  name: 'nginx',
  programs: ['nginx'],
  start: (mirrors, directory, adapted) =>
    startFront(mirrors, directory, '--nginx-config', adapted, (printed, at) =>
      startNginx({
        directory: at,
        http: (port) =>
          printed
            .replace('listen 80;', `listen 127.0.0.1:${port};`)
            .replace(/^ +listen \[::\]:80;\n/m, '')
            .replace('/run/nginx-mirrorlatch', join(at, 'decisions')),
      }),
    ),
};

export const apacheInFront: FrontKind = {
  name: 'Apache',
  programs: ['apache2'],
  start: (mirrors, directory, adapted) =>
    startFront(mirrors, directory, '--apache-config', adapted, async (printed, at) => {
      const port = await freePort();
      return await startApache({
        directory: at,
        port,
        modules: ['env', 'headers', 'proxy', 'proxy_http', 'remoteip', 'rewrite'],
        directives: () =>
          printed
            .replace('*:80', `127.0.0.1:${port}`)
            .replace(' www-data:www-data', runsAsRoot ? ' nobody:nogroup' : ''),
      });
    }),
};

/** Reads as a client, which is a User-Agent. */
export const readerOf =
  ({ web }: Front, agent: string) =>
  (path: string, { headers = {}, ...options }: AskOptions = {}): Promise<Reply> =>
    ask(web.origin, path, { ...options, headers: { 'User-Agent': agent, ...headers } });

/** Status and text. */
export const shown = ({ status, text }: Reply): string => `${status} ${text.trim()}`;

/** The snapshot that an answer came from. */
export const snapshotOf = ({ headers }: Reply): unknown => headers['x-mirrorlatch-snapshot'];

async function startFront(
  mirrors: readonly string[],
  directory: string,
  flag: string,
  adapted: (printed: string) => string = (printed) => printed,
  start: (printed: string, directory: string) => Promise<WebServer>,
): Promise<Front> {
  mkdirSync(directory, { recursive: true });
  chmodSync(directory, 0o755);
  const words = [...mirrors, '--listen', `unix:${join(directory, 'socket')}`];
  const printed = await runProgram(['serve', ...words, flag]);
  if (printed.exitCode !== 0) throw new Error(transcript(printed));
  const server = await startServe(words);
  const web = await start(adapted(printed.stdout), join(directory, 'web'));
  const servers = [server];
  return {
    web,
    server,
    again: async () => {
      const another = await startServe(words);
      servers.push(another);
      return another;
    },
    stop: async () => {
      await web.stop();
      await Promise.all(servers.map((each) => each.stop()));
    },
  };
}
