import { givenSeed, seededRandom } from './scale.ts';

/** The random choices of one actor. */
export interface Dice {
  chance(probability: number): boolean;
  /** A number in [from, to). */
  between(from: number, to: number): number;
  /** A whole number in [from, to]. */
  whole(from: number, to: number): number;
  pick<T>(values: readonly T[]): T;
  /** Picks each as often as its weight says. */
  draw<T extends { readonly weight: number }>(values: readonly T[]): T;
}

/** The dice of an actor: they depend only on the seed and its name, not on what others do meanwhile. */
export function diceOf(actor: string): Dice {
  const random = seededRandom(givenSeed() + hashOf(actor));
  const pick = <T>(values: readonly T[]): T => {
    const value = values[Math.floor(random() * values.length)];
    if (value === undefined) throw new Error('there is nothing to pick from');
    return value;
  };
  const between = (from: number, to: number) => from + random() * (to - from);
  return {
    chance: (probability) => random() < probability,
    between,
    whole: (from, to) => Math.floor(between(from, to + 1)),
    pick,
    draw: (values) =>
      pick(values.flatMap((value) => Array.from({ length: value.weight }, () => value))),
  };
}

/** FNV-1a. */
function hashOf(text: string): number {
  return [...Buffer.from(text)].reduce(
    (hash, byte) => Math.imul(hash ^ byte, 0x01000193),
    0x811c9dc5,
  );
}
