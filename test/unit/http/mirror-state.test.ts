import { expect, test } from 'vitest';
import { health, type MirrorState, stateOf } from '../../../src/http/status/mirror-state.ts';
import type { GateReport, MirrorReport } from '../../../src/http/status/status-report.ts';
import {
  before,
  failedOutcome,
  HOUR,
  sampleMirror,
  sampleReport,
} from '../../support/http/sample-report.ts';

const HOLD = { reason: 'bad release', by: 'root', since: before(HOUR) };
const CURRENT = {
  ...{ id: 'current', since: null, publishedAt: null, files: null, bytes: null },
  ...{ leftOut: [], writableByAll: null },
};
const gate = (state: GateReport['state']) => ({ state, why: 'is not open', isClosedByHand: false });

/** What is true of a mirror, from the worst to the best, and why it is not healthy. */
const CASES: readonly [MirrorState, Partial<MirrorReport>, string | undefined][] = [
  ['unreadable', { unreadable: 'its disk is gone' }, 'debian: cannot be read: its disk is gone'],
  ['empty', { current: null }, 'debian: nothing has been published yet'],
  ['empty', { gate: gate('new') }, 'debian: nothing has been published yet'],
  ['dirty', { gate: gate('dirty') }, 'debian: the tree is not open'],
  ['closed', { gate: gate('closed') }, 'debian: the tree is not open'],
  [
    'stale',
    { lastSuccessAt: before(31 * HOUR) },
    'debian: the last successful sync was 31 hours ago',
  ],
  ['stale', { lastSuccessAt: null }, 'debian: no sync has succeeded yet'],
  ['damaged', { current: { ...CURRENT, damaged: 1 } }, undefined],
  ['failed', { lastOutcome: failedOutcome() }, undefined],
  ['attention', { left: ['a sync that did not finish left a tree'] }, undefined],
  ['attention', { damagedHistoryLines: 1 }, undefined],
  ['attention', { damaged: [{ id: 'older', entries: 1 }] }, undefined],
  ['held', { hold: HOLD }, undefined],
  ['fresh', {}, undefined],
];

test('a mirror is as the worst that is true of it', () => {
  for (const [at, [state, facts]] of CASES.entries()) {
    const better = CASES.slice(at + 1).filter(([other]) => other !== state);
    const all = Object.assign({}, ...better.map(([, more]) => more).reverse());
    for (const mirror of [sampleMirror(facts), sampleMirror({ ...all, ...facts })]) {
      expect(stateOf(mirror, sampleReport([mirror])), JSON.stringify(facts)).toBe(state);
    }
  }
});

test('it is not healthy when readers do not get what they should', () => {
  for (const [, facts, why] of CASES) {
    const report = sampleReport([sampleMirror({ name: 'other' }), sampleMirror(facts)]);
    expect(health(report)).toEqual(why === undefined ? [] : [why]);
  }
});

test('a tree that another program keeps is served, and of what age it is nobody knows', () => {
  const mirror = sampleMirror({ kind: 'foreign', lastSuccessAt: null });
  expect(stateOf(mirror, sampleReport([mirror]))).toBe('served');
  expect(health(sampleReport([mirror]))).toEqual([]);
});

test('without a limit nothing is stale, and what was synced is not called fresh', () => {
  const mirror = sampleMirror({ lastSuccessAt: before(10_000 * HOUR) });
  const report = sampleReport([mirror], { maxAgeMs: null });
  expect(stateOf(mirror, report)).toBe('synced');
  expect(health(report)).toEqual([]);
  expect(health(report, HOUR)).toHaveLength(1);
});

test('a success that lies in the future is not believed', () => {
  const mirror = sampleMirror({ lastSuccessAt: before(-HOUR) });
  expect(health(sampleReport([mirror]))).toEqual([expect.stringContaining('a clock was wrong')]);
});
