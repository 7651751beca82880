import { tmpdir } from 'node:os';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';

/** What every bench is told. */
export interface CommonOptions {
  /** A file for the figures. */
  readonly json: string | undefined;
  /** Where its directories are made. */
  readonly work: string;
}

export const COMMON = {
  json: { type: 'string' },
  work: { type: 'string', default: tmpdir() },
} as const;

/**
 * Reads the options of a bench that takes whole numbers, `--json` and `--work`.
 *
 * @param counts the default of each number, and the least that it may be.
 * @throws Error with the usage
 */
export function readCounts<Name extends string>(
  counts: Readonly<Record<Name, { readonly byDefault: number; readonly least: number }>>,
  usage: string,
): Record<Name, number> & CommonOptions {
  const names = Object.keys(counts) as Name[];
  const own = Object.fromEntries(names.map((name) => [name, { type: 'string' } as const]));
  const { values } = parseArgs({ options: { ...own, ...COMMON } });
  const given: Readonly<Record<string, string | undefined>> = values;
  const numbers = {} as Record<Name, number>;
  for (const name of names) {
    const { byDefault, least } = counts[name];
    numbers[name] = Number(given[name] ?? byDefault);
    if (!Number.isSafeInteger(numbers[name]) || numbers[name] < least) {
      throw new Error(`--${name} takes a whole number of at least ${least}\n${usage}`);
    }
  }
  return { ...numbers, json: values.json, work: resolve(values.work) };
}
