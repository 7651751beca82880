import { describe, expect, test } from 'vitest';
import {
  addedText,
  type PinRecords,
  parseRecords,
  type RunRecord,
  recordsText,
} from '../../../src/http/pins/pin-records.ts';
import { stateBase } from '../../../src/http/server/state-directory.ts';

const RUN: RunRecord = {
  address: '192.0.2.1',
  agent: 'a\n"b" \u00ff',
  id: '20261127T010203Z',
  startedAt: 100,
  lastAt: 200,
  keptUntil: 300,
  entries: [['dists/x/InRelease', 100]],
};
const RECORDS = {
  identities: { kept: '1.2.3' },
  runs: [RUN],
  kept: [{ id: 'kept', until: 400 }],
  strictPins: [{ token: 'x~y', address: 'unix', startedAt: 1, endsAt: 2, lastsMs: 3 }],
};
const HEADER = { bootId: 'boot', at: 60_000, isEnded: true };

const written = (header: Partial<typeof HEADER> = {}, records: PinRecords = RECORDS): string[] => [
  ...recordsText({ ...HEADER, ...header }, [
    ['/srv/debian=/debian/current/', records],
    ['/srv/empty=/', { identities: undefined, runs: [], kept: [], strictPins: [] }],
  ]),
];

const text = (header: Partial<typeof HEADER> = {}) => written(header).join('');

describe('the records of a server', () => {
  test('are read as they were written', () => {
    expect([...(parseRecords(text(), 'boot', 60_000) ?? [])]).toEqual([
      ['/srv/debian=/debian/current/', RECORDS],
      ['/srv/empty=/', { identities: undefined, runs: [], kept: [], strictPins: [] }],
    ]);
  });

  test('are read with what was added since, of which half a line may be there', () => {
    const name = '/srv/debian=/debian/current/';
    const run = { ...RUN, id: 'next' };
    const strictPin = { token: 'z~y', address: 'unix', startedAt: 1, endsAt: 2, lastsMs: 3 };
    const added = [
      addedText(name, RECORDS.identities, { run }),
      addedText(name, { next: '4.5.6' }, { strictPin }),
      '{"mirr',
    ];
    const records = parseRecords(`${text()}${added.join('')}`, 'boot', 60_000);
    const strictPins = [...RECORDS.strictPins, strictPin];
    expect(records?.get(name)).toEqual({
      identities: { next: '4.5.6' },
      runs: [RUN, run],
      kept: RECORDS.kept,
      strictPins,
    });
  });

  test('are for nobody after another boot, nor where the clock runs from another start', () => {
    expect(parseRecords(text(), 'another', 60_000)).toBeUndefined();
    expect(parseRecords(text(), 'boot', 59_000)).toBeUndefined();
  });

  test.each([
    ['for ten seconds at most', 90_000, 70_000],
    ['until now', 60_500, 60_500],
  ])('of a server that was killed count each client as busy %s', (_, now, lastAt) => {
    const records = parseRecords(text({ isEnded: false }), 'boot', now)
      ?.values()
      .next().value;
    expect(records).toEqual({ ...RECORDS, runs: [{ ...RUN, lastAt }] });
  });

  test('are made in small pieces', () => {
    const runs = Array.from({ length: 1_000 }, () => RUN);
    expect(written({}, { ...RECORDS, runs }).length).toBeGreaterThan(3);
  });

  test('lack the indexes of runs beyond a bound', () => {
    const entries = Array.from({ length: 3_000 }, (_, at): [string, number] => [
      `${'x'.repeat(999)}${at}`,
      1,
    ]);
    const records = { ...RECORDS, runs: [RUN, { ...RUN, entries }, { ...RUN, entries }] };
    const all = written({}, records).join('');
    const runs = [...(parseRecords(all, 'boot', 60_000)?.values().next().value?.runs ?? [])];
    expect(runs.map((run) => run.entries.length)).toEqual([1, 3_000, 0]);
  });

  const [header = '', mirror = '', run = ''] = text().split('\n');
  test.each([
    ['nothing', ''],
    ['something else', 'hello\n'],
    ['JSON that is no object', '7\n'],
    ['another version', `${header.replace('"format":1', '"format":2')}\n`],
    ['a run of no mirror', `${header}\n${run}\n`],
    ['half a line before others', `${header}\n${mirror}\n${run.slice(0, -9)}\n${run}\n`],
    ['a run without a time', `${header}\n${mirror}\n${run.replace('"lastAt":200', '"x":1')}\n`],
    ['entries that are none', `${header}\n${mirror}\n${run.replace('",100]', '"]')}\n`],
    ['an unknown kind of line', `${header}\n${mirror}\n{"other":1}\n`],
  ])('are refused when they are %s', (_, all) => {
    expect(() => parseRecords(all, 'boot', 60_000)).toThrow('no record of this version');
  });
});

describe('the place for what outlives a server', () => {
  test.each([
    [{ STATE_DIRECTORY: '/var/lib/a:/var/lib/b', RUNTIME_DIRECTORY: '/run/a' }, true, '/var/lib/a'],
    [{ RUNTIME_DIRECTORY: '/run/a', XDG_RUNTIME_DIR: '/run/user/1' }, false, '/run/a'],
    [{ XDG_RUNTIME_DIR: '/run/user/1' }, true, '/run/mirrorlatch'],
    [{ XDG_RUNTIME_DIR: '/run/user/1' }, false, '/run/user/1/mirrorlatch'],
    [{ STATE_DIRECTORY: '', XDG_RUNTIME_DIR: '' }, false, undefined],
  ])('with %j, of root: %s, is %s', (env, isRoot, place) => {
    expect(stateBase(env, isRoot)).toBe(place);
  });
});
