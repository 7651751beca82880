import type { Change, LastOutcome, Outcome } from '../../../src/http/status/history-digest.ts';
import type { MirrorReport, StatusReport } from '../../../src/http/status/status-report.ts';

/** When sample reports are made; ms since the epoch. */
const NOW = Date.UTC(2026, 10, 27, 11, 45, 3);
export const HOUR = 3_600_000;

/** So long before that. */
export function before(ms: number): string {
  return new Date(NOW - ms).toISOString();
}

export function sampleReport(
  mirrors: readonly MirrorReport[],
  more: Partial<StatusReport> = {},
): StatusReport {
  const madeAt = new Date(NOW).toISOString();
  return {
    format: 1,
    host: 'mirror.example.org',
    madeAt,
    maxAgeMs: 26 * HOUR,
    mirrors: [...mirrors],
    ...more,
  };
}

/** A large mirror that is fresh, and read by many. */
export function sampleMirror(more: Partial<MirrorReport> = {}): MirrorReport {
  const id = '20261127T110203Z';
  const outcomes = sampleOutcomes();
  return {
    name: 'debian',
    prefix: '/debian/',
    content: '/debian/current/',
    kind: 'snapshots',
    unreadable: null,
    source: 'rsync://mirror.example.net/debian/',
    current: {
      id,
      since: before(0.6 * HOUR),
      publishedAt: before(0.6 * HOUR),
      files: 1_204_511,
      bytes: 2_310_000_000_000,
      leftOut: [{ why: 'unsafe-link', count: 2, names: ['doc/link', 'project/away'] }],
      writableByAll: null,
      damaged: null,
    },
    previous: '20261127T050203Z',
    snapshots: [
      [0.6, id, 3, 214],
      [6.7, '20261127T050203Z', 3, 12],
      [30, '20261126T050203Z', 0, 0],
    ].map(([hours, name, leases, pins]) => ({
      id: String(name),
      publishedAt: before(Number(hours) * HOUR),
      files: 1_204_511,
      bytes: 2_310_000_000_000,
      leases: Number(leases),
      pins: Number(pins),
    })),
    work: null,
    gate: null,
    hold: null,
    lastSuccessAt: before(0.2 * HOUR),
    lastFullLookAt: before(0.25 * HOUR),
    lastOutcome: {
      event: 'unchanged',
      at: before(0.2 * HOUR),
      seconds: 41,
      newBytes: 0,
      id,
      code: null,
      message: null,
      look: null,
    },
    failures: 0,
    outcomes,
    changes: sampleChanges(),
    lastDay: {
      publications: 4,
      newFiles: 12_803,
      deletedFiles: 1_022,
      newBytes: 41_200_000_000,
    },
    maxShrinkPercent: 50,
    pins: { pins: 221, strictPins: 5, oldestSeconds: 1_380 },
    leases: 6,
    left: [],
    unseen: [],
    failureLog: null,
    damagedHistoryLines: 0,
    damaged: [],
    ...more,
  };
}

/** Syncs of a month of days, of which two failed. */
function sampleOutcomes(): Outcome[] {
  return Array.from({ length: 30 }, (_, at): Outcome => {
    const time = before((30 - at) * 6 * HOUR);
    if (at === 11 || at === 12) {
      return { event: 'failed', at: time, seconds: null, newBytes: null };
    }
    const wave = 1 + Math.sin(at * 1.7) + (at % 5);
    if (at % 3 === 1) return { event: 'unchanged', at: time, seconds: 30 + wave * 9, newBytes: 0 };
    return { event: 'published', at: time, seconds: 120 + wave * 60, newBytes: wave * 3.1e9 };
  });
}

function sampleChanges(): Change[] {
  return [0.6, 6.7, 12.7, 18.7, 30].map((hours, at) => ({
    event: 'published',
    id: `2026112${7 - Math.floor(at / 3)}T${110203 - at}Z`,
    at: before(hours * HOUR),
    newFiles: 3_201 - at * 411,
    newBytes: 10_300_000_000 - at * 1.9e9,
    deletedFiles: at * 88,
    deletedShare: (at * 88) / 1_204_511,
  }));
}

/** A sync that failed last night. */
export function failedOutcome(more: Partial<LastOutcome> = {}): LastOutcome {
  return {
    event: 'failed',
    at: before(9 * HOUR),
    seconds: null,
    newBytes: null,
    id: '20261127T020000Z',
    code: 'SHRUNKEN_SOURCE',
    message:
      'the source has lost 1,102,331 of 1,204,511 files (91 %), more than 50 % at once; nothing was published',
    look: null,
    ...more,
  };
}

/** Mirrors that are not as all is well, by their names. */
export function awkwardMirrors() {
  const fresh = sampleMirror();
  const work = {
    state: 'running',
    command: 'sync',
    user: 'mirror',
    host: 'mirror1',
    pid: 4711,
    since: before(0.4 * HOUR),
    phase: 'transferring',
    done: 0.43,
  } as const;
  const nothing = {
    current: null,
    previous: null,
    snapshots: [],
    outcomes: [],
    changes: [],
    lastOutcome: null,
    lastSuccessAt: null,
    lastFullLookAt: null,
    lastDay: null,
    leases: 0,
  };
  const named = (name: string, more: Partial<MirrorReport>) =>
    sampleMirror({ name, prefix: `/${name}/`, ...more });
  return {
    stale: named('stale', {
      lastSuccessAt: before(31 * HOUR),
      lastOutcome: failedOutcome(),
      failureLog: '/srv/mirror/stale/.mirrorlatch/logs/20261127T020000Z.log',
      failures: 4,
    }),
    failed: named('failed', { lastOutcome: failedOutcome(), failures: 1 }),
    syncing: named('syncing', { work }),
    closed: named('closed', {
      kind: 'in-place',
      current: { ...(fresh.current as NonNullable<MirrorReport['current']>), id: 'live' },
      previous: null,
      snapshots: [],
      gate: {
        why: 'has been closed by hand since 2026-11-27T10:45:03Z: a new disk',
        state: 'closed',
        isClosedByHand: true,
      },
    }),
    empty: named('empty', nothing),
    foreign: named('foreign', {
      ...nothing,
      kind: 'foreign',
      source: null,
      leases: null,
      maxShrinkPercent: null,
      current: {
        id: 'release-42',
        since: before(50 * HOUR),
        publishedAt: null,
        files: null,
        bytes: null,
        leftOut: [],
        writableByAll: null,
        damaged: null,
      },
    }),
    held: named('held', { hold: { reason: 'bad release', by: 'root', since: before(HOUR) } }),
    damaged: named('damaged', {
      left: ['a sync that did not finish left /srv/mirror/x/.mirrorlatch/staging/20261126T000000Z'],
      damagedHistoryLines: 3,
      work: { ...work, state: 'silent' },
    }),
  };
}
