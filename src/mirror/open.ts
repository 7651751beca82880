import { realpathSync } from 'node:fs';
import { asMirrorlatchError, MirrorlatchError } from '../errors.ts';
import { ifThere } from '../system/files.ts';
import { type Layout, layoutOf } from './layout.ts';
import type { Settings } from './records.ts';
import { readSettings } from './settings.ts';

export interface Mirror {
  layout: Layout;
  settings: Settings;
}

/** @throws MirrorlatchError NO_MIRROR when there is none at `root`, CONFIGURATION when it is broken. */
export function openMirror(root: string): Mirror {
  const mirror = findMirror(root);
  if (mirror !== undefined) return mirror;
  throw new MirrorlatchError('NO_MIRROR', `there is no mirror in ${root}`, {
    hint: `Make one with: mirrorlatch sync SRC ${root}`,
  });
}

/** @throws MirrorlatchError as `openMirror`; USAGE when the mirror is written in place. */
export function openMirrorWithSnapshots(root: string): Mirror {
  const mirror = openMirror(root);
  if (mirror.settings.mode === 'snapshots') return mirror;
  throw new MirrorlatchError(
    'USAGE',
    `${mirror.layout.root} is written in place: it has no snapshots`,
    { hint: `See how it is with: mirrorlatch gate status ${mirror.layout.root}` },
  );
}

/** The mirror at `root`, or at what the symlink `root` leads to; undefined when there is none. */
export function findMirror(root: string): Mirror | undefined {
  try {
    const real = ifThere(() => realpathSync(root));
    if (real === undefined) return undefined;
    const layout = layoutOf(real);
    const settings = readSettings(layout);
    return settings && { layout, settings };
  } catch (error) {
    throw asMirrorlatchError(error, `the mirror ${root} cannot be read`);
  }
}
