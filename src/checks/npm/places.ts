import { posix } from 'node:path';
import { nameIn } from '../claims.ts';
import type { TreeFiles } from '../tree-files.ts';
import type { Version } from './packument.ts';

/** Where the tarballs of a package lie: beside its document, in `-` below that, or by the paths of their URLs. */
export type Place = 'beside' | 'dash' | { from: string; without: number };

/** @returns the name of a tarball in the tree; undefined if it has none. @param directory that of the document. */
export function tarballAt(place: Place, directory: string, { path }: Version): string | undefined {
  const file = posix.basename(path);
  if (place === 'beside') return nameIn(directory, file);
  if (place === 'dash') return nameIn(posix.join(directory, '-'), file);
  return nameIn(place.from, path.split('/').slice(place.without).join('/'));
}

/**
 * Where the first of some versions lies.
 *
 * @param top the directory of the registry.
 * @returns undefined if none of them is there, nor a directory for them.
 */
export function placeOf(
  versions: readonly Version[],
  directory: string,
  top: string,
  files: TreeFiles,
): Place | undefined {
  for (const version of versions) {
    const tops = [...new Set([top, '.'])];
    const depth = version.path.split('/').length;
    const byUrl = tops.flatMap((from) =>
      Array.from({ length: Math.min(depth, DEEPEST) }, (_, without) => ({ from, without })),
    );
    for (const place of ['dash' as const, 'beside' as const, ...byUrl]) {
      const name = tarballAt(place, directory, version);
      if (name !== undefined && files.find(name) !== 'missing') return place;
    }
  }
  // In the middle of an update, none may be there yet. Nothing else has a directory of that name.
  return files.find(posix.join(directory, '-')) === 'missing' ? undefined : 'dash';
}

/** No URL of a registry has more directories before the names of its packages. */
const DEEPEST = 10;
