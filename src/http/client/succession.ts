import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Server } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { MirrorlatchError } from '../../errors.ts';
import { processesWithVariables } from '../../system/proc.ts';
import { GUARD_VARIABLE } from './client-environment.ts';
import { removeFiles } from './guarded-clients.ts';
import { type KeptPin, keepPin } from './kept-pin.ts';
import { isPlain, type MirrorUrl, placesOf } from './mirror-url.ts';
import { Outgoing } from './outgoing.ts';
import type { PinState } from './pin-state.ts';
import { LoopbackProxy, type Routes } from './proxy.ts';
import type { UpstreamProxies } from './upstream-proxy.ts';

/** What another process needs to go on as the proxy. */
interface Estate {
  /** The mark of the guard's processes. */
  readonly guard: string;
  readonly pins: readonly PinState[];
  readonly proxies: UpstreamProxies;
  /** The directory of what the clients were given. */
  readonly files?: string;
}

/** How often the heir looks whether anything still uses the proxy, in ms. */
const LOOK_MS = 1_000;

/** What has just been ended by the command may need a moment to end. */
const PATIENCE_MS = 100;

/**
 * Builds the proxy for mirrors.
 *
 * @param pin called at the first request to one of their servers.
 */
export function proxyFor(
  mirrors: readonly MirrorUrl[],
  outgoing: Outgoing,
  pin: () => Promise<readonly KeptPin[]>,
  onRequest: (pin: KeptPin) => void = () => {},
): LoopbackProxy {
  return new LoopbackProxy({
    outgoing,
    servers: mirrors.filter(isPlain).map(({ base }) => base),
    findRoutes: async () => routesInto(await pin(), onRequest),
  });
}

/** What is asked of the mirrors themselves stays within the pins, for a guard inside this one. */
function routesInto(pins: readonly KeptPin[], onRequest: (pin: KeptPin) => void): Routes {
  const plain = pins.filter(({ mirror }) => isPlain(mirror));
  return {
    redirections: plain.flatMap((pin) =>
      placesOf(pin.mirror).map((from) => ({
        from,
        get to() {
          return pin.target;
        },
        onRequest: () => onRequest(pin),
      })),
    ),
    ownFiles: plain.flatMap(({ mirror: { base, channel }, id }) =>
      ['current', ...(channel === undefined ? [] : [channel])].map((name) => ({
        url: new URL(`${name}.json`, base),
        json: { format: 1, id, path: `${name}/`, previous: null },
      })),
    ),
    hidden: plain.map(({ mirror }) => new URL('pins', mirror.base)),
  };
}

/** Whether processes that were started by this guard are still there once it has ended. */
export async function isStillUsed(guard: string): Promise<boolean> {
  if (!isUsed(guard)) return false;
  await pause(PATIENCE_MS);
  return isUsed(guard);
}

function isUsed(guard: string): boolean {
  return processesWithVariables({ [GUARD_VARIABLE]: guard }).length > 0;
}

interface Legacy {
  readonly guard: string;
  readonly pins: readonly KeptPin[];
  readonly proxies: UpstreamProxies;
  readonly files: string | undefined;
}

/**
 * Lets another process be the proxy, so that this one can end with the command. Connections in use stay here until they
 * end, for some seconds at most.
 *
 * @param program the words that start this program as the heir.
 * @throws MirrorlatchError UNAVAILABLE if the heir does not start.
 */
export async function handOver(
  proxy: LoopbackProxy,
  { guard, pins, proxies, files }: Legacy,
  [file = '', ...words]: readonly string[],
): Promise<void> {
  const heir = spawn(file, words, {
    detached: true,
    cwd: '/',
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  });
  const estate: Estate = {
    guard,
    pins: pins.map(({ state }) => state),
    proxies,
    ...(files === undefined ? {} : { files }),
  };
  heir.once('spawn', () => heir.send(estate, proxy.listener));
  await taken(heir);
  for (const pin of pins) pin.abandon();
  heir.disconnect();
  heir.unref();
  await proxy.drain();
}

async function taken(heir: ChildProcess): Promise<void> {
  const failed = new Promise<never>((_, reject) => {
    const refuse = () =>
      reject(new MirrorlatchError('UNAVAILABLE', 'no process takes the proxy over'));
    heir.once('error', refuse).once('exit', refuse);
  });
  await Promise.race([once(heir, 'message'), failed]);
  heir.removeAllListeners();
}

/** The other process: it goes on as the proxy until nothing uses it any more. */
export async function inherit(): Promise<void> {
  const [estate, listener] = (await once(process, 'message')) as [Estate, Server];
  const outgoing = new Outgoing(estate.proxies);
  const pins = estate.pins.map((state) => keepPin(state, { outgoing, onWarning: () => {} }));
  const mirrors = pins.map(({ mirror }) => mirror);
  const proxy = proxyFor(mirrors, outgoing, () => Promise.resolve(pins));
  await proxy.listen(listener);
  process.send?.('taken');
  while (isUsed(estate.guard)) await pause(LOOK_MS);
  proxy.close();
  removeFiles(estate.files);
  await Promise.all(pins.map((pin) => pin.release()));
  await outgoing.close();
}
