import { createHash } from 'node:crypto';
import { lstatSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileWork } from '../../support/file-work.ts';
import type { Dice } from '../dice.ts';
import type { Course } from './course.ts';
import { INDEX, type States } from './states.ts';

const POOL_FILES = 12;

/** A source as an upstream keeps it: what its index names is there at every instant. */
export interface Source {
  readonly path: string;
  /** Goes on to the next generation; each step is one rename or removal, and one state. */
  nextGeneration(): Generator<void>;
}

/**
 * Makes a source of one generation.
 *
 * @param path a new directory; what is being written lies beside it, as `PATH.next`.
 * @param outside where a symlink of the source leads for some generations.
 */
export function makeSource(path: string, outside: string, states: States, dice: Dice): Source {
  const name = basename(path);
  const beside = `${path}.next`;
  const work = fileWork(path);
  const next = fileWork(beside);
  let generation = 0;
  let pool: string[] = [];

  for (const directory of [path, beside]) mkdirSync(directory, { mode: 0o755 });
  for (const directory of ['pool', 'zz']) {
    work.directory(directory);
    next.directory(directory);
  }

  function move(file: string): void {
    renameSync(join(beside, file), join(path, file));
    states.record(path);
  }
  function put(file: string, content: string | Buffer): void {
    next.write(file, content);
    move(file);
  }
  function take(file: string): void {
    if (lstatSync(join(path, file), { throwIfNoEntry: false }) === undefined) return;
    renameSync(join(path, file), join(beside, 'gone'));
    next.remove('gone');
    states.record(path);
  }
  function* renew(newFiles: number): Generator<void> {
    generation += 1;
    const coming = Array.from({ length: newFiles }, (_, n) => `pool/p${generation}-${n}`);
    for (const file of coming) {
      put(file, noise(dice, dice.whole(1_000, 40_000)));
      yield;
    }
    // Of the same size each time, under the same name.
    put('notes', `notes of generation ${String(generation).padStart(6, '0')}\n`);
    yield;
    if (generation === 1 || dice.chance(0.3)) yield* renewExtras();
    const going = pool.slice(0, Math.max(0, pool.length + newFiles - POOL_FILES));
    pool = [...pool.slice(going.length), ...coming];
    put(INDEX, indexOf(path, `${name}-${generation}`, pool));
    yield;
    for (const file of going) {
      take(file);
      yield;
    }
  }
  function* renewExtras(): Generator<void> {
    put('large', noise(dice, 150_000));
    yield;
    take('extra');
    next.directory('extra');
    for (const awkward of ['-rf', 'a\nb', `it's "quoted" $(here)`]) {
      next.write(`extra/${awkward}`, `${awkward} of generation ${generation}`);
    }
    move('extra');
    yield;
    take('turning');
    if (dice.chance(0.5)) next.symlink('turning', outside);
    else {
      next.directory('turning');
      next.write('turning/kept', `not what lies outside, but generation ${generation}`);
    }
    move('turning');
    yield;
  }

  for (const _ of renew(POOL_FILES));
  return { path, nextGeneration: () => renew(dice.whole(1, 3)) };
}

/** Lets the source go on all the time, with quiet moments in which it can be synced. */
export async function keepChanging(source: Source, course: Course, dice: Dice): Promise<void> {
  while (!course.isOver()) {
    for (let left = dice.whole(1, 4); left > 0; left -= 1) {
      for (const _ of source.nextGeneration()) await pause(dice.between(20, 250));
    }
    course.note('source', `rests at ${generationOf(source.path)}`);
    await pause(dice.between(1_500, 4_000));
    course.note('source', 'goes on');
  }
}

/** What the index of a tree calls its generation. */
function generationOf(tree: string): string {
  return readFileSync(join(tree, INDEX), 'utf8').split('\n')[0] ?? '';
}

/** One line that names the generation, and then what sha256sum(1) prints. */
function indexOf(path: string, generation: string, files: readonly string[]): string {
  const sums = files.map((file) => {
    const sum = createHash('sha256').update(readFileSync(join(path, file)));
    return `${sum.digest('hex')}  ${file}`;
  });
  return `${[generation, ...sums].join('\n')}\n`;
}

function noise(dice: Dice, length: number): Buffer {
  return Buffer.from(Uint8Array.from({ length }, () => dice.whole(0, 255)));
}
