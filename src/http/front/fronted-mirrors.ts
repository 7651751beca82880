import { realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { layoutOf } from '../../mirror/layout.ts';
import { ifThere } from '../../system/files.ts';
import { isWithin } from '../files/place-in-tree.ts';
import { serveMirror } from '../pins/serve-mirror.ts';
import type { ServedMirror, ServedRoot } from '../pins/served-mirror.ts';
import type { FrontedMirror } from './front.ts';

/**
 * Looks where the trees of mirrors lie, for a web server in front of them.
 *
 * @throws MirrorlatchError as `serveMirror`.
 */
export function frontedMirrors(roots: readonly ServedRoot[]): FrontedMirror[] {
  const places = new Set(roots.flatMap(({ prefix, content }) => [prefix, content]));
  return roots.map(serveMirror).map((mirror) => ({
    name: mirror.name,
    prefix: mirror.prefix,
    content: mirror.content,
    root: mirror.root,
    trees: treesOf(mirror),
    hasSnapshots: mirror.kind === 'snapshots',
    // Another mirror may have the place of one.
    channels: mirror.channels().filter((name) => !places.has(`${mirror.prefix}${name}/`)),
  }));
}

/** Finds mirrors by their names; undefined for one that is not there yet, or that this user may not read. */
export function mirrorsByName(
  roots: readonly ServedRoot[],
): (name: string) => ServedMirror | undefined {
  const opened = new Map<string, ServedMirror>();
  return (name) => {
    try {
      const root = roots.find((one) => one.name === name);
      const mirror = opened.get(name) ?? (root && serveMirror(root));
      if (mirror !== undefined) opened.set(name, mirror);
      return mirror;
    } catch {
      return undefined;
    }
  };
}

function treesOf({ kind, root }: ServedMirror): string {
  const { snapshots, gate } = layoutOf(root);
  if (kind === 'in-place') return gate;
  // The snapshots may have been moved to another disk, with a symlink in their place.
  if (kind === 'snapshots') return ifThere(() => realpathSync(snapshots)) ?? snapshots;
  // The next tree of another program need not lie beside this one: `build-7/repo`.
  const tree = ifThere(() => realpathSync(join(root, 'current')));
  return tree === undefined || isWithin(root, Buffer.from(tree)) ? root : dirname(tree);
}
