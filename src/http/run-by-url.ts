import { checkProgram, runInForeground } from '../system/foreground.ts';
import type { JobEnd } from '../system/job.ts';
import { environmentFor } from './client-environment.ts';
import { parseMirrorUrl } from './mirror-url.ts';
import { Outgoing } from './outgoing.ts';
import { type KeptPin, pinByUrl } from './pin-client.ts';
import type { LoopbackProxy } from './proxy.ts';
import { handOver, proxyOf, usersOf } from './succession.ts';
import { proxiesOf } from './upstream-proxy.ts';

export interface RunByUrlOptions {
  /** The URLs of the mirrors to pin. */
  readonly urls: readonly string[];
  /** The program and its arguments, byte for byte. */
  readonly command: readonly Buffer[];
  /** Another snapshot than the current one: an id, or `previous`. */
  readonly snapshot?: string | undefined;
  /** How long to wait while there is nothing to read, in ms. Default: without limit. */
  readonly waitMs?: number | undefined;
  /** How long a server holds the snapshot if this process is killed, in s. Default: as the server has it. */
  readonly pinSeconds?: number | undefined;
  readonly releaseOnExit?: boolean | undefined;
  /** The words that start this program as the heir of its proxy. */
  readonly heir: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly onWarning: (message: string) => void;
  /** Gets what is pinned, and how. */
  readonly onPin: (pin: KeptPin) => void;
}

export interface RunByUrlResult {
  readonly end: JobEnd;
  /** Those of the URLs below which nothing was requested. */
  readonly unseen: readonly string[];
}

/**
 * Runs a command whose requests to mirrors lead into one snapshot of each: a proxy on a loopback address sends them
 * there, for as long as the command and what it has started use it.
 *
 * @throws MirrorlatchError USAGE, NO_MIRROR, UNAVAILABLE, BUSY, COMMAND_NOT_FOUND or COMMAND_NOT_EXECUTABLE.
 */
export async function runByUrl(options: RunByUrlOptions): Promise<RunByUrlResult> {
  const { command, env, onPin } = options;
  const mirrors = options.urls.map(parseMirrorUrl);
  checkProgram(command[0] ?? Buffer.alloc(0));
  const proxies = proxiesOf(env);
  const outgoing = new Outgoing(proxies);
  const pins: KeptPin[] = [];
  const seen = new Set<KeptPin>();
  let proxy: LoopbackProxy | undefined;
  let isKept = false;
  try {
    for (const mirror of mirrors) {
      const pin = await pinByUrl(mirror, { ...options, outgoing });
      pins.push(pin);
      onPin(pin);
    }
    proxy = proxyOf(pins, outgoing, (pin) => seen.add(pin));
    await proxy.listen();
    const end = await runInForeground(command, {
      inherit: [],
      env: environmentFor(proxy.url, pins, proxies),
      signal: new AbortController().signal,
      family: () => [],
    });
    if (!options.releaseOnExit && (await usersOf(proxy.url)).length > 0) {
      await handOver(proxy, pins, proxies, options.heir);
      isKept = true;
    }
    const unseen = pins.filter((pin) => !seen.has(pin)).map(({ mirror }) => mirror.given);
    return { end, unseen };
  } finally {
    proxy?.close();
    if (!isKept) await Promise.all(pins.map((pin) => pin.release()));
    await outgoing.close();
  }
}
