import { randomUUID } from 'node:crypto';
import { checkProgram, runInForeground } from '../../system/foreground.ts';
import type { JobEnd } from '../../system/job.ts';
import { environmentFor } from './client-environment.ts';
import { isConfiguredFor, readClientSettings, withClientsProxies } from './client-settings.ts';
import { guardClients, removeFiles } from './guarded-clients.ts';
import type { KeptPin } from './kept-pin.ts';
import { isPlain, type MirrorUrl, placeOf, placesOf } from './mirror-url.ts';
import { Outgoing } from './outgoing.ts';
import { type PinOptions, pinByUrl } from './pin-client.ts';
import type { LoopbackProxy } from './proxy.ts';
import { handOver, isStillUsed, proxyFor } from './succession.ts';
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
  /**
   * The command works with what is on this host, see `Preset`. It starts without pins: they are made at the first request to a
   * mirror's server, which is refused if that fails. And nothing has to name a mirror with https:.
   */
  readonly isLocal?: boolean | undefined;
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

export interface UnseenUrl {
  readonly url: string;
  /** The client would read the mirror at this URL, see `isConfiguredFor`. */
  readonly isNamed: boolean;
}

export interface RunByUrlResult {
  readonly end: JobEnd;
  /** Those of the URLs below which nothing was requested. */
  readonly unseen: readonly UnseenUrl[];
}

/**
 * Runs a command whose requests to mirrors lead into one snapshot of each: a proxy on a loopback address sends them
 * there, for as long as the command and what it has started use it.
 *
 * @throws MirrorlatchError USAGE, NO_MIRROR, UNAVAILABLE, BUSY, COMMAND_NOT_FOUND or COMMAND_NOT_EXECUTABLE.
 */
export async function runByUrl(options: RunByUrlOptions): Promise<RunByUrlResult> {
  const { env } = options;
  const around = options.around.map((word) => Buffer.from(word));
  checkProgram([...around, ...options.command][0] ?? Buffer.alloc(0));
  if (options.mirrors.length === 0) {
    const end = await runInForeground([...around, ...options.command], { ...alone, env: {} });
    return { end, unseen: [] };
  }
  const settings = await readClientSettings(options.command, env);
  const proxies = withClientsProxies(proxiesOf(env), settings);
  const outgoing = new Outgoing(proxies);
  const mirrors = options.mirrors.map(({ mirror }) => mirror);
  // Where a mirror with https: is pinned has to be known when the command starts.
  const isLate = options.isLocal === true && mirrors.every(isPlain);
  const pins = new Pins({ ...options, outgoing, isLate });
  const seen = new Set<string>();
  let proxy: LoopbackProxy | undefined;
  let files: string | undefined;
  let isKept = false;
  try {
    const targets = isLate
      ? mirrors.map((mirror) => ({ mirror, target: placeOf(mirror) }))
      : await pins.all();
    proxy = proxyFor(
      mirrors,
      outgoing,
      () => pins.all(),
      ({ mirror }) => seen.add(mirror.given),
    );
    await proxy.listen();
    const clients = await guardClients(options.command, settings, targets, proxy.url, {
      env,
      allowUnseen: options.allowUnseen || options.isLocal === true,
    });
    files = clients.directory;
    const guard = randomUUID();
    const end = await runInForeground([...around, ...clients.command], {
      ...alone,
      env: { ...environmentFor(guard, proxy.url, targets, proxies), ...clients.env },
    });
    if (!options.releaseOnExit && (await isStillUsed(guard))) {
      await handOver(proxy, { guard, pins: await pins.all(), proxies, files }, options.heir);
      isKept = true;
    }
    const unseen = targets.filter(({ mirror }) => isPlain(mirror) && !seen.has(mirror.given));
    return {
      end,
      unseen: unseen.map(({ mirror }) => ({
        url: mirror.given,
        isNamed: isConfiguredFor(placesOf(mirror), settings, env),
      })),
    };
  } finally {
    proxy?.close();
    if (!isKept) {
      removeFiles(files);
      await pins.release();
    }
    await outgoing.close();
  }
}

interface PinsOptions
  extends Pick<RunByUrlOptions, 'mirrors' | 'orCurrent' | 'waitMs' | 'pinSeconds' | 'onPin'>,
    Pick<PinOptions, 'outgoing' | 'onWarning'> {
  /** The command is there already, and does not say why its requests are refused. */
  readonly isLate: boolean;
}

/** The pins of all mirrors, made when they are first asked for. */
class Pins {
  readonly #options: PinsOptions;
  readonly #made: KeptPin[] = [];
  readonly #released = new AbortController();
  #all: Promise<readonly KeptPin[]> | undefined;

  constructor(options: PinsOptions) {
    this.#options = options;
  }

  /** @throws MirrorlatchError as `pinByUrl`, each time. */
  all(): Promise<readonly KeptPin[]> {
    this.#all ??= this.#make();
    return this.#all;
  }

  async release(): Promise<void> {
    this.#released.abort();
    await Promise.all(this.#made.map((pin) => pin.release()));
  }

  async #make(): Promise<readonly KeptPin[]> {
    const { mirrors, isLate, onPin, onWarning } = this.#options;
    const { signal } = this.#released;
    try {
      for (const { mirror, snapshot } of mirrors) {
        const pin = await pinByUrl(mirror, { ...this.#options, snapshot, signal });
        this.#made.push(pin);
        onPin(pin);
      }
    } catch (error) {
      if (isLate && !signal.aborted) onWarning((error as Error).message);
      throw error;
    }
    return this.#made;
  }
}

/** Nothing of ours ends the command. */
const alone = { inherit: [], signal: new AbortController().signal, family: () => [] };
