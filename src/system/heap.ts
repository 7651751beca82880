import { setFlagsFromString } from 'node:v8';

/**
 * Keeps this process small. By default V8 grows the heap with the memory of the machine, to save time,
 * and its optimizing compiler takes 9 MB to work in. But most of our time is rsync's, and what we keep is
 * little: garbage is collected early, and a line of rsync's output takes 2 µs longer. WebAssembly, by which undici reads
 * answers, is optimized late: after the first requests, that would take 60 ms, more than it saves in hundreds.
 */
export function keepHeapSmall(): void {
  for (const flag of ['--optimize-for-size', '--no-opt', '--wasm-tiering-budget=100000000'])
    setFlagsFromString(flag);
  collectEarly();
}

/**
 * Keeps the space for new objects as it is. V8 forgets that whenever a thread starts: as it makes the heap of the
 * thread, it raises the factor to 2, for all heaps (Heap::ConfigureHeap).
 */
export function collectEarly(): void {
  setFlagsFromString('--semi-space-growth-factor=1');
}

/** Compiles for speed from now on, for work that is our own: a million lines that are not rsync's. */
export function optimizeCode(): void {
  setFlagsFromString('--opt');
}
