import { realpathSync } from 'node:fs';
import { hasCode } from '../../errors.ts';
import { type Layout, layoutOf } from '../../mirror/layout.ts';
import { isPinnedTo } from '../../mirror/locks/pins.ts';
import { openMirror } from '../../mirror/open.ts';
import { type Check, type Examination, examine, skipped } from './check.ts';
import { CRON } from './cron.ts';
import { FILESYSTEM } from './filesystem.ts';
import { INOTIFY } from './inotify.ts';
import { NAMESPACES } from './namespaces.ts';
import { PLACE } from './place.ts';
import { PROGRAMS } from './programs.ts';
import { SURROUNDINGS } from './surroundings.ts';
import { USE } from './use.ts';

/** What every mirror on this host needs, in the order in which it is told. */
const OF_SYSTEM: readonly Check<void>[] = [
  ...PROGRAMS,
  ...NAMESPACES,
  ...INOTIFY,
  ...SURROUNDINGS,
  ...CRON,
];

const OF_MIRROR: readonly Check<Layout>[] = [...PLACE, ...FILESYSTEM, ...USE];

const INSIDE_A_GUARD: readonly Check<Layout>[] = [
  {
    title: 'guard',
    look: () => skipped('it is seen from inside a guard, which shows one snapshot'),
  },
];

export interface DoctorReport {
  /** Nothing is bad. */
  isSound: boolean;
  system: Examination[];
  mirrors: { root: string; examinations: Examination[] }[];
}

/**
 * Looks for what keeps mirrorlatch from its work, on this host and in these mirrors. Changes nothing: what
 * has to be tried is tried in a new directory in staging, and in one for temporary files, which go again.
 *
 * @throws MirrorlatchError NO_MIRROR, before anything is looked at, for a path that is none.
 */
export async function doctor(roots: readonly string[] = []): Promise<DoctorReport> {
  const layouts = roots.map(layoutThere);
  const system = await examine(OF_SYSTEM, undefined);
  const mirrors: DoctorReport['mirrors'] = [];
  for (const layout of layouts) {
    const checks = isPinnedTo(layout.root, 'self') ? INSIDE_A_GUARD : OF_MIRROR;
    mirrors.push({ root: layout.root, examinations: await examine(checks, layout) });
  }
  const all = [...system, ...mirrors.flatMap(({ examinations }) => examinations)];
  return { isSound: all.every(({ state }) => state !== 'bad'), system, mirrors };
}

/** Also that of a mirror whose settings are broken, which is something to tell. */
function layoutThere(root: string): Layout {
  try {
    return openMirror(root).layout;
  } catch (error) {
    if (!hasCode(error, 'CONFIGURATION')) throw error;
    return layoutOf(realpathSync(root));
  }
}
