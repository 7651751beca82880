import { inspect } from 'node:util';
import { MirrorlatchError } from '../errors.ts';

/** The error for an option that a program has given. @param kind what it must be, in words. */
export function unfitOption(name: string, value: unknown, kind: string): MirrorlatchError {
  const shown = inspect(value, { depth: 1, breakLength: Number.POSITIVE_INFINITY });
  return new MirrorlatchError('USAGE', `${name} is ${shown}, and must be ${kind}`);
}
