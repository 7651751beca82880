import { randomUUID } from 'node:crypto';
import { checkProgram, runInForeground } from '../../system/foreground.ts';
import type { JobEnd } from '../../system/job.ts';
import { environmentFor } from './client-environment.ts';
import { readClientSettings, withClientsProxies } from './client-settings.ts';
import { guardClients, removeFiles } from './guarded-clients.ts';
import type { MirrorUrl } from './mirror-url.ts';
import { Outgoing } from './outgoing.ts';
import { type KeptPin, pinByUrl } from './pin-client.ts';
import type { LoopbackProxy } from './proxy.ts';
import { handOver, isStillUsed, proxyOf } from './succession.ts';
import { proxiesOf } from './upstream-proxy.ts';

interface MirrorToPin {
  readonly mirror: MirrorUrl;
  /** Another snapshot than the current one: an id, or `previous`. */
  readonly snapshot?: string | undefined;
}

export interface RunByUrlOptions {
  /** The mirrors to pin. None: the command runs unguarded. */
  readonly mirrors: readonly MirrorToPin[];
  /** Pin the current snapshot if another one is gone. */
  readonly orCurrent?: boolean | undefined;
  /** The program and its arguments, byte for byte. */
  readonly command: readonly Buffer[];
  /** The words of another guard, which come before the command. */
  readonly around: readonly string[];
  /** Accept that nothing names a mirror with https:. */
  readonly allowUnseen: boolean;
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
  const { env, onPin } = options;
  const around = options.around.map((word) => Buffer.from(word));
  checkProgram([...around, ...options.command][0] ?? Buffer.alloc(0));
  if (options.mirrors.length === 0) {
    const end = await runInForeground([...around, ...options.command], { ...alone, env: {} });
    return { end, unseen: [] };
  }
  const settings = await readClientSettings(options.command, env);
  const proxies = withClientsProxies(proxiesOf(env), settings);
  const outgoing = new Outgoing(proxies);
  const pins: KeptPin[] = [];
  const seen = new Set<KeptPin>();
  let proxy: LoopbackProxy | undefined;
  let files: string | undefined;
  let isKept = false;
  try {
    for (const { mirror, snapshot } of options.mirrors) {
      const pin = await pinByUrl(mirror, { ...options, outgoing, snapshot });
      pins.push(pin);
      onPin(pin);
    }
    proxy = proxyOf(pins, outgoing, (pin) => seen.add(pin));
    await proxy.listen();
    const clients = await guardClients(options.command, settings, pins, proxy.url, options);
    files = clients.directory;
    const guard = randomUUID();
    const end = await runInForeground([...around, ...clients.command], {
      ...alone,
      env: { ...environmentFor(guard, proxy.url, pins, proxies), ...clients.env },
    });
    if (!options.releaseOnExit && (await isStillUsed(guard))) {
      await handOver(proxy, { guard, pins, proxies, files }, options.heir);
      isKept = true;
    }
    const unseen = pins.filter((pin) => !seen.has(pin) && pin.mirror.base.protocol === 'http:');
    return { end, unseen: unseen.map(({ mirror }) => mirror.given) };
  } finally {
    proxy?.close();
    if (!isKept) {
      removeFiles(files);
      await Promise.all(pins.map((pin) => pin.release()));
    }
    await outgoing.close();
  }
}

/** Nothing of ours ends the command. */
const alone = { inherit: [], signal: new AbortController().signal, family: () => [] };
