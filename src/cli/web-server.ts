import { resolve } from 'node:path';
import { MirrorlatchError } from '../errors.ts';
import { apacheConfig } from '../http/front/apache-config.ts';
import { answerApache } from '../http/front/apache-map.ts';
import type { Front } from '../http/front/front.ts';
import { frontedMirrors } from '../http/front/fronted-mirrors.ts';
import { nginxConfig } from '../http/front/nginx-config.ts';
import type { ServedRoot } from '../http/pins/served-mirror.ts';
import { parseEndpoint } from '../http/server/listen.ts';
import { DEFAULT_DECISIONS } from '../http/server/serve.ts';
import { servedWord } from '../http/server/served-places.ts';
import { programPath } from '../reader/script.ts';
import { quoteForSh } from '../system/quote.ts';
import { printCode } from './output.ts';
import { wholeSeconds } from './values.ts';

interface Flags {
  frontQuiet?: number;
  frontKeep?: number;
  nginxConfig?: boolean;
  apacheConfig?: boolean;
}

/**
 * What `serve` does for a web server in front of it: prints a configuration, or is the program that Apache starts.
 *
 * @param listens where the server listens; the first is meant.
 * @throws MirrorlatchError USAGE, or as `frontedMirrors`.
 */
export async function printForWebServer(
  flags: Flags,
  roots: readonly ServedRoot[],
  [listen = '']: readonly string[],
): Promise<void> {
  const { frontQuiet: quietMs = DEFAULT_DECISIONS.quietMs } = flags;
  const { frontKeep: keepMs = DEFAULT_DECISIONS.keepMs } = flags;
  const address = addressOf(listen);
  if (!flags.nginxConfig && !flags.apacheConfig) {
    await answerApache(address, quietMs, process.stdin, process.stdout);
    return;
  }
  const front: Front = {
    mirrors: frontedMirrors(roots),
    listen: address,
    keepSeconds: Math.floor(keepMs / 1000),
    quietSeconds: wholeSeconds(quietMs),
  };
  printCode(flags.nginxConfig ? nginxConfig(front) : apacheConfig(front, apacheMap(front)));
}

/** Absolute, since the web server has another working directory. */
function addressOf(listen: string): string {
  const endpoint = parseEndpoint(listen);
  if (endpoint.kind === 'unix') return `unix:${resolve(endpoint.path)}`;
  if (endpoint.kind === 'tcp' && endpoint.port !== 0) return listen;
  throw new MirrorlatchError('USAGE', `a web server cannot find ${listen}`, {
    hint: 'Name the port, or a socket such as unix:/run/mirrorlatch.sock.',
  });
}

function apacheMap({ mirrors, listen, quietSeconds }: Front): string {
  const roots = mirrors.map(servedWord);
  const options = ['--listen', listen, '--front-quiet', `${quietSeconds}s`, '--apache-map'];
  const words = [programPath, 'serve', ...roots, ...options];
  return words.map(quoteForSh).join(' ');
}
