import { describe, expect, test } from 'vitest';
import { answersTo } from '../../../src/cli/explanation/explanation.ts';
import type { Schedule } from '../../../src/cli/schedule-here.ts';
import type { LockState } from '../../../src/mirror/locks/lock-state.ts';
import {
  DEFAULT_CHECK,
  DEFAULT_LOCK,
  DEFAULT_PROBE,
  DEFAULT_RETENTION,
} from '../../../src/mirror/settings/policy.ts';
import type { LockOwner } from '../../../src/mirror/settings/records.ts';
import type { Facts } from '../../../src/operations/explain.ts';
import type { SnapshotInfo } from '../../../src/operations/list.ts';
import type { MirrorStatus } from '../../../src/operations/status.ts';

const HOUR = 3_600_000;
const ago = (ms: number): string => new Date(Date.now() - ms).toISOString();
const ROOT = "/srv/mirror/bob's";
const QUOTED = String.raw`'/srv/mirror/bob'\''s'`;

const owner: LockOwner = {
  host: { hostname: 'one', machineId: 'm', bootId: 'b' },
  pid: 4711,
  startTicks: '1',
  user: 'mirror',
  command: 'sync',
  since: '2026-11-22T03:17:00.000Z',
};

function snapshot(id: string, more: Partial<SnapshotInfo> = {}): SnapshotInfo {
  return {
    id,
    path: `${ROOT}/snapshots/${id}`,
    isCurrent: false,
    isPrevious: false,
    channels: [],
    tags: [],
    pin: null,
    publishedAt: ago(2 * HOUR),
    files: 2,
    bytes: 20,
    newBytes: 20,
    leftOut: [],
    verified: null,
    checked: null,
    writableByAll: null,
    readers: [],
    leases: 0,
    ...more,
  };
}

const current = snapshot('new', { isCurrent: true });

function statusWith(more: Partial<MirrorStatus> = {}): MirrorStatus {
  return {
    root: ROOT,
    mode: 'snapshots',
    source: 'rsync://mirror.example.org/debian/',
    filledBy: null,
    rsyncOptions: [],
    retention: DEFAULT_RETENTION,
    shrink: { maxPercent: 30, maxPercentIn: {}, isAllowed: false },
    probe: DEFAULT_PROBE,
    check: DEFAULT_CHECK,
    current,
    previous: null,
    snapshots: [current],
    lock: { state: { kind: 'free' }, message: '' },
    findings: [],
    unseen: [],
    channels: [],
    unreadableMarks: null,
    hookFailures: [],
    lastSync: null,
    syncedAt: ago(HOUR),
    hold: null,
    served: null,
    isWhole: true,
    isFresh: null,
    closedMode: null,
    damagedHistoryLines: [],
    isInsideGuard: false,
    problems: [],
    isHealthy: true,
    ...more,
  };
}

function factsWith(status: Partial<MirrorStatus>, more: Partial<Facts> = {}): Facts {
  return {
    status: statusWith(status),
    refusal: null,
    seesAll: false,
    staleAfterMs: DEFAULT_LOCK.staleAfterMs,
    remains: [],
    gate: null,
    failure: null,
    fullLookAt: ago(HOUR),
    pruning: { removed: [], failed: [], kept: [] },
    removedNext: [],
    graceUntil: new Map(),
    free: 1e9,
    asked: null,
    ...more,
  };
}

function answerTo(question: string, facts: Facts) {
  const found = answersTo(facts).find((one) => one.question.startsWith(question));
  if (found === undefined) throw new Error(`${question} was not answered`);
  return found;
}

const lockedBy = (state: LockState) =>
  answerTo('Why is it locked', factsWith({ lock: { state, message: '' } }));

test('a lock that is held names its holder, what it does, and how to follow it', () => {
  const progress = { phase: 'transferring', done: 0.437 };
  const processes = [{ pid: 4711, name: 'node' }];
  expect(lockedBy({ kind: 'held', owner, progress, processes })).toEqual({
    question: 'Why is it locked?',
    answer:
      'The sync by mirror (pid 4711 on one) has held it since 2026-11-22T03:17:00Z, and is now transferring (43 %). That process runs. Another command that writes ends with 75, or waits with --wait.',
    quoted: [],
    command: `mirrorlatch logs ${QUOTED} --follow`,
  });
});

test('a lock of another host says when it is taken over', () => {
  const foreign = (heartbeatAgeMs: number) =>
    lockedBy({ kind: 'foreign', heartbeatAgeMs, token: 't', owner, progress: undefined });
  expect(foreign(60_000).answer).toMatch(
    /heartbeat was 60 s ago, and it is taken over .* 10m .*, in 9m 0s\.$/,
  );
  expect(foreign(11 * 60_000).answer).toMatch(
    /longer than 10m, so the next command .* takes it over\.$/,
  );
  expect(foreign(0).command).toBe(`mirrorlatch sync ${QUOTED} --wait 20m`);
});

test('what a killed holder left running is named, with what ends it', () => {
  const processes = [
    { pid: 1, name: 'rsync' },
    { pid: 2, name: 'ssh' },
  ];
  expect(lockedBy({ kind: 'orphans', owner, processes })).toMatchObject({
    answer: expect.stringMatching(/was killed and left running: rsync \(pid 1\), ssh \(pid 2\)/),
    command: `mirrorlatch sync ${QUOTED} --wait 1m`,
  });
  const killed = { ...owner, command: 'lock' };
  expect(
    lockedBy({ kind: 'held', owner: undefined, progress: undefined, processes, killed }),
  ).toMatchObject({
    answer: expect.stringMatching(
      /^The lock by .* was killed .* What it started still runs: rsync/,
    ),
    command: 'kill 1 2',
  });
  expect(lockedBy({ kind: 'dead', token: 't', owner, progress: undefined })).toMatchObject({
    answer: expect.stringMatching(/ended without releasing it.* takes it over at once\.$/),
    command: `mirrorlatch unlock ${QUOTED}`,
  });
});

test('a holder that this user may not see is left to root', () => {
  const hidden: LockState = {
    kind: 'held',
    owner: undefined,
    progress: undefined,
    processes: [],
  };
  expect(lockedBy(hidden)).toMatchObject({
    answer: 'A process that this user cannot see holds it; root sees which.',
    command: `sudo mirrorlatch explain ${QUOTED}`,
  });
});

test('a free lock is no question', () => {
  const questions = answersTo(factsWith({})).map(({ question }) => question);
  expect(questions).toEqual(['Is it healthy?', 'How fresh is it?', 'What will the next sync do?']);
});

const nextSync = (status: Partial<MirrorStatus>, more: Partial<Facts> = {}) =>
  answerTo('What will the next sync do', factsWith(status, more));

test('the next sync looks at the stamps alone, unless it has to look at everything', () => {
  const probe = { ...DEFAULT_PROBE, paths: ['project/trace/x'] };
  expect(nextSync({ probe }).answer).toMatch(
    /^It looks no further while its stamps are the same \(project\/trace\/x\), for at most 1d\./,
  );
  expect(nextSync({ probe }, { fullLookAt: ago(30 * HOUR) }).answer).toMatch(
    /looks at all of rsync:.* because the last look at everything began 1d ago, and --probe-max-age is 1d\./,
  );
  expect(nextSync({ probe }, { fullLookAt: null }).answer).toMatch(/because no look at all of/);
  const findings = [{ kind: 'unfinished-tree', path: '/tree' }] as const;
  expect(nextSync({ probe, findings: [...findings] }).answer).toMatch(
    /the last sync did not finish/,
  );
  const busy = { ...DEFAULT_PROBE, busyWhen: ['.updating'] };
  expect(nextSync({ probe: busy }).answer).toMatch(
    /^It waits while the source has \.updating\. It looks at all/,
  );
});

test('a sync that will not work says so first, with the way out', () => {
  const hold = { reason: 'broken upstream', by: 'bob', since: ago(HOUR) };
  expect(nextSync({ hold })).toMatchObject({
    answer: expect.stringMatching(/^It ends with 75 .* held by bob since .*: broken upstream\.$/),
    command: `mirrorlatch rollback ${QUOTED} --release`,
  });
  const refusal = { message: 'it is read-only', hint: 'Mount it writable.' };
  expect(nextSync({}, { refusal }).answer).toBe(
    'It is refused: it is read-only. Mount it writable.',
  );
  const gate = { why: 'was closed', wayOut: null, isClosedByHand: true };
  expect(nextSync({ mode: 'in-place' }, { gate }).command).toBe(`mirrorlatch gate open ${QUOTED}`);
  expect(nextSync({ source: null }).answer).toMatch(/no source, so it is refused/);
});

test('the next sync tells what it goes on from, how much space there is, and what it removes', () => {
  const more = { remains: ['a sync left a tree'], removedNext: ['a', 'b', 'c', 'd'], free: 5e9 };
  const { answer } = nextSync({}, more);
  expect(answer).toMatch(/^A sync left a tree\. It looks at all/);
  expect(answer).toContain('The disk has 5 GB free; the last publication fetched 20 B.');
  expect(answer).toMatch(/After a publication it removes a, b, c and 1 more,/);
});

const timed: Schedule = {
  schedule: '03:17',
  after: undefined,
  isFilled: false,
  starter: { unit: 'mirrorlatch-sync@debian.timer', next: ago(-2 * HOUR - 1000) },
  jobs: [],
  install: 'mirrorlatch systemd debian --install',
};

test('a mirror of the configuration says what syncs it, when next, and when a sync last ran', () => {
  const lastSync = { event: 'unchanged', at: ago(HOUR), current: 'new' } as const;
  const told = (more: Partial<Schedule>, status: Partial<MirrorStatus> = { lastSync }) =>
    answersTo(factsWith(status), { ...timed, ...more }).find(
      ({ question }) => question === 'When is it synced?',
    );
  expect(told({})).toMatchObject({
    answer: expect.stringMatching(
      /^Its schedule is 03:17\. mirrorlatch-sync@debian\.timer is active, next in 2h \(\S+Z\)\. A sync last ran 1h ago, and found nothing new\.$/,
    ),
    command: null,
  });
  expect(told({ starter: undefined }, { lastSync: null })).toMatchObject({
    answer:
      'Its schedule is 03:17. No timer of systemd and no crontab that is seen here starts it. No sync has run yet.',
    command: 'mirrorlatch systemd debian --install',
  });
  const jobs = ['17 3 * * * root (/etc/cron.d/mirrors, line 2)'];
  expect(told({ starter: undefined, jobs })?.answer).toMatch(
    /\. Cron starts it: 17 3 \* \* \* root/,
  );
  expect(told({ schedule: 'never', starter: undefined })).toMatchObject({
    answer: expect.stringMatching(/^Its schedule is never, so nothing syncs it by itself\./),
    command: null,
  });
  const follower = { unit: 'mirrorlatch-follow@debian.service', next: null };
  expect(told({ after: 'main', starter: follower })?.answer).toMatch(
    /^It is synced after each publication of main\. mirrorlatch-follow@debian\.service is active\. A/,
  );
});

test('a kept snapshot has its rules, the end of its grace time and its readers, known and unseen', () => {
  const readers = [{ pid: 7, name: 'apt-get', user: 'bob', by: 'lease' as const }];
  const old = snapshot('old', { readers, leases: 2 });
  const reasons = ['is within its grace time', 'is held by a reader'];
  const facts = factsWith(
    { snapshots: [old, current] },
    {
      pruning: { removed: [], failed: [], kept: [{ id: 'old', reasons, readers }] },
      graceUntil: new Map([['old', '2026-11-23T03:17:00.000Z']]),
    },
  );
  const told =
    'is within its grace time, until 2026-11-23T03:17:00Z, and is read by apt-get (pid 7, bob, lease), 1 unseen';
  expect(answerTo('Why are old', facts).quoted).toEqual([`old ${told}`]);
  const asked = { id: 'old', info: old, closedMode: null };
  expect(answerTo('Why was old not', { ...facts, asked }).answer).toBe(`It ${told}.`);
});

test('a snapshot that no rule keeps is told as such, also where it cannot be removed', () => {
  const [one, two] = [snapshot('one'), snapshot('two')];
  const facts = factsWith(
    { snapshots: [one, two, current] },
    { pruning: { removed: ['one'], failed: [{ id: 'two', message: 'it is mounted' }], kept: [] } },
  );
  expect(answerTo('Why are old', facts).quoted).toEqual([
    'one is kept by no rule, and nobody reads it: the next prune or publication removes it',
    'two is kept by no rule, but it is mounted',
  ]);
  const asked = { id: 'one', info: one, closedMode: null };
  expect(answerTo('Why was one', { ...facts, asked }).command).toBe(`mirrorlatch prune ${QUOTED}`);
  const problem = { problem: 'the marks are damaged' };
  expect(answerTo('Why are old', { ...facts, pruning: problem }).answer).toBe(
    'The marks are damaged.',
  );
});

test('of many snapshots the last ten are told of', () => {
  const many = Array.from({ length: 30 }, (_, index) => snapshot(`s${index}`));
  const removed = many.map(({ id }) => id);
  const facts = factsWith({ snapshots: many }, { pruning: { removed, failed: [], kept: [] } });
  const { answer, quoted } = answerTo('Why are old', facts);
  expect(answer).toBe('Of 30, these are the last 10.');
  expect(quoted).toHaveLength(10);
});

test('a channel is told with its rule, what comes next, and the way out of a hold', () => {
  const channel = {
    name: 'production',
    id: 'old',
    isWhole: true,
    since: null,
    rule: { from: 'testing', afterMs: 168 * HOUR },
    next: { id: 'new', inMs: 72 * HOUR },
    hold: null,
    refused: null,
  };
  const channels = (...all: MirrorStatus['channels']) =>
    answerTo('Why are its channels', factsWith({ channels: all }));
  expect(channels(channel)).toMatchObject({
    quoted: ['production is old; it follows testing after 7d, next new in 3d'],
    command: null,
  });
  const hold = { reason: 'a release', by: 'bob', since: ago(HOUR) };
  expect(channels(channel, { ...channel, name: 'lab', hold })).toMatchObject({
    quoted: [expect.any(String), expect.stringMatching(/^lab .*; held by bob .*: a release$/)],
    command: `mirrorlatch rollback ${QUOTED} --channel lab --release`,
  });
});

test('a sync that the shrink guard refused names what it would delete, and how to publish it', () => {
  const failure = {
    at: ago(HOUR),
    id: 'x',
    code: 'SHRUNKEN_SOURCE',
    exitCode: 65,
    message: 'the source has shrunk',
    findings: [],
    unlisted: 0,
    isOfHook: false,
    log: { path: '/log', lines: ['total size is 400000  speedup is 843.88 (DRY RUN)'] },
  };
  expect(answerTo('Why did the last sync fail', factsWith({}, { failure }))).toMatchObject({
    answer: expect.stringContaining(`mirrorlatch sync ${QUOTED} --allow-shrink`),
    quoted: [],
    command: `mirrorlatch sync ${QUOTED} --dry-run`,
  });
});

test('what a check has refused is filled again by what fills the mirror', () => {
  const failure = {
    at: ago(HOUR),
    id: 'x',
    code: 'CHECK_FAILED',
    exitCode: 65,
    message: 'the new tree is not what it says of itself',
    findings: [],
    unlisted: 0,
    isOfHook: false,
    log: null,
  };
  const commandOf = (more: Partial<MirrorStatus>, isFilled: boolean) =>
    answersTo(factsWith(more, { failure }), { ...timed, isFilled }).find(
      ({ question }) => question === 'Why did the last sync fail?',
    )?.command;
  expect(commandOf({}, false)).toBe(`mirrorlatch sync ${QUOTED}`);
  expect(commandOf({ source: null }, true)).toBe(`mirrorlatch lock ${QUOTED}`);
  expect(commandOf({ source: null }, false)).toBeNull();
});

describe('what verify has found', () => {
  const damaged = { event: 'verified', id: 'x', at: ago(HOUR), damaged: 1, content: true } as const;
  const told = (...snapshots: SnapshotInfo[]) =>
    answerTo('What is damaged', factsWith({ snapshots }));

  test('of the current snapshot is mended by a sync', () => {
    const answer = told(snapshot('old'), { ...current, verified: damaged });
    expect(answer.answer).toContain('Of new, as verify has found, 1 entry is damaged.');
    const olds = ['a', 'b', 'c', 'd'].map((id) => snapshot(id, { verified: damaged }));
    expect(told(...olds.slice(0, 2), current).answer).toContain(
      'Verify has found entries damaged in a (1) and b (1).',
    );
    expect(told(...olds, current).answer).toContain('in a (1), b (1), c (1) and 1 more.');
    expect(answer.command).toBe(`mirrorlatch sync ${QUOTED} -- --checksum`);
  });

  test('of an older one may be in the current one, too', () => {
    const answer = told(snapshot('old', { verified: damaged }), current);
    expect(answer.answer).toContain('has not been read since, and may have the same damage');
    expect(answer.command).toBe(`mirrorlatch verify ${QUOTED} --bitrot`);
  });

  test('where no sync fills the mirror is not mended by one', () => {
    const snapshots = [{ ...current, verified: damaged }];
    for (const answers of [
      answersTo(factsWith({ source: null, snapshots })),
      answersTo(factsWith({ snapshots }), { ...timed, isFilled: true }),
    ]) {
      const answer = answers.find(({ question }) => question === 'What is damaged?');
      expect(answer?.answer).toContain('what fills it has to bring anew what is damaged');
      expect(answer?.command).toBe(`mirrorlatch verify ${QUOTED} --bitrot`);
    }
  });

  test('of an older one goes with that, if the current one was read', () => {
    const read = { ...current, verified: { ...damaged, damaged: 0 } };
    const facts = factsWith({
      current: read,
      snapshots: [snapshot('old', { verified: damaged }), read],
    });
    const answer = answerTo('What is damaged', facts);
    expect(answer.answer).toContain('the damage goes with the snapshot');
    expect(answer.command).toBe(`mirrorlatch explain ${QUOTED} old`);
  });

  test('is no question where it has found nothing', () =>
    expect(answersTo(factsWith({})).map(({ question }) => question)).not.toContain(
      'What is damaged?',
    ));
});
