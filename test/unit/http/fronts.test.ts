import { expect, test } from 'vitest';
import { apacheConfig } from '../../../src/http/front/apache-config.ts';
import type { Front, FrontedMirror } from '../../../src/http/front/front.ts';
import { nginxConfig } from '../../../src/http/front/nginx-config.ts';

const debian: FrontedMirror = {
  name: 'debian',
  prefix: '/debian/',
  content: '/debian/current/',
  root: '/srv/mirror/debian',
  trees: '/srv/mirror/debian/snapshots',
  hasSnapshots: true,
  channels: [],
};
const front: Front = {
  mirrors: [debian],
  listen: 'unix:/run/mirrorlatch/http.sock',
  keepSeconds: 60,
  quietSeconds: 10,
  start: 'mirrorlatch serve /srv/mirror/debian --listen unix:/run/mirrorlatch/http.sock',
};

const inApache = (changed: Front): string => apacheConfig(changed, 'mirrorlatch serve');

test.each([
  ['nginx', nginxConfig],
  ['Apache', inApache],
])('the configuration for %s has places for each mirror, and one for the decider', (_, printed) => {
  const files = {
    name: 'files',
    prefix: '/',
    content: '/current/',
    root: '/srv/files',
    trees: '/srv/files/gate',
    hasSnapshots: false,
    channels: [],
  };
  const text = printed({ ...front, mirrors: [debian, files] });
  const places = text.matchAll(/^ +(?:location(?: [=^]~?)?|<LocationMatch) "\^?([^"]*)"/gm);
  expect([...places].map(([, place]) => place)).toEqual(
    expect.arrayContaining(['/debian/current/', '/debian/snapshots/', '/current/']),
  );
  expect(text.match(/unix:[^"|]*/g)).toContain('unix:/run/mirrorlatch/http.sock');
  expect(text).toContain('/srv/files/current');
});

test.each([
  ['nginx', nginxConfig, '"127.0.0.1:8080"', '"[::1]:8080"'],
  ['Apache', inApache, 'http://127.0.0.1:8080$', 'http://[::1]:8080$'],
])('%s connects to a server that listens on all addresses by loopback', (_, printed, ...hosts) => {
  expect(printed({ ...front, listen: '0.0.0.0:8080' })).toContain(hosts[0]);
  expect(printed({ ...front, listen: ':8080' })).toContain(hosts[0]);
  expect(printed({ ...front, listen: '[::]:8080' })).toContain(hosts[1]);
});

test.each([
  ['nginx', nginxConfig],
  ['Apache', inApache],
])('a path that %s would take for a variable is refused', (server, printed) => {
  for (const root of ['/srv/$host', '/srv/"', '/srv/a\nb', '/srv/a\\b']) {
    expect(() => printed({ ...front, mirrors: [{ ...debian, root, trees: root }] })).toThrow(
      `${server} cannot name`,
    );
  }
});

test('names that Apache would split are encoded in its lines for the program', () => {
  const odd = { ...debian, name: 'a b,c%', root: '/srv/a b,c' };
  const text = inApache({ ...front, mirrors: [odd] });
  expect(text).toContain('${mirrorlatch:a\\%20b\\%2Cc\\%25 /srv/a\\%20b\\%2Cc/current ');
});

test.each([
  ['nginx', nginxConfig],
  ['Apache', inApache],
])(
  'the configuration for %s has a place for each channel, below that of its mirror',
  (_, printed) => {
    const elsewhere = { prefix: '/-/mirrors/debian/', content: '/debian/' };
    for (const places of [{}, elsewhere]) {
      const mirror = { ...debian, ...places, channels: ['production'] };
      const text = printed({ ...front, mirrors: [mirror] });
      expect(text).toMatch(
        /(location \^~|<LocationMatch) "\^?(\/-\/mirrors)?\/debian\/production\/"/,
      );
      expect(text).toContain('/srv/mirror/debian/production');
      expect(text).toMatch(/x-mirrorlatch-channel "production"/);
    }
  },
);
