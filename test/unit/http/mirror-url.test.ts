import fc from 'fast-check';
import { expect, test } from 'vitest';
import { below, currentOf, parseMirrorUrl } from '../../../src/http/client/mirror-url.ts';

const currentIn = (url: string) => currentOf(parseMirrorUrl(url)).href;

test.for([
  ['http://host/debian', 'http://host/debian/current/'],
  ['http://HOST:80/debian/', 'http://host/debian/current/'],
  ['http://host/debian/current', 'http://host/debian/current/'],
  ['http://host/debian/current/dists/stable?a#b', 'http://host/debian/current/'],
  ['http://host/current/debian/current/', 'http://host/current/debian/current/'],
  ['https://host:8443', 'https://host:8443/current/'],
  ['http://host//a%20b//%63urrent/', 'http://host/a%20b/current/'],
])('%s is the mirror whose current is %s', ([url, current]) => {
  expect(currentIn(url ?? '')).toBe(current);
});

test('a user in a URL is kept apart', () => {
  const { base, authorization } = parseMirrorUrl('http://me:p%40ss@host/debian/');
  expect(base.href).toBe('http://host/debian/');
  expect(authorization).toBe(`Basic ${Buffer.from('me:p@ss').toString('base64')}`);
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
  '/debian/current/a',
])('%s leads elsewhere', (url) => {
  expect(below(current, url)).toBeUndefined();
});

test('what leads below a directory is what the URL parser puts there', () => {
  const part = fc.constantFrom('debian', 'current', '.', '..', '', '%2e', 'a', 'current.json');
  fc.assert(
    fc.property(fc.array(part, { maxLength: 8 }), (parts) => {
      const url = `http://host/${parts.join('/')}`;
      const path = new URL(url).pathname.replaceAll(/\/+/g, '/');
      expect(below(current, url) !== undefined).toBe(path.startsWith('/debian/current/'));
    }),
  );
});
