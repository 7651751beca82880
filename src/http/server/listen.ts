import { statSync, unlinkSync } from 'node:fs';
import type { Server } from 'node:http';
import { type AddressInfo, connect, isIP } from 'node:net';
import { dirname } from 'node:path';
import { errnoOf, MirrorlatchError } from '../../errors.ts';
import { ifThere, lstatIfThere } from '../../system/files.ts';
import { userName } from '../../system/proc.ts';
import { quoteForSh } from '../../system/quote.ts';

/** Where the server listens. */
export type Endpoint =
  | { kind: 'tcp'; host: string; port: number }
  | { kind: 'unix'; path: string }
  /** A socket that the caller has opened and bound: systemd.socket(5). */
  | { kind: 'inherited'; descriptor: number };

/**
 * Reads `ADDRESS:PORT`, `[ADDRESS]:PORT`, `localhost:PORT` or `unix:PATH`. Port 0 means any free one.
 *
 * @throws MirrorlatchError USAGE
 */
export function parseEndpoint(text: string): Endpoint {
  if (/^unix:./.test(text)) return { kind: 'unix', path: text.slice('unix:'.length) };
  const [, bracketed, plain, digits] = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text) ?? [];
  const host = plain === 'localhost' ? '127.0.0.1' : (bracketed ?? plain ?? '');
  const port = Number(digits);
  if (isIP(host) !== 0 && port <= 65_535) return { kind: 'tcp', host, port };
  throw new MirrorlatchError('USAGE', `cannot listen on ${JSON.stringify(text)}`, {
    hint: 'Give an address and a port, such as 127.0.0.1:8080, 0.0.0.0:80 or [::]:80, or a socket such as unix:/run/mirrorlatch.sock.',
  });
}

const FIRST_INHERITED = 3;

/** The sockets that systemd has opened for this process: sd_listen_fds(3). */
export function inheritedEndpoints(env: NodeJS.ProcessEnv, pid: number): Endpoint[] {
  const count = env['LISTEN_PID'] === String(pid) ? Number(env['LISTEN_FDS']) : 0;
  return Array.from({ length: Number.isInteger(count) ? count : 0 }, (_, index) => ({
    kind: 'inherited',
    descriptor: FIRST_INHERITED + index,
  }));
}

/** The bytes of a path in sun_path, unix(7). */
const LONGEST_SOCKET = 107;

/** How many connections may wait to be accepted. */
const BACKLOG = 4096;

/**
 * Makes a server listen.
 *
 * @param onWarning told of connections that cannot be accepted later; the server goes on with the others.
 * @returns a URL for people, without a path; or `unix:PATH`.
 * @throws MirrorlatchError BUSY when another program listens there; USAGE for a path where no socket can be;
 *   PERMISSION; UNAVAILABLE.
 */
export async function listen(
  server: Server,
  endpoint: Endpoint,
  onWarning: (message: string) => void,
): Promise<string> {
  try {
    if (endpoint.kind === 'unix') await makeRoomForSocket(endpoint.path);
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(optionsOf(endpoint), resolve);
    });
  } catch (error) {
    throw error instanceof MirrorlatchError ? error : listenError(endpoint, error);
  }
  const bound = server.address();
  const address = typeof bound === 'string' ? `unix:${bound}` : urlOf(bound);
  server.removeAllListeners('error').on('error', (error) => {
    onWarning(`a connection to ${address} cannot be accepted: ${error.message}`);
  });
  return address;
}

/** Whether a server's clients come by a unix socket. */
export function isUnixServer(server: Server): boolean {
  return typeof server.address() === 'string';
}

function optionsOf(endpoint: Endpoint) {
  switch (endpoint.kind) {
    case 'tcp':
      return { host: endpoint.host, port: endpoint.port, backlog: BACKLOG };
    case 'unix':
      // A web server in front runs as a user of its own.
      return { path: endpoint.path, backlog: BACKLOG, readableAll: true, writableAll: true };
    case 'inherited':
      return { fd: endpoint.descriptor };
  }
}

function urlOf(address: AddressInfo | null): string {
  if (address === null) return 'http://?';
  const host = address.family === 'IPv6' ? `[${address.address}]` : address.address;
  return `http://${host}:${address.port}`;
}

/** Removes the socket of a server that was killed. One at which a program listens is left alone. */
async function makeRoomForSocket(path: string): Promise<void> {
  const bytes = Buffer.byteLength(path);
  if (bytes > LONGEST_SOCKET) {
    throw new MirrorlatchError('USAGE', `the path of the socket has ${bytes} bytes: ${path}`, {
      hint: `The kernel takes ${LONGEST_SOCKET} at most.`,
    });
  }
  const directory = dirname(path);
  if (ifThere(() => statSync(directory))?.isDirectory() !== true) {
    throw new MirrorlatchError('USAGE', `there is no directory ${directory} for the socket`, {
      hint: `Make it first: mkdir -p ${quoteForSh(directory)}. In a unit of systemd, RuntimeDirectory= makes one below /run.`,
    });
  }
  const found = lstatIfThere(path);
  if (found === undefined) return;
  if (!found.isSocket()) {
    throw new MirrorlatchError('USAGE', `${path} is there already, and is no socket`, {
      hint: 'Name another path for the socket, or remove that.',
    });
  }
  const isDead = await new Promise<boolean>((resolve) => {
    const probe = connect(path, () => {
      probe.destroy();
      resolve(false);
    });
    probe.once('error', (error) => resolve(errnoOf(error) === 'ECONNREFUSED'));
  });
  if (isDead) removeSocket(path, Number(found.uid));
}

/** In a directory such as /tmp, only the socket's owner may: chmod(1), restricted deletion flag. @param uid of that owner. */
function removeSocket(path: string, uid: number): void {
  try {
    unlinkSync(path);
  } catch (cause) {
    if (errnoOf(cause) !== 'EPERM') throw cause;
    throw new MirrorlatchError(
      'PERMISSION',
      `this user may not replace ${path}, which a server has left that ran as ${userName(uid)}`,
      { hint: `Remove it as that user or as root: rm ${quoteForSh(path)}`, cause },
    );
  }
}

function listenError(endpoint: Endpoint, cause: unknown): MirrorlatchError {
  const where = nameOf(endpoint);
  switch (errnoOf(cause)) {
    case 'EADDRINUSE':
      return new MirrorlatchError('BUSY', `another program listens on ${where}`, {
        hint: `See which: ss -lnp${endpoint.kind === 'unix' ? 'x' : 't'}`,
        cause,
      });
    case 'EACCES':
    case 'EPERM':
      return new MirrorlatchError('PERMISSION', `this user may not listen on ${where}`, {
        hint:
          endpoint.kind === 'unix'
            ? `The directory ${dirname(endpoint.path)} has to be writable for this user.`
            : 'Ports below 1024 need root: start it as root, and it goes on as another user (--user).',
        cause,
      });
    case 'EADDRNOTAVAIL':
      return new MirrorlatchError('UNAVAILABLE', `${where} is no address of this host`, {
        hint: 'See which it has: ip -brief address. 0.0.0.0 and [::] mean all of them.',
        cause,
      });
    default:
      return new MirrorlatchError('UNAVAILABLE', `cannot listen on ${where}: ${String(cause)}`, {
        cause,
      });
  }
}

function nameOf(endpoint: Endpoint): string {
  switch (endpoint.kind) {
    case 'tcp':
      return `${endpoint.host} port ${endpoint.port}`;
    case 'unix':
      return endpoint.path;
    case 'inherited':
      return `the socket with descriptor ${endpoint.descriptor}`;
  }
}
