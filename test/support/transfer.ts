import type { DefaultName, Transfer } from '../../src/rsync/arguments.ts';
import { parseSource } from '../../src/rsync/source.ts';

/** The transfer of a source with these options of the user and without these defaults. */
export function transferOf(
  source: string,
  options: readonly string[] = [],
  without: readonly DefaultName[] = [],
): Transfer {
  return { source: parseSource(source), without: new Set(without), options };
}
