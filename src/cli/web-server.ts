import { resolve } from 'node:path';
import { MirrorlatchError } from '../errors.ts';
import { apacheConfig } from '../http/front/apache-config.ts';
import { answerApache } from '../http/front/apache-map.ts';
import { type Front, trustedAddress } from '../http/front/front.ts';
import { frontedMirrors, mirrorsByName } from '../http/front/fronted-mirrors.ts';
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
  trustProxy?: string[];
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
  if (flags.nginxConfig && flags.apacheConfig) {
    throw new MirrorlatchError('USAGE', 'there is one configuration for nginx and one for Apache', {
      hint: 'Print them one after the other: --nginx-config, then --apache-config.',
    });
  }
  const address = addressOf(listen);
  if (!flags.nginxConfig && !flags.apacheConfig) {
    await answerApache(address, quietMs, mirrorsByName(roots), process.stdin, process.stdout);
    return;
  }
  const mirrors = frontedMirrors(roots);
  const front: Front = {
    mirrors,
    listen: address,
    keepSeconds: Math.floor(keepMs / 1000),
    quietSeconds: wholeSeconds(quietMs),
    start: startLine(mirrors.map(servedWord), address, flags),
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

/** With the options on which the configuration depends. */
function startLine(
  roots: readonly string[],
  listen: string,
  { trustProxy, frontQuiet, frontKeep }: Flags,
): string {
  const trusted = trustProxy ?? [trustedAddress(listen) ?? []].flat();
  const words = ['mirrorlatch', 'serve', ...roots, '--listen', listen];
  words.push(...trusted.flatMap((address) => ['--trust-proxy', address]));
  if (frontQuiet !== undefined) words.push('--front-quiet', `${wholeSeconds(frontQuiet)}s`);
  if (frontKeep !== undefined) words.push('--front-keep', `${wholeSeconds(frontKeep)}s`);
  return words.map(quoteForSh).join(' ');
}

function apacheMap({ mirrors, listen, quietSeconds }: Front): string {
  const roots = mirrors.map(servedWord);
  const options = ['--listen', listen, '--front-quiet', `${quietSeconds}s`, '--apache-map'];
  const words = [programPath, 'serve', ...roots, ...options];
  return words.map(quoteForSh).join(' ');
}
