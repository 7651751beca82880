import { statSync } from 'node:fs';
import { relative } from 'node:path';
import { ifThere, realPathToBe } from '../system/files.ts';
import { isWithin, mountPointsWithin } from '../system/mounts.ts';
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

/**
 * The same as names in the source, one character a byte (latin1), without those below another. rsync
 * deletes nothing below them in its target (rsync(1), --one-file-system).
 */
export function leftOutMountPoints(source: Source, options: readonly string[]): string[] {
  const paths = leftOutFilesystems(source, options);
  if (source.kind !== 'local' || paths.length === 0) return [];
  const top = realPathToBe(source.path);
  return paths
    .filter((path) => !paths.some((other) => other !== path && isWithin(path, other)))
    .map((path) => Buffer.from(relative(top, path)).toString('latin1'));
}
