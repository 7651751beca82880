import { copyFileSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { execa } from 'execa';
import { makeGeneration } from '../../support/repositories/generation.ts';
import type { Repository } from '../../support/repositories/repository.ts';
import type { Dice } from '../dice.ts';

/**
 * In what order an update goes: packages before what names them, and what nothing names any more last, as
 * archives do it; or what readers begin with first, and packages last.
 */
export type Order = 'packages first' | 'lists first';

/** Of what an update consists, in the usual order. */
type Sort = 'package' | 'list' | 'top';

/** A real upstream of several repositories, which goes from generation to generation file by file. */
export class Upstream {
  /** What is synced. */
  readonly tree: string;
  readonly #generations: readonly string[];
  /** For files that are about to be renamed into the tree. */
  readonly #outside: string;
  #number = 0;

  private constructor(home: string, generations: readonly string[]) {
    this.tree = join(home, 'upstream');
    this.#outside = join(home, 'incoming');
    this.#generations = generations;
  }

  static async make(
    home: string,
    repositories: readonly Repository[],
    generations: number,
  ): Promise<Upstream> {
    const made: string[] = [];
    for (let number = 1; number <= generations; number += 1) {
      const directory = join(home, `generation-${number}`);
      for (const repository of repositories) {
        const work = join(home, `${repository.name}-${number}.work`);
        const own = join(directory, repository.name);
        for (const one of [work, own]) mkdirSync(one, { recursive: true });
        await repository.make(own, makeGeneration(number, 'own'), work);
      }
      made.push(directory);
    }
    const upstream = new Upstream(home, made);
    await execa('cp', ['-a', '--', made[0] ?? '', upstream.tree]);
    return upstream;
  }

  /**
   * Goes on to the next generation.
   *
   * @param dice how long each step takes.
   * @param share of its steps; with less than 1 the update is cut off.
   */
  async update(order: Order, dice: Dice, share = 1): Promise<void> {
    const steps = this.#stepsTo(this.#next(), order);
    for (const step of steps.slice(0, Math.ceil(steps.length * share))) {
      step();
      await pause(dice.between(0, 60));
    }
  }

  /** The same at once. */
  updateAtOnce(order: Order, share = 1): void {
    const steps = this.#stepsTo(this.#next(), order);
    for (const step of steps.slice(0, Math.ceil(steps.length * share))) step();
  }

  #next(): string {
    this.#number = (this.#number + 1) % this.#generations.length;
    return this.#generations[this.#number] ?? '';
  }

  #stepsTo(next: string, order: Order): (() => void)[] {
    const wanted = filesIn(next);
    const changed = wanted.filter((name) => !isSame(join(next, name), join(this.tree, name)));
    const put = (sort: Sort) =>
      changed.filter((name) => sortOf(name) === sort).map((name) => () => this.#put(next, name));
    const gone = filesIn(this.tree)
      .filter((name) => !wanted.includes(name))
      .map((name) => () => rmSync(join(this.tree, name)));
    return order === 'packages first'
      ? [...put('package'), ...put('list'), ...put('top'), ...gone]
      : [...put('top'), ...put('list'), ...gone, ...put('package')];
  }

  #put(from: string, name: string): void {
    const target = join(this.tree, name);
    mkdirSync(dirname(target), { recursive: true });
    copyFileSync(join(from, name), this.#outside);
    renameSync(this.#outside, target);
  }
}

function sortOf(name: string): Sort {
  if (/\/((In)?Release|repomd\.xml)$/.test(name)) return 'top';
  return /\/(dists|repodata)\//.test(name) ? 'list' : 'package';
}

function isSame(one: string, other: string): boolean {
  try {
    return readFileSync(one).equals(readFileSync(other));
  } catch {
    return false;
  }
}

function filesIn(tree: string): string[] {
  return readdirSync(tree, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(tree, join(entry.parentPath, entry.name)))
    .sort();
}
