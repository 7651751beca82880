import { mkdirSync, readdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  lockHolderToken,
  setLockAside,
  takeLockDirectory,
} from '../../../src/system/lock-directory.ts';
import { scratchDirectory } from '../../support/scratch.ts';

function take(directory: string, token: string, onLost: (cause: Error) => void = () => {}) {
  const fill = (inside: string) => writeFileSync(join(inside, 'owner'), token);
  return takeLockDirectory(join(directory, 'sync.lock'), token, fill, onLost);
}

describe('the lock directory', () => {
  test('names its holder while it is held, and nobody afterwards', async () => {
    const directory = scratchDirectory();
    const path = join(directory, 'sync.lock');
    expect(lockHolderToken(path)).toBeUndefined();
    const lock = await take(directory, 'one');
    expect(lockHolderToken(path)).toBe('one');
    expect(readdirSync(lock?.inside ?? '')).toEqual(['owner']);
    expect(await take(directory, 'two')).toBeUndefined();
    await lock?.release();
    expect(lockHolderToken(path)).toBeUndefined();
    expect(readdirSync(directory)).toEqual([]);
  });

  test('an empty one, which a crash in its release leaves, is free', async () => {
    const directory = scratchDirectory();
    mkdirSync(join(directory, 'sync.lock'));
    const lock = await take(directory, 'one');
    expect(lockHolderToken(join(directory, 'sync.lock'))).toBe('one');
    await lock?.release();
  });

  test('a failure to write the record leaves nothing behind', async () => {
    const directory = scratchDirectory();
    const full = () => {
      throw Object.assign(new Error('no space'), { code: 'ENOSPC' });
    };
    await expect(
      takeLockDirectory(join(directory, 'sync.lock'), 'one', full, () => {}),
    ).rejects.toThrow('no space');
    expect(readdirSync(directory)).toEqual([]);
  });

  test('however old a heartbeat is, nobody takes the lock for it alone', async () => {
    const directory = scratchDirectory();
    const path = join(directory, 'sync.lock');
    mkdirSync(join(path, 'silent'), { recursive: true });
    utimesSync(path, 1_000_000_000, 1_000_000_000);
    expect(await take(directory, 'one')).toBeUndefined();
    expect(lockHolderToken(path)).toBe('silent');
  });

  test('only the holder that is meant is set aside', async () => {
    const directory = scratchDirectory();
    const path = join(directory, 'sync.lock');
    const lock = await take(directory, 'one');
    expect(setLockAside(path, 'another')).toBe(false);
    expect(lockHolderToken(path)).toBe('one');
    expect(setLockAside(path, 'one')).toBe(true);
    expect(setLockAside(path, 'one')).toBe(false);
    await lock?.release();
  });
});
