import { readFileSync } from 'node:fs';
import { MirrorlatchError } from '../errors.ts';

/**
 * The exact bytes of the last words of the command line. Node decodes them as UTF-8 and replaces
 * invalid bytes; the kernel keeps the original (proc(5), /proc/pid/cmdline).
 *
 * @throws MirrorlatchError USAGE when the bytes cannot be recovered.
 */
export function bytesOf(operands: readonly string[]): Buffer[] {
  if (operands.every((word) => !word.includes('\uFFFD'))) {
    return operands.map((word) => Buffer.from(word));
  }
  const line = readFileSync('/proc/self/cmdline', 'latin1').split('\0').slice(0, -1);
  const words = line.slice(-operands.length).map((word) => Buffer.from(word, 'latin1'));
  if (words.every((word, index) => word.toString() === operands[index])) return words;
  throw new MirrorlatchError('USAGE', 'an argument of the command is not valid UTF-8', {
    hint: 'Put the command into a script, and run the script instead.',
  });
}
