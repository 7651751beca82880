import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  aptLocation,
  nearestSnapshot,
  noSnapshotNear,
} from '../../../src/http/server/apt-snapshots.ts';
import { timestampId } from '../../../src/mirror/snapshot-id.ts';

const ids = [
  '20261120T040000Z',
  '20261122T040000Z-10',
  'before-the-upgrade',
  '20261122T040000Z-2',
  '20261122T040000Z',
  '20261101T040000Z',
];

describe('the snapshot for an id of apt', () => {
  test.each([
    ['is the one of that name', '20261120T040000Z', '20261120T040000Z'],
    ['is the one that a user has given that name', 'before-the-upgrade', 'before-the-upgrade'],
    ['is the last one before', '20261121T235959Z', '20261120T040000Z'],
    ['is the last of those of one second', '20261123T000000Z', '20261122T040000Z-10'],
    [
      'is the one of that name among those of one second',
      '20261122T040000Z-2',
      '20261122T040000Z-2',
    ],
    ['is the one that began in that second', '20261122T040000Z', '20261122T040000Z'],
    ['is the last one before a day', '20261120', '20261101T040000Z'],
    ['is none if all are later', '20261031T000000Z', undefined],
    ['is none for what is no time', 'yesterday', undefined],
    ['is none for another name', 'before', undefined],
    ['is none for a time of another form', '2026-11-23T00:00:00Z', undefined],
    ['is none for a path', '../20261120T040000Z', undefined],
  ])('%s: %s', (_, wanted, found) => {
    expect(nearestSnapshot(ids, wanted)).toBe(found);
  });

  test('is none of a mirror without snapshots', () => {
    expect(nearestSnapshot([], '20261120T040000Z')).toBeUndefined();
  });

  test('is never later, and no other is nearer', () => {
    const time = fc.date({
      min: new Date('2026-01-01'),
      max: new Date('2026-12-31'),
      noInvalidDate: true,
    });
    fc.assert(
      fc.property(fc.uniqueArray(time.map(timestampId)), time.map(timestampId), (taken, wanted) => {
        const found = nearestSnapshot(taken, wanted);
        const earlier = taken.filter((id) => id <= wanted).sort();
        expect(found).toBe(earlier.at(-1));
      }),
    );
  });
});

describe('an id that leads to no snapshot', () => {
  test('names the oldest if it is a time', () => {
    expect(noSnapshotNear(ids, '20261031T000000Z', '/snapshots/')).toBe(
      'No snapshot that began by 20261031T000000Z is there. The oldest is 20261101T040000Z: see /snapshots/',
    );
  });

  test.each([
    ['is another name', ids, 'yesterday'],
    ['is a time of a mirror whose snapshots have names', ['one'], '20261031T000000Z'],
  ])('names the place of all snapshots if it %s', (_, there, wanted) => {
    expect(noSnapshotNear(there, wanted, '/snapshots/')).toBe(
      `There is no snapshot "${wanted}". See /snapshots/`,
    );
  });
});

describe('a path of apt on a server with several archives', () => {
  const mirrors = [
    { prefix: '/debian/', content: '/debian/current/' },
    { prefix: '/debian/security/', content: '/debian/security/current/' },
    { prefix: '/-/mirrors/linux/', content: '/linux/' },
    { prefix: '/', content: '/current/' },
  ];

  test.each([
    ['/-/apt/debian/current/20261121T000000Z/a%20b', '/debian/snapshots/20261121T000000Z/a%20b'],
    ['/-/apt/debian/current/20261121T000000Z/', '/debian/snapshots/20261121T000000Z/'],
    [
      '/-/apt/debian/security/current/20261121T000000Z/pool/a',
      '/debian/security/snapshots/20261121T000000Z/pool/a',
    ],
    ['/-/apt/linux/20261121T000000Z/a', '/-/mirrors/linux/snapshots/20261121T000000Z/a'],
    ['/-/apt/current/20261121T000000Z/a', '/snapshots/20261121T000000Z/a'],
    ['/-/apt/ubuntu/current/20261121T000000Z/dists/stable/InRelease', undefined],
    [
      '/-/apt/linux/ubuntu/20261121T000000Z-2/dists/a',
      '/-/mirrors/linux/snapshots/20261121T000000Z-2/ubuntu/dists/a',
    ],
    ['/-/apt/linux/named/dists/a', '/-/mirrors/linux/snapshots/named/dists/a'],
    ['/-/apt/debian/current/', undefined],
  ])('%s leads to %s', (path, location) => {
    expect(aptLocation(path, mirrors)).toBe(location);
  });
});
