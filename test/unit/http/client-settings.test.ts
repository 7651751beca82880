import { describe, expect, test } from 'vitest';
import { parseAptSettings } from '../../../src/http/client/apt-settings.ts';
import { replaceUrl, withClientsProxies } from '../../../src/http/client/client-settings.ts';
import { parseIni } from '../../../src/http/client/dnf-settings.ts';

const none = { http: undefined, https: undefined, except: '' };
const own = { http: 'http://own:1/', https: undefined, except: 'a' };

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
    family,
    at: 0,
    apt: parseAptSettings(dump),
    dnf: [],
  });

  test.for([
    ['', 'http://own:1/', 'a'],
    ['Acquire::http::Proxy "http://p";', 'http://p', 'a'],
    ['Acquire::http::Proxy "DIRECT";', undefined, 'a'],
    ['Acquire::http::Proxy::h "DIRECT";', 'http://own:1/', 'a,h'],
  ] as const)('%j says how apt goes out', ([dump, http, except]) => {
    expect(withClientsProxies(own, settings(dump))).toEqual({ http, https: undefined, except });
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
  expect(replaceUrl(text, from, to)).toBe(replaced);
});
