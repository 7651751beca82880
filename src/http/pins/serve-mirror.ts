import { isInPlace } from '../../mirror/locks/gate.ts';
import { findMirror } from '../../mirror/open.ts';
import { ForeignTree } from './foreign-tree.ts';
import { InPlaceMirror } from './in-place-mirror.ts';
import type { ServedMirror, ServedRoot } from './served-mirror.ts';
import { SnapshotMirror } from './snapshot-mirror.ts';

/**
 * Opens a mirror, or a tree with a symlink `current` that another program keeps.
 *
 * @throws MirrorlatchError NO_MIRROR when it is neither; as `openMirror`.
 */
export function serveMirror(served: ServedRoot): ServedMirror {
  const mirror = findMirror(served.root);
  if (mirror === undefined) return new ForeignTree(served);
  const { layout } = mirror;
  return isInPlace(layout) ? new InPlaceMirror(served, layout) : new SnapshotMirror(served, layout);
}
