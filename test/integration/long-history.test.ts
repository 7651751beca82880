import {
  existsSync,
  linkSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readHistory } from '../../src/mirror/history/history.ts';
import { layoutOf } from '../../src/mirror/layout.ts';
import { acquireSyncLock } from '../../src/mirror/locks/acquire-lock.ts';
import { DEFAULT_LOCK } from '../../src/mirror/settings/policy.ts';
import { setLockAside } from '../../src/system/lock-directory.ts';
import { startWatch } from '../support/event-stream.ts';
import { isWatching } from '../support/inotify.ts';
import { fillDisk, makeLoopFilesystem, whyNoLoopFilesystem } from '../support/loop-filesystem.ts';
import { runForJson, runProgram, startProgram } from '../support/program.ts';
import { mirrorsWith, type SmallMirror, smallMirror } from '../support/small-mirror.ts';

const MIB = 1024 * 1024;
const MINUTE = 60_000;

const threeSnapshots = mirrorsWith('first', 'second', 'third');

/** Puts syncs behind each publication, one each five minutes, which found nothing or failed. */
function lengthen({ state }: SmallMirror, { bytes = 3 * MIB, bytesOfMessage = 100 } = {}): void {
  const file = state('history.jsonl');
  const entries = readFileSync(file, 'utf8').trimEnd().split('\n').map(parse);
  const each = Math.ceil(bytes / (bytesOfMessage + 150) / entries.length);
  const message = 'x'.repeat(bytesOfMessage);
  let time = Date.now() - (2 * each * entries.length + 100) * 5 * MINUTE;
  const at = () => {
    time += 5 * MINUTE;
    return new Date(time).toISOString();
  };
  const lines = entries.flatMap((entry) => [
    { ...entry, at: at() },
    ...Array.from({ length: each }, (_, count) => [
      { event: 'failed', at: at(), id: `no-${count}`, code: 'IO', message },
      { event: 'unchanged', at: at(), current: entry['id'] },
    ]).flat(),
  ]);
  writeFileSync(file, lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
}

const parse = (line: string): Record<string, unknown> => JSON.parse(line);
const sizeOf = ({ state }: SmallMirror): number => statSync(state('history.jsonl')).size;
const inodeOf = ({ state }: SmallMirror): number => statSync(state('history.jsonl')).ino;

/** Without what tells how old the parts of the mirror are by now. */
async function said(...words: string[]): Promise<unknown> {
  const { stdout } = await runProgram([...words, '--json']);
  return JSON.parse(stdout.replaceAll(/"readers":\[[^\]]*\]/g, '"readers":[]'));
}

async function answers({ root }: SmallMirror): Promise<unknown[]> {
  return [
    await said('status', root),
    await said('list', root),
    await said('current', root),
    await said('prune', root, '--dry-run', '--keep-last', '1', '--grace', '0'),
    await said('prune', root, '--dry-run', '--keep-last', '1', '--keep-within', '36500d'),
  ];
}

describe('a history of more than 512 KiB', () => {
  test('is trimmed by the next command that writes, and all that is asked of it has the same answer', async () => {
    const mirror = await threeSnapshots();
    lengthen(mirror);
    const before = await answers(mirror);
    await runForJson(['prune', mirror.root]);
    expect(sizeOf(mirror)).toBeLessThan(MIB / 2);
    expect(await answers(mirror)).toEqual(before);
    const inode = inodeOf(mirror);
    expect(await mirror.sync()).toMatchObject({ outcome: 'unchanged' });
    await mirror.publish('fourth', { file: 'fourth' });
    expect(inodeOf(mirror), 'and only then').toBe(inode);
    expect(await runForJson(['status', mirror.root])).toMatchObject({
      isHealthy: true,
      current: { id: 'fourth' },
      damagedHistoryLines: [],
    });
  });

  test('keeps a torn last line apart from what comes, and loses none of the lines before it', async () => {
    const mirror = await threeSnapshots();
    lengthen(mirror);
    const last = readHistory(layoutOf(mirror.root)).at(-1);
    writeFileSync(mirror.state('history.jsonl'), '{"event":"unch', { flag: 'a' });
    expect(await mirror.sync()).toMatchObject({ outcome: 'unchanged' });
    expect(sizeOf(mirror)).toBeLessThan(MIB / 2);
    expect(readHistory(layoutOf(mirror.root)).slice(-2)).toMatchObject([
      last,
      { event: 'unchanged', current: 'third' },
    ]);
    const { damagedHistoryLines } = await runForJson(['status', mirror.root]);
    expect(damagedHistoryLines).toHaveLength(1);
  });

  test('is trimmed in place as well', async () => {
    const mirror = smallMirror();
    await runForJson(['init', mirror.root, '--in-place', '--source', mirror.source]);
    await mirror.sync();
    lengthen(mirror);
    const before = await said('current', mirror.root);
    expect(await mirror.sync()).toMatchObject({ outcome: 'unchanged' });
    expect(sizeOf(mirror)).toBeLessThan(MIB / 2);
    expect(await said('current', mirror.root)).toEqual(before);
    expect(before).toMatchObject({ id: 'live', files: 2 });
  });

  test('that a copy by hard links shares is trimmed in one of the two', async () => {
    const mirror = await threeSnapshots();
    lengthen(mirror);
    const size = sizeOf(mirror);
    const copy = join(mirror.home, 'copy');
    linkSync(mirror.state('history.jsonl'), copy);
    expect(await mirror.sync()).toMatchObject({ outcome: 'unchanged' });
    expect(sizeOf(mirror)).toBeLessThan(MIB / 2);
    expect(statSync(copy).size).toBe(size);
  });

  test('is followed by watch across the trimming: each event once', async () => {
    const mirror = await threeSnapshots();
    const watching = await startWatch(mirror.root);
    await isWatching(watching);
    await mirror.publish('fourth', { file: 'fourth' });
    await watching.until('published');
    // The lines of the past, in the place of what watch has read; the last one stays.
    lengthenBefore(mirror);
    await mirror.publish('fifth', { file: 'fifth' });
    expect(sizeOf(mirror)).toBeLessThan(MIB / 2);
    expect(await mirror.sync()).toMatchObject({ outcome: 'unchanged' });
    await mirror.publish('sixth', { file: 'sixth' });
    await watching.until('published', 3);
    expect(
      watching.events.map(({ event }) => event).filter((event) => !event.startsWith('lock-')),
    ).toEqual(['watching', 'published', 'published', 'unchanged', 'published']);
    expect(watching.flips()).toEqual(['fourth', 'fifth', 'sixth']);
  });

  test('is whole, the old or the new, wherever a kill meets the trimming', async () => {
    const mirror = await threeSnapshots();
    lengthen(mirror);
    const whole = readFileSync(mirror.state('history.jsonl'));
    let [kills, tries] = [0, 0];
    while (kills < 5 && tries < 60) {
      tries += 1;
      writeFileSync(mirror.state('history.jsonl'), whole);
      const sync = startProgram(['prune', mirror.root]);
      const isKilled = await killAtTrimming(mirror, sync.pid);
      await sync.result;
      const lines = readFileSync(mirror.state('history.jsonl'), 'utf8').trimEnd().split('\n');
      expect(() => lines.map(parse)).not.toThrow();
      expect(readHistory(layoutOf(mirror.root)).at(-1)).toEqual(parse(lastLine(whole)));
      if (isKilled) kills += 1;
    }
    expect(kills).toBe(5);
    await runForJson(['prune', mirror.root]);
    expect(sizeOf(mirror)).toBeLessThan(MIB / 2);
    expect(
      readdirSync(mirror.state()).filter((name) => /history.+new|sync\.lock/.test(name)),
    ).toEqual([]);
  });

  test('that is read while the lock is lost is not replaced', async () => {
    const mirror = await threeSnapshots();
    const layout = layoutOf(mirror.root);
    const before = readFileSync(layout.history);
    const lock = await acquireSyncLock(layout, { command: 'sync', ...DEFAULT_LOCK });
    const [token = ''] = readdirSync(layout.lockDirectory);
    setLockAside(layout.lockDirectory, token);
    try {
      expect(() => lock.replaceFile(layout.history, Buffer.from('old\n'))).toThrow(
        expect.objectContaining({ code: 'LOCK_LOST' }),
      );
      expect(readFileSync(layout.history)).toEqual(before);
    } finally {
      await lock.release();
    }
  });

  test.skipIf(whyNoLoopFilesystem !== '')(
    `stays as it is on a full disk, which is no failure of the sync${whyNoLoopFilesystem}`,
    async () => {
      const filesystem = await makeLoopFilesystem('ext4', { size: 24 * MIB, mkfs: ['-m', '0'] });
      try {
        const mirror = smallMirror({ root: join(filesystem.path, 'mirror') });
        await mirror.publish('first', {});
        // More than the reserve has room for.
        lengthen(mirror, { bytes: 6 * MIB, bytesOfMessage: 2000 });
        const size = sizeOf(mirror);
        const filler = join(filesystem.path, 'filler');
        fillDisk(filler);
        expect(await mirror.sync()).toMatchObject({ outcome: 'unchanged' });
        expect(sizeOf(mirror)).toBeGreaterThan(size);
        rmSync(filler);
        expect(await mirror.sync()).toMatchObject({ outcome: 'unchanged' });
        expect(sizeOf(mirror)).toBeLessThan(size / 2);
      } finally {
        await filesystem.remove();
      }
    },
  );
});

/** The same lines before all that the mirror has recorded so far. */
function lengthenBefore({ state }: SmallMirror): void {
  const file = state('history.jsonl');
  const text = readFileSync(file, 'utf8');
  const at = (count: number) => new Date(Date.now() - (30_000 - count) * 5 * MINUTE).toISOString();
  const past = Array.from({ length: 20_000 }, (_, count) =>
    JSON.stringify({ event: 'unchanged', at: at(count), current: 'first' }),
  );
  writeFileSync(`${file}.long`, `${past.join('\n')}\n${text}`);
  rmSync(file);
  linkSync(`${file}.long`, file);
  rmSync(`${file}.long`);
}

/** Kills the process when it has begun to write the new file; false if it has ended before. */
async function killAtTrimming({ state }: SmallMirror, pid: number): Promise<boolean> {
  while (existsSync(`/proc/${pid}`)) {
    // Without a pause: the writer needs a few milliseconds.
    for (let look = 0; look < 200; look += 1) {
      if (!isTrimming(state('sync.lock'))) continue;
      try {
        process.kill(pid, 'SIGKILL');
        return true;
      } catch {
        return false;
      }
    }
    await new Promise(setImmediate);
  }
  return false;
}

function isTrimming(lock: string): boolean {
  try {
    const [token = ''] = readdirSync(lock);
    return readdirSync(join(lock, token)).some((name) => name.startsWith('history.jsonl'));
  } catch {
    return false;
  }
}

function lastLine(bytes: Buffer): string {
  return bytes.toString('utf8').trimEnd().split('\n').at(-1) ?? '';
}
