import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { ownProgram } from '../../system/own-program.ts';
import { namesIn, settingsIn } from './settings-file.ts';

/** What apt's configuration says, as far as it leads past a guard. */
export interface AptSettings {
  /** `Acquire::http::Proxy`: a URL, or `DIRECT`. */
  readonly proxy: string | undefined;
  /** The hosts that are reached without a proxy. */
  readonly direct: readonly string[];
  /** The variable http_proxy counts for nothing, or not for all hosts. */
  readonly goesPast: boolean;
}

/** @returns undefined where there is no apt. */
export async function readAptSettings(env: NodeJS.ProcessEnv): Promise<AptSettings | undefined> {
  if (!isInstalled) return undefined;
  return parseAptSettings(saysNothing(env) ? '' : await aptConfig('dump'));
}

/** Whether no file of apt can say anything of proxies: to ask apt itself takes 20 ms. */
function saysNothing({ APT_CONFIG = '' }: NodeJS.ProcessEnv): boolean {
  const parts = namesIn(PARTS).map((name) => join(PARTS, name));
  const text = [APT_CONFIG, '/etc/apt/apt.conf', ...parts].map((file) => settingsIn(file)).join();
  // Other files may be named in these.
  return !/proxy|#include|\betc\b/i.test(text);
}

const PARTS = '/etc/apt/apt.conf.d';

/** What apt-config(8) prints. To start a program by execa takes a while to load. */
async function aptConfig(...words: readonly string[]): Promise<string> {
  const { runProgram } = await import('../../system/process.ts');
  return (await runProgram(ownProgram('apt-config'), words)).stdout;
}

const isInstalled = ['/usr/bin/apt-config', '/bin/apt-config'].some((path) => existsSync(path));

/** Reads what apt-config(8), dump prints. Pure. */
export function parseAptSettings(dump: string): AptSettings {
  const lines = [...dump.matchAll(/^Acquire::http::(Proxy\S*) "(.+)";$/gim)];
  const proxies = lines.flatMap(([, name = '', value = '']) => {
    const host = /^Proxy(?:::(.*))?$/i.exec(name);
    return host === null ? [] : [{ host: host[1] ?? '', value }];
  });
  return {
    proxy: proxies.find(({ host }) => host === '')?.value,
    direct: proxies
      .filter(({ host, value }) => host !== '' && value === 'DIRECT')
      .map(({ host }) => host),
    goesPast: lines.length > 0,
  };
}

/**
 * Writes a configuration for the variable APT_CONFIG: that of this host, with other settings. apt reads that file first, so what
 * it would read afterwards is included in it and then left out (apt.conf(5)).
 *
 * @param directory where the file is to be.
 * @returns its path.
 */
export async function writeAptConfiguration(
  directory: string,
  callers: string | undefined,
  settings: readonly string[],
): Promise<string> {
  const { parts, main } = await pathsOf({ parts: 'Dir::Etc::parts/d', main: 'Dir::Etc::main/f' });
  const included = [callers && resolve(callers), parts, main].filter(isReadable);
  const file = join(directory, 'apt.conf');
  const lines = [
    ...included.map((path) => `#include "${path}";`),
    'Dir::Etc::parts "/dev/null";',
    'Dir::Etc::main "/dev/null";',
    ...settings,
  ];
  writeFileSync(file, `${lines.join('\n')}\n`, { mode: 0o644 });
  return file;
}

/** Settings that let apt ask a proxy for all that it gets by HTTP. */
export function proxySettings(proxy: string): string[] {
  return [
    '#clear Acquire::http::Proxy;',
    '#clear Acquire::http::Proxy-Auto-Detect;',
    '#clear Acquire::http::ProxyAutoDetect;',
    `Acquire::http::Proxy "${proxy}/";`,
  ];
}

/**
 * Copies apt's sources, each changed.
 *
 * @returns the settings that name the copies; none if no source was changed.
 */
export async function changeAptSources(
  directory: string,
  change: (text: string) => string,
): Promise<string[]> {
  if (!isInstalled) return [];
  const { list, lists } = await pathsOf({
    list: 'Dir::Etc::sourcelist/f',
    lists: 'Dir::Etc::sourceparts/d',
  });
  const copies = {
    list: join(directory, 'sources.list'),
    lists: join(directory, 'sources.list.d'),
  };
  const named = isReadable(lists) && statSync(lists).isDirectory() ? readdirSync(lists) : [];
  const files = [
    ...(isReadable(list) && statSync(list).isFile() ? [{ from: list, to: copies.list }] : []),
    ...named
      .filter((name) => /\.(list|sources)$/.test(name))
      .map((name) => ({ from: join(lists ?? '', name), to: join(copies.lists, name) })),
  ].map(({ from, to }) => ({ to, text: readFileSync(from, 'latin1') }));
  if (files.every(({ text }) => change(text) === text)) return [];
  mkdirSync(copies.lists, { mode: 0o755 });
  writeFileSync(copies.list, '');
  for (const { to, text } of files) writeFileSync(to, change(text), 'latin1');
  return [`Dir::Etc::sourcelist "${copies.list}";`, `Dir::Etc::sourceparts "${copies.lists}";`];
}

/** Paths of apt's configuration, by apt-config(8), shell. */
async function pathsOf<Name extends string>(
  names: Readonly<Record<Name, string>>,
): Promise<Partial<Record<Name, string>>> {
  const words = Object.entries(names).flat() as string[];
  const found = [...(await aptConfig('shell', ...words)).matchAll(/^(\w+)='(.*)'$/gm)].map(
    ([, name, path]) => [name, path],
  );
  return Object.fromEntries(found);
}

function isReadable(path: string | undefined): path is string {
  return path !== undefined && path !== '' && existsSync(path);
}
