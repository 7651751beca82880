import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { MirrorlatchError } from '../../errors.ts';
import { placeOfProgram } from '../../reader/presets.ts';
import {
  type AptSettings,
  changeAptSources,
  proxySettings,
  readAptSettings,
  writeAptConfiguration,
} from './apt-settings.ts';
import { type DnfSection, parseIni, readDnfSettings } from './dnf-settings.ts';
import { currentOf } from './mirror-url.ts';
import type { KeptPin } from './pin-client.ts';
import type { UpstreamProxies } from './upstream-proxy.ts';

/** What the configurations of clients say that a command may start. */
export interface ClientSettings {
  /** The family of its package manager, see presets, and its place among the words. */
  readonly family: string;
  readonly at: number;
  readonly apt: AptSettings | undefined;
  readonly dnf: readonly DnfSection[];
}

/** A command, changed so that its clients go by the guard. */
export interface GuardedClients {
  readonly command: readonly Buffer[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Files for the clients, if there are any. */
  readonly directory: string | undefined;
}

export async function readClientSettings(command: readonly Buffer[]): Promise<ClientSettings> {
  const words = command.map(String);
  const { family, at } = placeOfProgram(words);
  return {
    family,
    at,
    // A script may start anything.
    apt: family === 'apt' || family === 'other' ? await readAptSettings() : undefined,
    dnf: family === 'dnf' ? readDnfSettings(words.slice(at + 1)) : [],
  };
}

/** The proxies for what goes out, those included that a client is configured to use. Pure. */
export function withClientsProxies(
  proxies: UpstreamProxies,
  { family, apt, dnf }: ClientSettings,
): UpstreamProxies {
  const main = dnf.find(({ name }) => name === 'main')?.values['proxy'];
  const own = apt?.proxy ?? main;
  if (own === undefined || own === '') return withExceptions(proxies, apt);
  const isNone = own === 'DIRECT' || own === '_none_';
  // A script starts more than apt.
  if (family === 'other' && (isNone || proxies.http !== undefined))
    return withExceptions(proxies, apt);
  return withExceptions({ ...proxies, http: isNone ? undefined : own }, apt);
}

function withExceptions(proxies: UpstreamProxies, apt: AptSettings | undefined): UpstreamProxies {
  const except = [proxies.except, ...(apt?.direct ?? [])].filter(Boolean).join(',');
  return { ...proxies, except };
}

/**
 * Lets the clients of a command ask the proxy although their configuration leads past it, and read mirrors with https:, which no
 * proxy can look into, at the address of the pin.
 *
 * @param allowUnseen accept a mirror with https: that nothing names.
 * @throws MirrorlatchError UNAVAILABLE if nothing names a mirror with https:.
 */
export async function guardClients(
  command: readonly Buffer[],
  settings: ClientSettings,
  pins: readonly KeptPin[],
  proxy: string,
  { env, allowUnseen }: { env: NodeJS.ProcessEnv; allowUnseen: boolean },
): Promise<GuardedClients> {
  const secure = pins.filter(({ mirror }) => mirror.base.protocol === 'https:');
  const change = (text: string) =>
    secure.reduce((changed, pin) => replaceUrl(changed, currentOf(pin.mirror), pin.target), text);
  const seen = new Set<KeptPin>();
  const changeNoting = (text: string) => {
    for (const pin of secure)
      if (replaceUrl(text, currentOf(pin.mirror), pin.target) !== text) seen.add(pin);
    return change(text);
  };
  let directory: string | undefined;
  const place = () => {
    directory ??= mkdtempSync(join(tmpdir(), 'mirrorlatch-'));
    // apt fetches as a user of its own.
    chmodSync(directory, 0o755);
    return directory;
  };
  try {
    const apt = settings.apt?.goesPast && secure.length < pins.length ? proxySettings(proxy) : [];
    if (secure.length > 0 && settings.apt !== undefined)
      apt.push(...(await changeAptSources(place(), changeNoting)));
    const inserted = dnfOptions(settings.dnf, proxy, changeNoting);
    const words = command.map((word) =>
      secure.length === 0 ? word : Buffer.from(changeNoting(word.toString('latin1')), 'latin1'),
    );
    const changed = {
      command: words.toSpliced(settings.at + 1, 0, ...inserted.map((word) => Buffer.from(word))),
      env: {
        ...(secure.length === 0 ? {} : changedVariables(env, settings.family, changeNoting)),
        ...(apt.length === 0
          ? {}
          : { APT_CONFIG: await writeAptConfiguration(place(), env['APT_CONFIG'], apt) }),
      },
    };
    const unnamed = secure.filter((pin) => !seen.has(pin));
    if (unnamed.length > 0 && !allowUnseen) throw cannotChange(unnamed);
    return { ...changed, directory };
  } catch (error) {
    removeFiles(directory);
    throw error;
  }
}

export function removeFiles(directory: string | undefined): void {
  if (directory !== undefined) rmSync(directory, { recursive: true, force: true });
}

/** Replaces the URL of a directory, also without its slash, and all that begins with it. Pure. */
export function replaceUrl(text: string, from: URL, to: URL): string {
  const plain = (url: URL) => url.href.replace(/\/$/, '');
  const escaped = plain(from).replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');
  // A name may go on: current.json is no part of current.
  return text.replaceAll(new RegExp(`${escaped}(?![\\w.~%-])`, 'g'), () => plain(to));
}

/** Options of dnf: of all its repositories for the proxy, if some lead past it, and of those that are changed. */
function dnfOptions(
  sections: readonly DnfSection[],
  proxy: string,
  change: (text: string) => string,
): string[] {
  const goPast = sections.some(({ values }) => values['proxy']);
  const urls = sections.flatMap(({ name, values: { baseurl = '' } }) =>
    change(baseurl) === baseurl ? [] : [`--setopt=${name}.baseurl=${change(baseurl)}`],
  );
  return [...(goPast ? [`--setopt=*.proxy=${proxy}/`] : []), ...urls];
}

/** Variables that name a mirror, and those by which pip and npm are told to use another than in their files. */
function changedVariables(
  env: NodeJS.ProcessEnv,
  family: string,
  change: (text: string) => string,
): Record<string, string> {
  const own = {
    ...(['pip', 'other'].includes(family) ? pipVariables(env) : {}),
    ...npmVariables(env),
  };
  const given = Object.entries({ ...own, ...env }).flatMap(([name, value]) =>
    value === undefined || name.startsWith('MIRRORLATCH_') ? [] : [[name, value] as const],
  );
  return Object.fromEntries(
    given.flatMap(([name, value]) => (change(value) === value ? [] : [[name, change(value)]])),
  );
}

/** pip's files, the later ones of which win (pip config, "Location"). */
function pipVariables(env: NodeJS.ProcessEnv): Record<string, string> {
  const home = env['HOME'] || homedir();
  const files = [
    '/etc/pip.conf',
    '/etc/xdg/pip/pip.conf',
    join(home, '.pip/pip.conf'),
    join(env['XDG_CONFIG_HOME'] || join(home, '.config'), 'pip/pip.conf'),
    ...(env['VIRTUAL_ENV'] ? [join(env['VIRTUAL_ENV'], 'pip.conf')] : []),
    ...(env['PIP_CONFIG_FILE'] ? [env['PIP_CONFIG_FILE']] : []),
  ];
  const sections = files.flatMap((file) => parseIni(textOf(file)));
  const names = ['index-url', 'extra-index-url', 'find-links'];
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = sections.map(({ values }) => values[name]).findLast(Boolean);
      const variable = `PIP_${name.toUpperCase().replaceAll('-', '_')}`;
      return value === undefined ? [] : [[variable, value]];
    }),
  );
}

/** npm's files for the user and for the project, which wins (npmrc(5)). */
function npmVariables(env: NodeJS.ProcessEnv): Record<string, string> {
  const files = [join(env['HOME'] || homedir(), '.npmrc'), join(process.cwd(), '.npmrc')];
  const registry = files
    .map((file) => /^registry\s*=\s*(\S+)/m.exec(textOf(file))?.[1])
    .findLast(Boolean);
  return registry === undefined ? {} : { npm_config_registry: registry };
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

function cannotChange(pins: readonly KeptPin[]): MirrorlatchError {
  const named = pins.map(({ mirror }) => mirror.given).join(', ');
  return new MirrorlatchError(
    'UNAVAILABLE',
    `nothing that can be changed for COMMAND names ${named}, and no proxy can look into https:`,
    {
      hint:
        'The URL is replaced in the words of COMMAND, in its environment, and in what apt, dnf, pip and npm are configured to read. ' +
        'Or let COMMAND read the URL in MIRRORLATCH_URL_PIN, and give --allow-unseen.',
    },
  );
}
