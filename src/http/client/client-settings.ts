import { placeOfProgram } from '../../reader/presets.ts';
import { type AptSettings, readAptSettings } from './apt-settings.ts';
import { readDnfSettings } from './dnf-settings.ts';
import { type FetcherSettings, readFetcherSettings } from './fetcher-settings.ts';
import { namesUrl } from './mirror-url.ts';
import { npmProxy, readNpmSettings } from './npm-settings.ts';
import { readPipSettings } from './pip-settings.ts';
import type { Section } from './settings-file.ts';
import type { UpstreamProxies } from './upstream-proxy.ts';
import { readZypperRepositories, type ZypperRepositories } from './zypper-settings.ts';

/** What the configurations of clients say that a command may start. */
export interface ClientSettings {
  /** The family of its package manager, see presets, and its place among the words. */
  readonly family: string;
  readonly at: number;
  readonly apt: AptSettings | undefined;
  readonly dnf: readonly Section[];
  readonly zypper: ZypperRepositories;
  readonly fetchers: readonly FetcherSettings[];
  readonly pip: Readonly<Record<string, string>>;
  readonly npm: Readonly<Record<string, string>>;
}

export async function readClientSettings(
  command: readonly Buffer[],
  env: NodeJS.ProcessEnv,
): Promise<ClientSettings> {
  const words = command.map(String);
  const { family, at } = placeOfProgram(words);
  return {
    family,
    at,
    // A script may start anything.
    apt: family === 'apt' || family === 'other' ? await readAptSettings(env) : undefined,
    dnf: readDnfSettings(family === 'dnf' ? words.slice(at + 1) : []),
    zypper: family === 'zypper' ? readZypperRepositories(words.slice(at + 1)) : new Map(),
    fetchers: readFetcherSettings(env),
    pip: readPipSettings(env),
    npm: readNpmSettings(env),
  };
}

/**
 * Whether the client of a command, if it is known, reads a mirror at one of these URLs: then its requests are seen, and that there was none
 * means that it has needed nothing. Pure.
 */
export function isConfiguredFor(
  urls: readonly URL[],
  { family, dnf, zypper, pip, npm }: ClientSettings,
  env: NodeJS.ProcessEnv,
): boolean {
  const variables = (prefix: RegExp) =>
    Object.entries(env).flatMap(([name, value = '']) => (prefix.test(name) ? [value] : []));
  const texts = {
    dnf: () => dnf.flatMap(({ values }) => Object.values(values)),
    zypper: () => [...zypper.values()],
    pip: () => [...Object.values(pip), ...variables(/^PIP_/)],
    npm: () => [...Object.values(npm), ...variables(/^npm_config_/i)],
  }[family];
  return texts?.().some((text) => namesUrl(text, urls)) ?? false;
}

/** The proxies for what goes out, those included that a client is configured to use. Pure. */
export function withClientsProxies(
  proxies: UpstreamProxies,
  settings: ClientSettings,
): UpstreamProxies {
  const { family, apt, dnf, fetchers, pip, npm } = settings;
  const direct = apt?.direct ?? [];
  if (family === 'other') {
    // It starts more than one client, so what one of them says counts only where nothing else does.
    const any = [
      { proxy: apt?.proxy, from: OF_APT },
      ...fetchers.map(({ proxy, variable }) => ({
        proxy,
        from: variable === 'WGETRC' ? "wget's configuration" : "curl's configuration",
      })),
      { proxy: pip['proxy'], from: OF_PIP },
      { proxy: npmProxy(npm), from: OF_NPM },
    ];
    const first = any.find(({ proxy }) => proxy && isForHttp(proxy));
    const hosts = fetchers.map(({ except }) => except).filter((except) => except !== '*');
    return {
      ...proxies,
      ...(proxies.http === undefined && { http: first?.proxy, httpFrom: first?.from }),
      except: listOf(proxies.except, ...direct, ...hosts),
    };
  }
  const main = dnf.find(({ name }) => name === 'main')?.values['proxy'];
  const own = { apt: apt?.proxy, dnf: main, pip: pip['proxy'], npm: npmProxy(npm) }[family];
  const except = listOf(proxies.except, ...direct);
  if (!own) return { ...proxies, except };
  const httpFrom = { apt: OF_APT, dnf: "dnf's configuration", pip: OF_PIP, npm: OF_NPM }[family];
  return { ...proxies, http: isNone(own) ? undefined : own, httpFrom, except };
}

const OF_APT = "apt's configuration, as Acquire::http::Proxy";
const OF_PIP = "pip's configuration, or PIP_PROXY";
const OF_NPM = "npm's configuration";

function isNone(proxy: string): boolean {
  return proxy === 'DIRECT' || proxy === '_none_';
}

function isForHttp(proxy: string): boolean {
  return !isNone(proxy) && /^(?:http:|(?!\w+:\/))/i.test(proxy);
}

function listOf(...hosts: readonly string[]): string {
  return hosts.filter(Boolean).join(',');
}
