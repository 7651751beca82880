import { type MirrorUrl, placeOf } from './mirror-url.ts';
import type { UpstreamProxies } from './upstream-proxy.ts';

/** Marks the processes that have their environment from one guard. An address comes again, with a guard that gets the same port. */
export const GUARD_VARIABLE = 'MIRRORLATCH_PROXY_ID';

interface Pinned {
  readonly mirror: MirrorUrl;
  /** Of the snapshot; absent if there is no pin yet. */
  readonly id?: string;
  readonly target: URL;
}

/** The variables with which a command asks the proxy for all that it gets by HTTP; undefined ones are taken out. Pure. */
export function environmentFor(
  guard: string,
  proxy: string,
  pins: readonly Pinned[],
  callers: UpstreamProxies,
): Record<string, string | undefined> {
  const environment: Record<string, string | undefined> = {
    [GUARD_VARIABLE]: guard,
    MIRRORLATCH_PROXY: proxy,
    http_proxy: `${proxy}/`,
    // Each lets some client go past the proxy without a word. The proxy itself does what they say.
    HTTP_PROXY: undefined,
    all_proxy: undefined,
    ALL_PROXY: undefined,
    no_proxy: undefined,
    NO_PROXY: undefined,
    PIP_PROXY: undefined,
    // In place of those that npm's files name, for a registry with http:, too.
    npm_config_proxy: `${proxy}/`,
    npm_config_https_proxy: `${proxy}/`,
    NPM_CONFIG_PROXY: undefined,
    NPM_CONFIG_HTTPS_PROXY: undefined,
    // npm passes over an empty one, and takes that of its configuration (@npmcli/config, loadEnv).
    npm_config_noproxy: 'none.invalid',
    NPM_CONFIG_NOPROXY: undefined,
  };
  if (callers.https !== undefined) {
    environment['https_proxy'] = `${proxy}/`;
    environment['HTTPS_PROXY'] = undefined;
  }
  for (const [index, { mirror, id, target }] of pins.entries()) {
    const end = index === 0 ? '' : `_${index + 1}`;
    environment[`MIRRORLATCH_URL${end}`] = placeOf(mirror).href;
    environment[`MIRRORLATCH_URL_ID${end}`] = id;
    environment[`MIRRORLATCH_URL_PIN${end}`] = id === undefined ? undefined : target.href;
  }
  return environment;
}
