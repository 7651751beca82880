import { statSync } from 'node:fs';
import { ifThere, realPathToBe } from '../system/files.ts';
import { mountPointsWithin } from '../system/mounts.ts';
import { parseRsyncOptions } from './options.ts';
import type { Source } from './source.ts';

/**
 * Where other filesystems are mounted in the source, whose content `--one-file-system` leaves out.
 * rsync itself says nothing of it, so that of a source on another host nothing is known.
 */
export function leftOutFilesystems(source: Source, options: readonly string[]): string[] {
  const last = parseRsyncOptions(options).named.findLast(({ name }) =>
    ['one-file-system', 'no-one-file-system', 'no-x'].includes(name),
  );
  if (source.kind !== 'local' || last?.name !== 'one-file-system') return [];
  const top = realPathToBe(source.path);
  const deviceOf = (path: string) => ifThere(() => statSync(path).dev);
  const mounted = new Set(mountPointsWithin(top));
  return [...mounted].filter((path) => path !== top && deviceOf(path) !== deviceOf(top));
}
