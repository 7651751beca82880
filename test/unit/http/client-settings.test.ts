import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parseAptSettings } from '../../../src/http/client/apt-settings.ts';
import { withClientsProxies } from '../../../src/http/client/client-settings.ts';
import { readFetcherSettings } from '../../../src/http/client/fetcher-settings.ts';
import { gitVariables } from '../../../src/http/client/git-settings.ts';
import { guardClients } from '../../../src/http/client/guarded-clients.ts';
import type { KeptPin } from '../../../src/http/client/kept-pin.ts';
import { parseMirrorUrl, replaceUrls } from '../../../src/http/client/mirror-url.ts';
import { readNpmSettings } from '../../../src/http/client/npm-settings.ts';
import { readPipSettings } from '../../../src/http/client/pip-settings.ts';
import { parseIni } from '../../../src/http/client/settings-file.ts';
import { withoutProxies, withRepositories } from '../../../src/http/client/zypper-settings.ts';
import { scratchDirectory } from '../../support/scratch.ts';

const nothing = {
  at: 0,
  apt: undefined,
  dnf: [],
  zypper: new Map(),
  fetchers: [],
  pip: {},
  npm: {},
};
const none = { http: undefined, https: undefined, except: '' };
const own = { http: 'http://own:1/', https: undefined, httpFrom: 'me', except: 'a' };

describe("apt's configuration", () => {
  test.for([
    ['', { proxy: undefined, direct: [], goesPast: false }],
    ['Acquire::http::Proxy "";\nAcquire::http::Timeout "5";\n', { goesPast: false }],
    ['Acquire::http::Proxy "http://p:3142";', { proxy: 'http://p:3142', goesPast: true }],
    ['Acquire::http::Proxy::a.b "DIRECT";', { proxy: undefined, direct: ['a.b'], goesPast: true }],
    ['Acquire::http::Proxy-Auto-Detect "/usr/bin/x";', { proxy: undefined, goesPast: true }],
    ['Acquire::https::Proxy "http://p";', { goesPast: false }],
  ] as const)('%j', ([dump, settings]) => {
    expect(parseAptSettings(dump)).toMatchObject(settings);
  });

  const settings = (dump: string, family = 'apt') => ({
    ...nothing,
    family,
    apt: parseAptSettings(dump),
  });

  test.for([
    ['', 'http://own:1/', 'a'],
    ['Acquire::http::Proxy "http://p";', 'http://p', 'a'],
    ['Acquire::http::Proxy "DIRECT";', undefined, 'a'],
    ['Acquire::http::Proxy::h "DIRECT";', 'http://own:1/', 'a,h'],
  ] as const)('%j says how apt goes out', ([dump, http, except]) => {
    const proxies = withClientsProxies(own, settings(dump));
    expect(proxies).toMatchObject({ http, https: undefined, except });
    expect(proxies.httpFrom).toBe(
      dump.includes('Proxy ') ? "apt's configuration, as Acquire::http::Proxy" : 'me',
    );
  });

  test('says how a script goes out only where nothing else does', () => {
    const proxy = settings('Acquire::http::Proxy "http://p";', 'other');
    expect(withClientsProxies(own, proxy).http).toBe('http://own:1/');
    expect(withClientsProxies(none, proxy).http).toBe('http://p');
    const direct = settings('Acquire::http::Proxy "DIRECT";', 'other');
    expect(withClientsProxies(own, direct).http).toBe('http://own:1/');
  });
});

test('sections are read with values that go on in the next line', () => {
  const text =
    '# [no]\nlost=1\n[main]\nproxy = _none_\n[a]\nbaseurl=http://x/\n  http://y/\n\nname: A\n';
  expect(parseIni(text)).toEqual([
    { name: 'main', values: { proxy: '_none_' } },
    { name: 'a', values: { baseurl: 'http://x/ http://y/', name: 'A' } },
  ]);
});

describe("a user's own file", () => {
  /** What is read of a home directory with these files. */
  const inHome = (files: Readonly<Record<string, string>>) => {
    const home = scratchDirectory();
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(home, name)), { recursive: true });
      writeFileSync(join(home, name), text);
    }
    const env = { HOME: home, SYSTEM_WGETRC: '/nothing' };
    return {
      ...nothing,
      family: 'other',
      fetchers: readFetcherSettings(env),
      pip: readPipSettings(env),
      npm: readNpmSettings(env),
    };
  };

  test.for([
    [{}, []],
    [{ '.curlrc': 'silent\nuser = "a:b"\n', '.wgetrc': 'tries = 3\n' }, []],
    [{ '.curlrc': 'noproxy = "*"\n' }, ['CURL_HOME']],
    [{ '.config/curlrc': '-x proxy:1\n' }, ['CURL_HOME']],
    [{ '.curlrc': 'silent\n', '.config/curlrc': '-x proxy:1\n' }, []],
    [{ '.wgetrc': 'UseProxy = off\n' }, ['WGETRC']],
    [{ '.curlrc': 'config = more\n', '.wgetrc': 'no-proxy=a' }, ['CURL_HOME', 'WGETRC']],
  ] as const)('%j leads past a proxy: %j', ([files, variables]) => {
    expect(inHome(files).fetchers.map(({ variable }) => variable)).toEqual(variables);
  });

  test.for([
    ['.curlrc', '--proxy = "p:1"\n--proxy-user=me:a b\nnoproxy = a,b', 'http://me:a%20b@p:1/'],
    ['.curlrc', '-x http://p:1\nnoproxy = a,b', 'http://p:1/'],
    ['.curlrc', 'proxy = socks5://p:1\nnoproxy = a,b', undefined],
    ['.wgetrc', 'http_proxy = p:1\nno_proxy = a,b', 'http://p:1/'],
    ['.wgetrc', 'http_proxy = p:1\nuse_proxy = no\nno_proxy = a,b', undefined],
  ] as const)('%s with %j says how a script goes out', ([name, text, http]) => {
    const settings = inHome({ [name]: text });
    expect(withClientsProxies(none, settings)).toMatchObject({ ...none, http, except: 'a,b' });
    expect(withClientsProxies(own, settings)).toEqual({ ...own, except: 'a,a,b' });
    expect(withClientsProxies(none, { ...settings, family: 'apt' })).toEqual(none);
  });

  test.for([
    ['.config/pip/pip.conf', '[global]\nproxy = http://p:1', 'http://p:1'],
    ['.npmrc', 'proxy=http://q\nhttps-proxy=http://p:1', 'http://p:1'],
    ['.npmrc', 'https-proxy=socks5://p:1', undefined],
  ] as const)('%s with %j says how a script goes out', ([name, text, http]) => {
    expect(withClientsProxies(none, inHome({ [name]: text })).http).toBe(http);
  });
});

test("git's variables come after those that it has already", () => {
  const urls = ['http://a/current/', 'http://b/'].map((url) => new URL(url));
  expect(gitVariables(urls, 'http://p:1', { GIT_CONFIG_COUNT: '1' })).toEqual({
    GIT_CONFIG_COUNT: '3',
    GIT_CONFIG_KEY_1: 'http.http://a/current/.proxy',
    GIT_CONFIG_VALUE_1: 'http://p:1/',
    GIT_CONFIG_KEY_2: 'http.http://b/.proxy',
    GIT_CONFIG_VALUE_2: 'http://p:1/',
  });
});

test('a script is refused where dnf goes past the guard, which no variable can keep it from', async () => {
  const mirror = parseMirrorUrl('http://h/deb/current/');
  const pin = { mirror, target: new URL('http://h/deb/snapshots/a/') } as KeptPin;
  const guarded = (family: string, baseurl: string, proxy: string, allowUnseen = false) => {
    const dnf = [
      { name: 'main', values: {} },
      { name: 'parts', values: { baseurl, proxy } },
    ];
    const command = [Buffer.from('dnf')];
    const settings = { ...nothing, family, dnf };
    return guardClients(command, settings, [pin], 'http://p:1', { env: {}, allowUnseen });
  };
  const refused = guarded('other', 'http://h/deb/current/os', '_none_');
  await expect(refused).rejects.toThrow(/past the guard.*parts/);
  await guarded('other', 'http://h/deb/current/os', '_none_', true);
  await guarded('other', 'http://h/deb/current/os', '');
  await guarded('other', 'http://h/other/', '_none_');
  const { command } = await guarded('dnf', 'http://h/deb/current/os', '_none_');
  expect(command.map(String)).toEqual(['dnf', '--setopt=*.proxy=http://p:1/']);
});

test.for([
  ['baseurl=http://h/a?proxy=_none_\n', 'baseurl=http://h/a\n'],
  ['baseurl=http://h/a?x=1&proxy=p&proxyport=1\n', 'baseurl=http://h/a?x=1\n'],
  ['baseurl=http://h/a?proxy=p&proxyport=1&x=1\n', 'baseurl=http://h/a?x=1\n'],
  ['proxy = _none_\nname=proxy\n', 'name=proxy\n'],
])("of zypper's %j, %j is left without proxies", ([text = '', rest]) => {
  expect(withoutProxies(text)).toBe(rest);
});

test('zypper is given other configurations in place of those that it is told', () => {
  const words = (...given: readonly string[]) => {
    const place = scratchDirectory();
    const repositories = new Map([['a.repo', 'x']]);
    const bytes = given.map((word) => Buffer.from(word));
    return withRepositories(
      bytes,
      repositories,
      () => 'y',
      () => place,
    ).map((word) => String(word).replace(place, 'PLACE'));
  };
  const option = '--reposd-dir=PLACE/repos.d';
  expect(words('-q', 'ref')).toEqual([option, '-q', 'ref']);
  expect(words('-D', 'repos', 'ref')).toEqual([option, 'ref']);
  expect(words('-q', '--reposd-dir=repos', 'ref')).toEqual(['-q', option, 'ref']);
});

const from = new URL('https://h/deb/current/');
const to = new URL('https://h/deb/pins/T$&/current/');

test.for([
  ['deb https://h/deb/current stable', 'deb https://h/deb/pins/T$&/current stable'],
  ['"https://h/deb/current/"', '"https://h/deb/pins/T$&/current/"'],
  [
    '--x=https://h/deb/current/a https://h/deb/current',
    '--x=https://h/deb/pins/T$&/current/a https://h/deb/pins/T$&/current',
  ],
  ['https://h/deb/current.json https://h/deb/currently http://h/deb/current/', undefined],
])('in %j the URL is replaced', ([text = '', replaced = text]) => {
  expect(replaceUrls(text, [from], to)).toBe(replaced);
});

test('the URLs of a mirror are replaced in one go, each by that of the pin', () => {
  const urls = ['https://h/-/mirrors/deb/testing/', 'https://h/'].map((url) => new URL(url));
  const pin = new URL('https://h/-/mirrors/deb/pins/T/current/');
  const text = 'deb https://h stable\ndeb https://h/-/mirrors/deb/testing/ stable';
  const replaced = 'deb https://h/-/mirrors/deb/pins/T/current stable';
  expect(replaceUrls(text, urls, pin)).toBe(
    `${replaced}\n${replaced.replace(' stable', '/ stable')}`,
  );
});
