import { randomUUID } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { hostname, uptime } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { expectFailure } from '../support/expect-failure.ts';
import { runProgram, transcript } from '../support/program.ts';
import { makeScratch } from '../support/scratch.ts';
import { mirrorsWith, type SmallMirror } from '../support/small-mirror.ts';

const oneSnapshot = mirrorsWith('first');
const scratch = makeScratch();
afterAll(() => scratch.remove());

const machineIdHere = existsSync('/etc/machine-id')
  ? readFileSync('/etc/machine-id', 'utf8').trim()
  : '';

/** A lock record as another host writes it. */
const elsewhere = {
  host: {
    hostname: 'mirror-2.example',
    machineId: 'ab'.repeat(16),
    bootId: randomUUID() as string,
  },
  pid: 4242,
  startTicks: '12345',
  user: 'keeper',
  command: 'sync',
  since: '2026-11-22T03:00:00.000Z',
};

const MINUTE = 60;

describe.concurrent("another host's lock", () => {
  test('with a fresh heartbeat is respected, and its holder named', async () => {
    const mirror = await locked('fresh', { record: elsewhere, progress: 0.4, ageSeconds: 5 });
    for (const command of ['sync', 'prune', 'rollback', 'unlock']) {
      const result = await runProgram([command, mirror.root]);
      expectFailure(result, 75, /sync by keeper \(pid 4242 on mirror-2\.example\)/);
      expect(result.stderr).toContain('since 2026-11-22T03:00:00Z, now: transferring 40 %');
      expect(result.stderr).toMatch(/last heartbeat \d+ s ago/);
    }
    expect(existsSync(mirror.state('sync.lock', 'token', 'owner.json'))).toBe(true);
  });

  test('leaves the status healthy while its heartbeat is fresh', async () => {
    const mirror = await locked('status', { record: elsewhere, ageSeconds: 5 });
    const result = await runProgram(['status', mirror.root, '--json']);
    expect(result.exitCode, transcript(result)).toBe(0);
    expect(result.json()).toMatchObject({ lock: { state: { kind: 'foreign', token: 'token' } } });
  });

  test('that is older than the limit is taken over, and a tree that its rsync may still write to is copied from, not continued', async () => {
    const mirror = await locked('old', { record: elsewhere, ageSeconds: 11 * MINUTE });
    mkdirSync(mirror.state('staging', 'theirs'));
    writeFileSync(mirror.state('staging', 'theirs', 'late'), 'written late');
    mirror.change({ file: 'changed' });
    const result = await mirror.sync('--id', 'next');
    expect(result).toMatchObject({ outcome: 'published', id: 'next' });
    expect(existsSync(join(mirror.root, 'current', 'late'))).toBe(false);
    expect(locksLeft(mirror)).toEqual([]);
  });

  test('that is younger than the limit is respected, and --stale-after sets the limit', async () => {
    const mirror = await locked('limit', { record: elsewhere, ageSeconds: 2 * MINUTE });
    expectFailure(await runProgram(['sync', mirror.root]), 75, /mirror-2\.example/);
    const result = await runProgram(['sync', mirror.root, '--stale-after', '1m']);
    expect(result.exitCode, transcript(result)).toBe(0);
  });

  test('whose heartbeat continues is respected, however far its clock is behind', async () => {
    const mirror = await locked('behind', { record: elsewhere, ageSeconds: 60 * MINUTE });
    let beats = 0;
    const heart = setInterval(() => {
      beats += 1;
      const beat = Date.now() / 1000 - 60 * MINUTE + beats;
      utimesSync(mirror.state('sync.lock'), beat, beat);
    }, 1_000);
    const result = await runProgram(['sync', mirror.root]);
    clearInterval(heart);
    expectFailure(result, 75, /mirror-2\.example/);
    expect(existsSync(mirror.state('sync.lock', 'token'))).toBe(true);
  });

  test('without a heartbeat is removed by unlock only if it is older than the limit', async () => {
    const mirror = await locked('unlock', { record: elsewhere, ageSeconds: 2 * MINUTE });
    expectFailure(await runProgram(['unlock', mirror.root]), 75, /mirror-2\.example/);
    const result = await runProgram(['unlock', mirror.root, '--stale-after', '1m']);
    expect(result.exitCode, transcript(result)).toBe(0);
    expect(result.stdout).toMatch(/removed the lock: sync by keeper/);
    expect(locksLeft(mirror)).toEqual([]);
  });
});

describe('a lock record', () => {
  test('of this boot whose process is gone is dead, and the next sync starts at once', async () => {
    const bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    const here = { hostname: hostname(), machineId: machineIdHere, bootId };
    const mirror = await locked('same boot', {
      record: { ...elsewhere, host: here },
      ageSeconds: 1,
    });
    await goesOnAtOnce(mirror);
  });

  const whyNot = machineIdHere === '' ? ' (skipped: this machine has no machine-id)' : '';
  test.skipIf(whyNot !== '')(
    `that this machine wrote before its last boot is dead${whyNot}`,
    async () => {
      const mirror = await locked('reboot', {
        record: {
          ...elsewhere,
          host: { ...elsewhere.host, hostname: hostname(), machineId: machineIdHere },
        },
        ageSeconds: uptime() + 30,
      });
      await goesOnAtOnce(mirror);
    },
  );

  test.for([
    ['an empty owner.json', ''],
    ['a torn owner.json', JSON.stringify(elsewhere).slice(0, 60)],
    ['no owner.json', undefined],
    ['an owner.json of another format', '{"pid":"one"}'],
  ] as const)(
    'with %s is dead if it is from before this boot, as after a power cut',
    async ([name, owner]) => {
      const mirror = await locked(name, { owner, ageSeconds: uptime() + 30 });
      const status = await runProgram(['status', mirror.root]);
      expect(status.exitCode, transcript(status)).toBe(69);
      expect(status.stdout).toMatch(/an unknown holder ended without releasing it/);
      await goesOnAtOnce(mirror);
    },
  );

  test('without an owner but with a fresh heartbeat is respected', async () => {
    const mirror = await locked('unknown', { owner: '', ageSeconds: 1 });
    expectFailure(await runProgram(['sync', mirror.root]), 75, /an unknown holder/);
    expectFailure(await runProgram(['unlock', mirror.root]), 75, /an unknown holder/);
  });

  test('that is empty is free', async () => {
    const mirror = await made('empty directory');
    mkdirSync(mirror.state('sync.lock'));
    await goesOnAtOnce(mirror);
  });
});

interface Record {
  readonly record?: typeof elsewhere;
  /** The text of owner.json, if it is not `record`. */
  readonly owner?: string | undefined;
  readonly progress?: number;
  /** The age of the last heartbeat. */
  readonly ageSeconds: number;
}

/** A mirror that is locked with `record`. */
async function locked(name: string, { record, owner, progress, ageSeconds }: Record) {
  const mirror = await made(name);
  const inside = mirror.state('sync.lock', 'token');
  mkdirSync(inside, { recursive: true });
  const text = record === undefined ? owner : JSON.stringify(record);
  if (text !== undefined) writeFileSync(join(inside, 'owner.json'), text);
  if (progress !== undefined) {
    const said = JSON.stringify({ phase: 'transferring', done: progress });
    writeFileSync(join(inside, 'progress.json'), said);
  }
  const beat = Date.now() / 1000 - ageSeconds;
  utimesSync(mirror.state('sync.lock'), beat, beat);
  return mirror;
}

function made(name: string): Promise<SmallMirror> {
  const home = join(scratch.path, name);
  mkdirSync(home);
  return oneSnapshot(home);
}

/** The holder must be known to be dead, because its heartbeat is too young for a takeover by age. */
async function goesOnAtOnce(mirror: SmallMirror): Promise<void> {
  mirror.change({ file: 'changed' });
  const next = await mirror.sync('--id', 'next', '--stale-after', '1000d');
  expect(next).toMatchObject({ outcome: 'published' });
  expect(locksLeft(mirror)).toEqual([]);
}

function locksLeft(mirror: SmallMirror): string[] {
  return readdirSync(mirror.state()).filter((name) => name.startsWith('sync.lock'));
}
