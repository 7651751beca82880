import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { execa } from 'execa';
import { nobody } from '../../support/privilege.ts';
import type { Dice } from '../dice.ts';
import type { Course } from './course.ts';
import type { Mirror } from './mirrors.ts';

/** Lets another user hold every lock that he can open, each for a moment, and look for what he can change. */
export async function keepMeddling(
  mirrors: readonly Mirror[],
  course: Course,
  dice: Dice,
): Promise<void> {
  while (!course.isOver()) {
    await pause(dice.between(0, 500));
    const mirror = dice.pick(mirrors);
    if (dice.chance(0.2)) await lookForWritable(mirror, course);
    else await holdALock(mirror, course, dice);
  }
}

async function holdALock(mirror: Mirror, course: Course, dice: Dice): Promise<void> {
  const file = dice.pick(filesIn(mirror));
  const kind = dice.pick(['--shared', '--exclusive']);
  const seconds = dice.between(0, 1).toFixed(2);
  const held = await execa('flock', ['--nonblock', kind, file, 'sleep', seconds], {
    ...nobody,
    cwd: '/',
    reject: false,
  });
  course.count('stranger', held.exitCode === 0 ? 'held a lock' : 'got no lock');
  course.note('stranger', `${kind} on ${file} for ${seconds} s: ${held.exitCode}`);
}

function filesIn(mirror: Mirror): [string, ...string[]] {
  const root = mirror.root();
  const inside = (...names: string[]) => {
    const directory = join(root, ...names);
    return existsSync(directory) ? readdirSync(directory).map((name) => join(directory, name)) : [];
  };
  return [root, ...inside(), ...inside('.mirrorlatch'), ...inside('.mirrorlatch', 'leases')];
}

async function lookForWritable(mirror: Mirror, course: Course): Promise<void> {
  // What is removed meanwhile, and what is closed to him, makes find(1) fail.
  const { stdout } = await execa('find', [mirror.root(), '!', '-type', 'l', '-writable'], {
    ...nobody,
    cwd: '/',
    reject: false,
  });
  course.count('stranger', 'looked for what he can change');
  if (stdout !== '') course.fault('stranger', `another user can change ${stdout}`);
}
