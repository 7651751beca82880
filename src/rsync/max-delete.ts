import { MirrorlatchError } from '../errors.ts';
import { optionValue, splitOptions } from './options.ts';

const NUMBER = /^-?\d{1,9}$/;

/**
 * How many files may vanish in one publication, by `--max-delete`. rsync itself would stop deleting there,
 * which leaves a tree that its source never had; a negative number is its older spelling of 0 (rsync(1)).
 *
 * @returns undefined without that option; of several, the last counts. Pure.
 */
export function maxDeleteOf(options: readonly string[]): number | undefined {
  const last = splitOptions(options).findLast(({ name }) => name === 'max-delete');
  const value = last === undefined ? '' : optionValue(last.words);
  return NUMBER.test(value) ? Math.max(0, Number(value)) : undefined;
}

/** @throws MirrorlatchError USAGE for what rsync does not take for a number, either. */
export function checkMaxDelete(words: readonly string[]): void {
  const value = optionValue(words);
  if (NUMBER.test(value)) return;
  throw new MirrorlatchError(
    'USAGE',
    `rsync's option --max-delete cannot be ${JSON.stringify(value)}`,
    {
      hint: 'Give the number of files that may vanish, such as --max-delete=4000.',
    },
  );
}
