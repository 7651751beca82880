import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { settingsIn } from './settings-file.ts';

/** A file by which a user lets curl or wget use other proxies than the environment's. */
export interface FetcherSettings {
  /** The variable that names another file. */
  readonly variable: string;
  /** The name that the other file has to have, and what the variable names: the file, or its directory. */
  readonly name: string;
  readonly isInDirectory: boolean;
  /** All that the user's file says, a character a byte, and then what leads to a proxy in spite of that. */
  textFor(proxy: string): string;
  /** The proxy that the file names, as far as this program can use it. */
  readonly proxy: string | undefined;
  /** The hosts that it reaches without a proxy, as in the variable no_proxy. */
  readonly except: string;
}

/** Those of curl's and wget's files that say anything of proxies. */
export function readFetcherSettings(env: NodeJS.ProcessEnv): FetcherSettings[] {
  return [curlSettings(env), wgetSettings(env)].filter((settings) => settings !== undefined);
}

/** curl reads the first of its files that is there (curl(1), --config). */
function curlSettings(env: NodeJS.ProcessEnv): FetcherSettings | undefined {
  const { CURL_HOME, XDG_CONFIG_HOME } = env;
  const home = env['HOME'] || homedir();
  const files = [
    ...(CURL_HOME ? [join(CURL_HOME, '.curlrc')] : []),
    ...(XDG_CONFIG_HOME ? ['.curlrc', 'curlrc'].map((name) => join(XDG_CONFIG_HOME, name)) : []),
    join(home, '.curlrc'),
    join(home, '.config/curlrc'),
  ];
  const text = settingsIn(files.find((file) => existsSync(file)) ?? '', 'latin1');
  // It takes options shortened, and other files in its files.
  if (!/prox|nop|socks|^\s*-\w*[xK]|^\s*-*config/im.test(text)) return undefined;
  const value = (name: string) =>
    new RegExp(`^\\s*(?:${name})[\\s=:]+"?([^"\\r\\n]*)`, 'gm').exec(text)?.[1];
  return {
    variable: 'CURL_HOME',
    name: '.curlrc',
    isInDirectory: true,
    textFor: (proxy) => {
      const others = /prep/i.test(text) ? ['preproxy = ""'] : [];
      return [text, `proxy = "${proxy}/"`, 'noproxy = ""', ...others, ''].join('\n');
    },
    proxy: withUser(value('(?:--)?proxy|-x'), value('(?:--)?proxy-user|-U')),
    except: value('(?:--)?noproxy') ?? '',
  };
}

/** wget reads the host's file and then the user's, which wins; it overlooks the underlines of names (wget.info, Wgetrc Syntax). */
function wgetSettings(env: NodeJS.ProcessEnv): FetcherSettings | undefined {
  const own = settingsIn(env['WGETRC'] || join(env['HOME'] || homedir(), '.wgetrc'), 'latin1');
  const both = `${settingsIn(env['SYSTEM_WGETRC'] || '/etc/wgetrc')}\n${own}`;
  if (!/^\s*(?:use|no|http)[-_]?proxy\b/im.test(both)) return undefined;
  const value = (name: string) =>
    [...both.matchAll(new RegExp(`^\\s*${name}[-_]?proxy\\s*=\\s*(.*?)\\s*$`, 'gim'))].at(-1)?.[1];
  const isUsed = !/^(?:off|no|0)$/i.test(value('use') ?? '');
  return {
    variable: 'WGETRC',
    name: 'wgetrc',
    isInDirectory: false,
    textFor: (proxy) =>
      [own, 'use_proxy = on', `http_proxy = ${proxy}/`, 'no_proxy =', ''].join('\n'),
    proxy: isUsed ? withUser(value('http'), undefined) : undefined,
    except: value('no') ?? '',
  };
}

/** A proxy for HTTP, which alone can be asked for what the command requests. @param user as in `name:password`. */
function withUser(proxy: string | undefined, user: string | undefined): string | undefined {
  const url = proxy?.includes('://') ? proxy : `http://${proxy}`;
  if (!proxy || !/^http:/i.test(url) || !URL.canParse(url)) return undefined;
  const whole = new URL(url);
  const [name = '', ...password] = user?.split(':') ?? [];
  if (whole.username === '') {
    whole.username = encodeURIComponent(name);
    whole.password = encodeURIComponent(password.join(':'));
  }
  return whole.href;
}
