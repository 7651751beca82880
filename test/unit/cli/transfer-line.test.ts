import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { TransferMeter, transferLine } from '../../../src/cli/transfer-line.ts';

const state = {
  bytes: 1_200_000_000,
  totalBytes: 3_400_000_000,
  files: 77,
  totalFiles: 300,
  rate: 12_300_000,
  idleMs: 0,
};

describe('a transfer is described', () => {
  test.each([
    [18, '35 % | 2m 59s left'],
    [40, '35 % | 1.2 GB of 3.4 GB | 2m 59s left'],
    [59, '35 % | 1.2 GB of 3.4 GB | 12.3 MB/s | 2m 59s left'],
    [79, '███░░░░░░ 35 % | 1.2 GB of 3.4 GB | 77/300 files | 12.3 MB/s | 2m 59s left'],
  ])('in %i columns, the least important part left out first', (room, line) => {
    expect(transferLine(state, room)).toBe(line);
  });

  test('as stalled when nothing has come for a while', () => {
    expect(transferLine({ ...state, rate: 0, idleMs: 20_000 }, 59)).toBe(
      '35 % | 1.2 GB of 3.4 GB | 0 B/s | no data for 20s',
    );
  });

  test('without the share and the total when the total is not known', () => {
    expect(transferLine({ ...state, totalBytes: 0, totalFiles: 0 }, 60)).toBe('1.2 GB | 12.3 MB/s');
  });

  test('as complete, without a total or an end, when more has come than was expected', () => {
    expect(transferLine({ ...state, bytes: 4_000_000_000 }, 59)).toBe(
      '100 % | 4 GB | 77/300 files | 12.3 MB/s',
    );
  });

  test('never wider than there is room, with figures of any size', () => {
    const size = fc.oneof(fc.constant(0), fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }));
    const states = fc.record({
      bytes: size,
      totalBytes: size,
      files: size,
      totalFiles: size,
      rate: size,
      idleMs: size,
    });
    fc.assert(
      fc.property(states, fc.integer({ min: 1, max: 300 }), (any, room) => {
        const line = transferLine(any, room);
        expect(line.length).toBeLessThanOrEqual(room);
        expect(line).not.toMatch(/NULL|NaN|Infinity|undefined/);
      }),
    );
  });
});

describe('the rate of a transfer', () => {
  test('is that of the last seconds, and falls to 0 when nothing comes', () => {
    const meter = new TransferMeter(0);
    for (let second = 1; second <= 30; second += 1) meter.report(second * 1000, second * 1000);
    expect(meter.rate(30_000)).toBe(1000);
    for (let second = 31; second <= 50; second += 1) {
      meter.report(30_000 + (second - 30) * 5000, second * 1000);
    }
    expect(meter.rate(50_000)).toBe(5000);
    expect(meter.rate(55_000)).toBeLessThan(5000);
    expect(meter.rate(61_000)).toBe(0);
    expect(meter.idleMs(61_000)).toBe(11_000);
  });

  test('is never negative when another run of rsync counts from 0 again', () => {
    const meter = new TransferMeter(0);
    meter.report(50_000, 1000);
    meter.report(100, 2000);
    expect(meter.rate(3000)).toBe(50);
  });

  test('is not that of the first instant, in which a whole buffer comes', () => {
    const meter = new TransferMeter(0);
    meter.report(32_000, 1);
    expect(meter.rate(2)).toBe(32_000);
  });
});
