import { setFlagsFromString } from 'node:v8';

/**
 * Lets V8 collect garbage early and often. By default it grows the heap with the memory of the machine,
 * to save time, as does inlining; but most of our time is rsync's, and what we keep is little.
 */
export function keepHeapSmall(): void {
  setFlagsFromString('--optimize-for-size');
  setFlagsFromString('--semi-space-growth-factor=1');
  setFlagsFromString('--no-turbo-inlining');
}
