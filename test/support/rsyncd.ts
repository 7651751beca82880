import { writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { type Daemon, freePort, startDaemon } from './daemon.ts';
import { runsAsRoot } from './privilege.ts';
import { makeScratch } from './scratch.ts';

/** One `[module]` of the daemon's configuration (rsyncd.conf(5)). */
export interface RsyncModule {
  readonly name: string;
  /** The served directory. */
  readonly path: string;
  readonly maxConnections?: number;
  /** The only user that is admitted. */
  readonly auth?: { readonly user: string; readonly password: string };
  /** Additional lines, such as `exclude = secret`. */
  readonly more?: readonly string[];
}

/** A real rsync daemon on loopback. */
export interface RsyncDaemon extends Daemon {
  readonly port: number;
  /** Returns `rsync://127.0.0.1:PORT/MODULE`. */
  url(module: string): string;
  /** The path of the daemon's log. */
  readonly log: string;
  /** Occupies one connection of a module, like a client that hangs, until it is released. */
  occupy(module: string): Promise<{ release(): void }>;
}

/** Starts the daemon on a free or a given port, and waits until it accepts connections. */
export async function startRsyncDaemon(
  modules: readonly RsyncModule[],
  givenPort?: number,
): Promise<RsyncDaemon> {
  const scratch = makeScratch();
  const log = join(scratch.path, 'rsyncd.log');
  const port = givenPort ?? (await freePort());
  const configuration = join(scratch.path, 'rsyncd.conf');
  writeFileSync(log, '');
  writeFileSync(configuration, configure(scratch.path, log, modules));
  const daemon = await startDaemon(
    'rsync',
    [
      '--daemon',
      '--no-detach',
      '--address=127.0.0.1',
      `--port=${port}`,
      `--config=${configuration}`,
    ],
    port,
  );
  return {
    ...daemon,
    port,
    log,
    url: (module) => `rsync://127.0.0.1:${port}/${module}`,
    occupy: (module) => occupy(port, module),
    stop: async () => {
      await daemon.stop();
      await scratch.remove();
    },
  };
}

function configure(directory: string, log: string, modules: readonly RsyncModule[]): string {
  return [
    'use chroot = no',
    'munge symlinks = no',
    'numeric ids = yes',
    `log file = ${log}`,
    ...(runsAsRoot ? ['uid = root', 'gid = root'] : []),
    ...modules.flatMap((module, index) => [
      `[${module.name}]`,
      `path = ${module.path}`,
      'read only = yes',
      // Connections are counted per lock file, not per module.
      `lock file = ${join(directory, `${index}.lock`)}`,
      ...(module.maxConnections === undefined
        ? []
        : [`max connections = ${module.maxConnections}`]),
      ...(module.auth === undefined ? [] : authorize(directory, index, module.auth)),
      ...(module.more ?? []),
    ]),
    '',
  ].join('\n');
}

function authorize(
  directory: string,
  index: number,
  auth: { readonly user: string; readonly password: string },
): string[] {
  const secrets = join(directory, `${index}.secrets`);
  writeFileSync(secrets, `${auth.user}:${auth.password}\n`, { mode: 0o600 });
  return [`auth users = ${auth.user}`, `secrets file = ${secrets}`];
}

/** Speaks the protocol up to the module's name, from where on the connection counts. */
async function occupy(port: number, module: string): Promise<{ release(): void }> {
  const socket = connect({ host: '127.0.0.1', port });
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject);
    let heard = '';
    let asked = false;
    socket.on('data', (data) => {
      heard += data.toString('latin1');
      if (heard.includes('@ERROR')) reject(new Error(heard));
      if (heard.includes('@RSYNCD: OK')) resolve();
      if (!asked && heard.includes('\n')) {
        asked = true;
        ask(socket, module);
      }
    });
  });
  return { release: () => socket.destroy() };
}

function ask(socket: Socket, module: string): void {
  socket.write(`@RSYNCD: 31.0\n${module}\n`);
}
