import { describe, expect, test } from 'vitest';
import type { ServedMirror } from '../../../src/http/pins/served-mirror.ts';
import { routeOf } from '../../../src/http/server/routes.ts';

const at = (prefix: string, content = `${prefix}current/`) =>
  ({ name: prefix, prefix, content }) as ServedMirror;
const [debian, epel, whole] = [at('/debian/'), at('/fedora/epel/'), at('/')];

/** The route in words. */
function shown(target: string, mirrors = [epel, debian]): string {
  const route = routeOf(target, mirrors);
  const within = 'within' in route ? [route.within.kind, ...namesOf(route.within)] : [];
  const mirror = 'mirror' in route ? [route.mirror.prefix] : [];
  return [route.kind, ...mirror, ...namesOf(route), ...within].join(' ');
}

function namesOf(route: object): string[] {
  return ['id', 'token', 'channel', 'name', 'path'].flatMap((key) =>
    key in route ? [JSON.stringify(String(route[key as keyof typeof route]))] : [],
  );
}

test.for([
  ['/debian/current/dists/sid/InRelease', 'current /debian/ "dists/sid/InRelease"'],
  ['/debian/current/', 'current /debian/ ""'],
  ['/debian/current', 'slash'],
  ['/debian/current/pool/', 'current /debian/ "pool/"'],
  ['/fedora/epel/current/a', 'current /fedora/epel/ "a"'],
  ['/debian/snapshots/20261127T010203Z/a', 'snapshot /debian/ "20261127T010203Z" "a"'],
  ['/debian/snapshots/20261127T010203Z', 'slash'],
  ['/debian/snapshots/', 'snapshots /debian/'],
  ['/debian/current.json', 'current.json /debian/'],
  ['/debian/current.json/', 'nothing'],
  ['/debian/', 'base /debian/'],
  ['/debian', 'slash'],
  ['/debian/pins', 'pins /debian/'],
  ['/debian/pins/T', 'pin /debian/ "T"'],
  ['/debian/pins/T/', 'pinned /debian/ "T" base'],
  ['/debian/pins/T/current/a/b', 'pinned /debian/ "T" current "a/b"'],
  ['/debian/pins/T/current.json', 'pinned /debian/ "T" current.json'],
  ['/debian/pins/T/snapshots/1/a', 'pinned /debian/ "T" snapshot "1" "a"'],
  ['/debian/production/pool/a', 'channel /debian/ "production" "pool/a"'],
  ['/debian/production/', 'channel /debian/ "production" ""'],
  ['/debian/production', 'channel without slash /debian/ "production"'],
  ['/debian/production.json', 'channel.json /debian/ "production"'],
  ['/debian/pins/T/production/a', 'pinned /debian/ "T" nothing'],
  ['/debian/previous/a', 'nothing'],
  ['/debian/Nothing', 'nothing'],
  ['/-/healthz', 'own "healthz"'],
  ['/', 'own ""'],
  ['/metrics', 'own "metrics"'],
] as const)('%s means %s', ([target, route]) => {
  expect(shown(target)).toBe(route);
});

test('a mirror at / leaves only /-/ to the server', () => {
  expect(shown('/current/a', [debian, whole])).toBe('current / "a"');
  expect(shown('/debian/current/a', [debian, whole])).toBe('current /debian/ "a"');
  expect(shown('/-/metrics', [debian, whole])).toBe('own "metrics"');
  expect(shown('/metrics', [debian, whole])).toBe('channel without slash / "metrics"');
  expect(shown('/', [debian, whole])).toBe('base /');
});

test('a mirror may have nothing but what is current below its prefix', () => {
  const plain = at('/-/mirrors/linux/', '/linux/');
  expect(shown('/linux/dists/x', [plain])).toBe('current /-/mirrors/linux/ "dists/x"');
  expect(shown('/linux/current.json', [plain])).toBe('current /-/mirrors/linux/ "current.json"');
  expect(shown('/linux/', [plain])).toBe('current /-/mirrors/linux/ ""');
  expect(shown('/linux', [plain])).toBe('slash');
  expect(shown('/-/mirrors/linux/pins', [plain])).toBe('pins /-/mirrors/linux/');
  expect(shown('/-/mirrors/linux/snapshots/1/a', [plain])).toBe(
    'snapshot /-/mirrors/linux/ "1" "a"',
  );
  expect(shown('/-/metrics', [plain])).toBe('own "metrics"');
  const top = at('/-/mirrors/linux/', '/');
  expect(shown('/dists/x', [top])).toBe('current /-/mirrors/linux/ "dists/x"');
  expect(shown('/metrics', [top])).toBe('current /-/mirrors/linux/ "metrics"');
  expect(shown('/-/metrics', [top])).toBe('own "metrics"');
});

describe('a path', () => {
  test.for([
    ['/debian/current/a%20b%2Bc', 'a b+c'],
    ['/debian/current/a+b~c', 'a+b~c'],
    ['/debian/current/%40types%2fnode', '@types/node'],
    ['/debian//current///a//b', 'a/b'],
    ['/debian/./current/./Packages', 'Packages'],
    ['/debian/current/pool/.', 'pool/'],
    ['/debian/current/a?x=/../..', 'a'],
    ['/debian/current/a#b', 'a'],
    ['/debian/current/%252e%252e/a', '%2e%2e/a'],
    ['http://mirror.example.org/debian/current/a', 'a'],
    ['HTTP://mirror.example.org:80/debian/current/a', 'a'],
  ] as const)('%s names %j', ([target, name]) => {
    expect(shown(target)).toBe(`current /debian/ ${JSON.stringify(name)}`);
  });

  test('may have any bytes', () => {
    const route = routeOf('/debian/current/%ff%c3%a4\u00e9', [debian]);
    expect(route).toMatchObject({ name: Buffer.from([0xff, 0xc3, 0xa4, 0xe9]) });
  });

  test.for([
    '/debian/current/../../etc/passwd',
    '/debian/current/%2e%2e/%2e%2e/etc/passwd',
    '/debian/current/..%2f..%2fetc/passwd',
    '/debian/current/a/..',
    '/debian/current/a%00b',
    '/debian/current/a%2',
    '/debian/current/a%zz',
    'debian/current/a',
    '*',
  ])('%s is refused', (target) => {
    expect(shown(target)).toBe('invalid');
  });
});
