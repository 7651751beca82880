import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MirrorlatchError } from '../../errors.ts';
import { changeAptSources, proxySettings, writeAptConfiguration } from './apt-settings.ts';
import type { ClientSettings } from './client-settings.ts';
import type { FetcherSettings } from './fetcher-settings.ts';
import { gitVariables } from './git-settings.ts';
import { isPlain, type MirrorUrl, namesUrl, placesOf, replaceUrls } from './mirror-url.ts';
import { pipVariables } from './pip-settings.ts';
import type { Section } from './settings-file.ts';
import { withoutProxies, withRepositories } from './zypper-settings.ts';

/** A command, changed so that its clients go by the guard. */
export interface GuardedClients {
  readonly command: readonly Buffer[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Files for the clients, if there are any. */
  readonly directory: string | undefined;
}

/** A mirror, and where requests go that are below one of its places. */
interface Target {
  readonly mirror: MirrorUrl;
  readonly target: URL;
}

interface GuardOptions {
  readonly env: NodeJS.ProcessEnv;
  /** Accept a mirror with https: that nothing names, and a client that goes past the guard. */
  readonly allowUnseen: boolean;
}

/**
 * Lets the clients of a command ask the proxy although their configuration leads past it, and read mirrors with https:, which no
 * proxy can look into, at the address of the pin.
 *
 * @throws MirrorlatchError UNAVAILABLE if nothing names a mirror with https:, or a client of a script goes past the guard.
 */
export async function guardClients(
  command: readonly Buffer[],
  settings: ClientSettings,
  targets: readonly Target[],
  proxy: string,
  { env, allowUnseen }: GuardOptions,
): Promise<GuardedClients> {
  const plain = targets.filter(({ mirror }) => isPlain(mirror));
  const secure = targets.filter((one) => !plain.includes(one));
  const { family, at, apt, dnf, zypper, fetchers, pip } = settings;
  if (family === 'other' && !allowUnseen) refuseDnfPast(dnf, plain);
  const change = (text: string) =>
    secure.reduce((changed, one) => replaceUrls(changed, placesOf(one.mirror), one.target), text);
  const seen = new Set<Target>();
  const changeNoting = (text: string) => {
    for (const one of secure)
      if (replaceUrls(text, placesOf(one.mirror), one.target) !== text) seen.add(one);
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
    const forApt = apt?.goesPast && plain.length > 0 ? proxySettings(proxy) : [];
    if (secure.length > 0 && apt !== undefined)
      forApt.push(...(await changeAptSources(place(), changeNoting)));
    const inserted = family === 'dnf' ? dnfOptions(dnf, proxy, changeNoting) : [];
    const words = command.map((word) =>
      secure.length === 0 ? word : Buffer.from(changeNoting(word.toString('latin1')), 'latin1'),
    );
    const ofZypper = (text: string) =>
      changeNoting(plain.length === 0 ? text : withoutProxies(text));
    const changed = {
      command: [
        ...words.slice(0, at + 1),
        ...inserted.map((word) => Buffer.from(word)),
        ...withRepositories(words.slice(at + 1), zypper, ofZypper, place),
      ],
      env: {
        ...(plain.length === 0
          ? {}
          : {
              ...writeFetcherSettings(fetchers, proxy, place),
              ...gitVariables(
                plain.flatMap(({ mirror }) => placesOf(mirror)),
                proxy,
                env,
              ),
              // In place of what its files say.
              ...(pip['proxy'] ? { PIP_PROXY: `${proxy}/` } : {}),
            }),
        ...(secure.length === 0 ? {} : changedVariables(env, settings, changeNoting)),
        ...(forApt.length === 0
          ? {}
          : { APT_CONFIG: await writeAptConfiguration(place(), env['APT_CONFIG'], forApt) }),
      },
    };
    const unnamed = secure.filter((one) => !seen.has(one));
    if (unnamed.length > 0 && !allowUnseen) throw cannotChange(unnamed);
    return { ...changed, directory };
  } catch (error) {
    removeFiles(directory);
    throw error;
  }
}

/** @returns the variables that name the files. */
function writeFetcherSettings(
  fetchers: readonly FetcherSettings[],
  proxy: string,
  place: () => string,
): Record<string, string> {
  return Object.fromEntries(
    fetchers.map(({ variable, name, isInDirectory, textFor }) => {
      const file = join(place(), name);
      // The user's file may hold passwords.
      writeFileSync(file, textFor(proxy), { encoding: 'latin1', mode: 0o600 });
      return [variable, isInDirectory ? place() : file];
    }),
  );
}

/** No variable lets dnf use another proxy than its files name, and in a script it cannot be given options. */
function refuseDnfPast(sections: readonly Section[], targets: readonly Target[]): void {
  const ofAll = sections.find(({ name }) => name === 'main')?.values['proxy'];
  for (const { mirror } of targets) {
    const past = sections.find(({ values: { baseurl = '', proxy = ofAll } }) => {
      return proxy && namesUrl(baseurl, placesOf(mirror));
    });
    if (past === undefined) continue;
    throw new MirrorlatchError(
      'UNAVAILABLE',
      `dnf is configured to read ${mirror.given} past the guard, by the proxy for the repository ${past.name}`,
      {
        hint: 'That is overridden where dnf is COMMAND itself, or behind sudo, env and the like. If COMMAND does not start dnf, give --allow-unseen.',
      },
    );
  }
}

export function removeFiles(directory: string | undefined): void {
  if (directory !== undefined) rmSync(directory, { recursive: true, force: true });
}

/** Options of dnf: of all its repositories for the proxy, if some lead past it, and of those that are changed. */
function dnfOptions(
  sections: readonly Section[],
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
  { pip, npm }: ClientSettings,
  change: (text: string) => string,
): Record<string, string> {
  const { registry } = npm;
  const own = { ...pipVariables(pip), ...(registry ? { npm_config_registry: registry } : {}) };
  const given = Object.entries({ ...own, ...env }).flatMap(([name, value]) =>
    value === undefined || name.startsWith('MIRRORLATCH_') ? [] : [[name, value] as const],
  );
  return Object.fromEntries(
    given.flatMap(([name, value]) => (change(value) === value ? [] : [[name, change(value)]])),
  );
}

function cannotChange(targets: readonly Target[]): MirrorlatchError {
  const named = targets.map(({ mirror }) => mirror.given).join(', ');
  return new MirrorlatchError(
    'UNAVAILABLE',
    `nothing that can be changed for COMMAND names ${named}, and no proxy can look into https:`,
    {
      hint:
        'The URL is replaced in the words of COMMAND, in its environment, and in what apt, dnf, zypper, pip and npm are configured to read. ' +
        'Or let COMMAND read the URL in MIRRORLATCH_URL_PIN, and give --allow-unseen.',
    },
  );
}
