import { expect, test } from 'vitest';
import { isExcepted, proxiesOf } from '../../../src/http/client/upstream-proxy.ts';

test.for([
  [{}, undefined, undefined],
  [{ http_proxy: 'a', HTTP_PROXY: 'b', all_proxy: 'c' }, 'a', 'c'],
  [{ HTTP_PROXY: 'b', HTTPS_PROXY: 'd' }, 'b', 'd'],
  [{ http_proxy: '', ALL_PROXY: 'c' }, 'c', 'c'],
] as const)('%j', ([env, http, https]) => {
  expect(proxiesOf(env)).toMatchObject({ http, https, except: '' });
});

test.for([
  ['*', 'http://any/', true],
  ['host', 'http://host/', true],
  ['host', 'http://a.host:8080/', true],
  ['.host', 'http://a.host/', true],
  ['*.host', 'http://a.host/', true],
  ['ost', 'http://host/', false],
  ['a, host.:80,b', 'http://HOST/', true],
  ['host:8080', 'http://host/', false],
  ['host:443', 'https://host/', true],
  ['::1 127.0.0.1', 'http://127.0.0.1:9/', true],
  ['[::1]', 'http://[::1]:9/', true],
  ['', 'http://host/', false],
] as const)('with no_proxy=%s, %s is reached without a proxy: %s', ([except, url, is]) => {
  expect(isExcepted(except, new URL(url))).toBe(is);
});
