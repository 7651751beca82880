import { basename, dirname, relative, resolve } from 'node:path';
import { realPathToBe } from '../system/files.ts';
import type { Layout } from './layout.ts';
import { isSnapshotId } from './snapshot-id.ts';

/** The id of the snapshot that `path` leads to or into, be it there or not. */
export function snapshotAround({ snapshots }: Layout, path: string): string | undefined {
  const [id = ''] = relative(snapshots, realPathToBe(resolve(path))).split('/');
  return isSnapshotId(id) ? id : undefined;
}

/**
 * The id that a person gave as it is or, as a shell completes it, as the path of the snapshot: `ID/`,
 * `snapshots/ID` or `ROOT/snapshots/ID`. A path that leads to no snapshot of this mirror is returned as
 * it was given, and names none.
 */
export function snapshotNamed({ root, snapshots }: Layout, given: string): string {
  const name = given.replace(/\/+$/, '');
  if (!name.includes('/')) return name;
  const path = ['.', root]
    .map((place) => realPathToBe(resolve(place, name)))
    .find((real) => dirname(real) === snapshots);
  return path === undefined ? given : basename(path);
}
