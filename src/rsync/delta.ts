import type { Transfer } from './arguments.ts';
import { parseRsyncOptions } from './options.ts';

/**
 * Whether rsync may get another file as the basis of a new one.
 *
 * - It reads a local source as a whole anyway, and any under `--whole-file`.
 * - Who gives `--fuzzy`, or its contrary, has chosen.
 * - Under `--size-only` it takes a basis of the same size for the file itself.
 * - Without `--perms` a new file gets the mode of its basis.
 */
export function takesBasis({ source, without, options }: Transfer): boolean {
  if (source.kind === 'local') return false;
  const { named } = parseRsyncOptions(options);
  const isOn = (byDefault: boolean, on: readonly string[], off: readonly string[]) =>
    named.reduce(
      (is, { name }) => (on.includes(name) ? true : off.includes(name) ? false : is),
      byDefault,
    );
  const hasAny = (...names: string[]) => named.some(({ name }) => names.includes(name));
  return (
    !hasAny('fuzzy', 'no-fuzzy', 'no-y', 'size-only') &&
    !isOn(false, ['whole-file'], ['no-whole-file', 'no-W']) &&
    isOn(!without.has('archive'), ['archive', 'perms'], ['no-perms', 'no-p'])
  );
}
