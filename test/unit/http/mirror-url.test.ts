import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  asChannel,
  below,
  isAmbiguous,
  type MirrorUrl,
  parseMirrorUrl,
  placeOf,
  placesOf,
  withBase,
} from '../../../src/http/client/mirror-url.ts';

const currentIn = (url: string) => placeOf(parseMirrorUrl(url)).href;

test.for([
  ['http://host/debian', 'http://host/debian/current/'],
  ['http://HOST:80/debian/', 'http://host/debian/current/'],
  ['http://host/debian/current', 'http://host/debian/current/'],
  ['http://host/debian/current/dists/stable?a#b', 'http://host/debian/current/'],
  ['http://host/current/debian/current/', 'http://host/current/debian/current/'],
  ['https://host:8443', 'https://host:8443/current/'],
  ['http://host//a%20b//%63urrent/', 'http://host/a%20b/current/'],
  ['http://host/a%2Fb%2fcurrent%2fc', 'http://host/a/b/current/'],
])('%s is the mirror whose current is %s', ([url, current]) => {
  expect(currentIn(url ?? '')).toBe(current);
});

test('a user in a URL is kept apart', () => {
  const { base, authorization } = parseMirrorUrl('http://me:p%40ss@host/debian/');
  expect(base.href).toBe('http://host/debian/');
  expect(authorization).toBe(`Basic ${Buffer.from('me:p@ss').toString('base64')}`);
});

test('a password with a percent sign that escapes nothing is taken as it is', () => {
  const { authorization } = parseMirrorUrl('http://me:p%ss@host/debian/');
  expect(authorization).toBe(`Basic ${Buffer.from('me:p%ss').toString('base64')}`);
});

test.for(['', 'debian', '/srv/mirror', 'ftp://host/debian', 'http://'])('%j is refused', (url) => {
  expect(() => parseMirrorUrl(url)).toThrow(/is no URL of a mirror/);
});

const current = new URL('http://host/debian/current/');

test.for([
  ['http://host/debian/current/dists/a%2bb?x=%20#y', 'dists/a%2bb?x=%20'],
  ['http://host/debian/current/', ''],
  ['http://host/debian/current/a//b/', 'a//b/'],
  ['HTTP://Host.:80//debian//current/a', 'a'],
  ['http://host/debian/%63urrent/a', 'a'],
  ['http://host/debian/other/../current/./a', 'a'],
  ['http://host/debian/other/%2e%2E/current/a', 'a'],
  ['http://host/debian%2fcurrent/@a%2Fb?c%2fd', '@a%2Fb?c%2fd'],
  ['http://host/debian%2Fcurrent%2F', ''],
  ['http://host/%2F/debian/current%2f/a', '/a'],
  ['http://host/debian%2f.%2fcurrent%2fa', 'a'],
  ['http://me@host/debian/current/a', 'a'],
])('%s leads below current, to %j', ([url, rest]) => {
  expect(below(current, url ?? '')).toBe(rest);
});

test.for([
  'http://host/debian/current',
  'http://host/debian/current.json',
  'http://host/debian/current-not/a',
  'http://host/debian/current/../a',
  'http://host/debian/Current/a',
  'http://host:8080/debian/current/a',
  'https://host/debian/current/a',
  'http://other/debian/current/a',
  'http://host/?/debian/current/a',
  'http://host/%zz/current/a',
  'http://host/debian/current%2f../a',
  'http://host/debian%252fcurrent/a',
  '/debian/current/a',
])('%s leads elsewhere', (url) => {
  expect(below(current, url)).toBeUndefined();
});

test('a name that is no UTF-8 is the same in each of its spellings', () => {
  const { base } = parseMirrorUrl('http://host/%E4/');
  expect(below(base, 'http://host/%e4/a')).toBe('a');
});

test.for([
  ['http://host/debian/other/../current/a', false],
  ['http://host/debian//./current/a?/x/..//', false],
  ['http://host/debian/a%2f../current/a', true],
  ['http://host/debian//../current/a', true],
  ['http://host/x%2fdebian/../current/a', true],
  ['http://host/%2F%2e%2e/current/a', true],
  ['http://host/debian%2F/%2e%2e/current/a', false],
] as const)('where %s leads depends on the server: %s', ([url, is]) => {
  expect(isAmbiguous(url)).toBe(is);
});

const segment = fc.constantFrom('debian', 'current', '.', '..', '', '%2e', 'a', 'current.json');
const slash = fc.constantFrom('/', '/', '%2F');
const anyUrl = fc
  .array(fc.tuple(slash, segment), { maxLength: 8 })
  .map((parts) => `http://host/${parts.flat().join('')}`);

const isBelow = (path: string) => path.replaceAll(/\/+/g, '/').startsWith('/debian/current/');

test('unless it is ambiguous, what leads below a directory is what the URL parser puts there, decoded before or afterwards', () => {
  fc.assert(
    fc.property(anyUrl, (url) => {
      fc.pre(!isAmbiguous(url));
      const is = below(current, url) !== undefined;
      const { pathname } = new URL(url);
      expect(isBelow(pathname.replaceAll(/%2f/gi, '/'))).toBe(is);
      const decoded = `/${url.slice('http://host/'.length)}`.replaceAll(/(?:%2f|\/)+/gi, '/');
      expect(isBelow(new URL(`http://host${decoded}`).pathname)).toBe(is);
    }),
  );
});

const named = parseMirrorUrl('http://host/debian/production/');
const at = (mirror: MirrorUrl) => placesOf(mirror).map(({ href }) => href);

test('a channel is read by its own URL, and by that of what is current', () => {
  const both = ['http://host/debian/production/', 'http://host/debian/current/'];
  expect(at({ ...parseMirrorUrl('http://host/debian/'), channel: 'production' })).toEqual(both);
  expect(at(withBase(named, '/debian/', 'production'))).toEqual(both);
  expect(at(asChannel(named) ?? named)).toEqual(both);
});

test('a server has no word on the places of another one, nor is what it says taken for a name that none can have', () => {
  expect(withBase(named, 'http://other/debian/', 'production')).toBe(named);
  expect(withBase(named, '/debian', 'production')).toBe(named);
  expect(at(withBase(named, '/own/', '../x'))).toEqual(['http://host/debian/production/']);
  expect(asChannel(parseMirrorUrl('http://host/'))).toBeUndefined();
  expect(asChannel(parseMirrorUrl('http://host/production/current/'))).toBeUndefined();
  expect(asChannel(parseMirrorUrl('http://host/a%2Fb%00/'))).toBeUndefined();
});
