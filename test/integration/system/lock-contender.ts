import { existsSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  lockHolderToken,
  setLockAside,
  takeLockDirectory,
} from '../../../src/system/lock-directory.ts';

/**
 * A process of its own that contends for the lock, started with DIRECTORY NAME ROUNDS MODE. It tells
 * by a file that it is ready, begins when `go` is there, and prints what it got as JSON.
 */
const [directory = '', name = '', rounds = '', mode = ''] = process.argv.slice(2);
const path = join(directory, 'sync.lock');

async function contend() {
  let won = 0;
  let together = 0;
  for (let round = 0; round < Number(rounds); round += 1) {
    const lock = await takeLockDirectory(path, `${name}-${round}`, fill, () => {});
    if (lock === undefined) {
      const token = lockHolderToken(path);
      // What a killed holder left, which everybody may set aside.
      if (token === 'dead') setLockAside(path, token);
      await sleep(1);
      continue;
    }
    won += 1;
    try {
      mkdirSync(join(directory, 'critical'));
    } catch {
      together += 1;
    }
    if (!existsSync(join(lock.inside, 'owner'))) together += 1;
    await sleep(Math.random() * 3);
    rmdirSync(join(directory, 'critical'));
    await lock.release();
  }
  return { won, together };
}

function setAside() {
  const won = [];
  for (let round = 0; round < Number(rounds); round += 1) {
    if (setLockAside(join(directory, `lock-${round}`), 'dead')) won.push(round);
  }
  return { won };
}

async function hold() {
  await takeLockDirectory(path, name, fill, () => {});
  writeFileSync(join(directory, `${name}.holds`), '');
  await sleep(60_000);
}

function fill(inside: string): void {
  writeFileSync(join(inside, 'owner'), name);
}

writeFileSync(join(directory, `${name}.ready`), '');
while (!existsSync(join(directory, 'go'))) await sleep(1);
const result =
  mode === 'contend' ? await contend() : mode === 'set-aside' ? setAside() : await hold();
process.stdout.write(JSON.stringify(result));
process.exit();
