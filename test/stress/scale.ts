import { appendFileSync } from 'node:fs';

/** How much of the stress tests is run: a sample in every test run, everything on demand. */
export type Scale = 'sample' | 'all';

/** From `MIRRORLATCH_STRESS` in the environment. */
export const scale: Scale = process.env['MIRRORLATCH_STRESS'] === 'all' ? 'all' : 'sample';

/** The value for the scale of this run. */
export function byScale<T>(values: Readonly<Record<Scale, T>>): T {
  return values[scale];
}

/** One hour, in ms: the unit of the time limits. */
export const HOUR_MS = 3_600_000;

/** Prints the progress of a long test at intervals; vitest is silent until a test has ended. */
export function tellProgress(name: string, done: number, total?: number): void {
  if (scale === 'all' && (done % 25 === 0 || done === total)) {
    process.stderr.write(`${name}: ${done}${total === undefined ? '' : ` of ${total}`}\n`);
  }
}

/** Prints faults as soon as they are found; the test itself fails only at its end. */
export function tellWrong(sentences: readonly string[]): void {
  if (scale === 'all') for (const sentence of sentences) process.stderr.write(`${sentence}\n`);
}

/** Adds a line to the file `MIRRORLATCH_STRESS_SUMMARY`, which scripts/stress.sh prints. */
export function tellSummary(line: string): void {
  const file = process.env['MIRRORLATCH_STRESS_SUMMARY'];
  if (file !== undefined) appendFileSync(file, `${line}\n`);
}

/**
 * Random numbers in [0, 1) that depend only on the seed (mulberry32), so that a failure can be
 * reproduced.
 */
export function seededRandom(seed: number = givenSeed()): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** `MIRRORLATCH_STRESS_SEED` in the environment, or 1. */
export function givenSeed(): number {
  return Number(process.env['MIRRORLATCH_STRESS_SEED'] ?? 1);
}
