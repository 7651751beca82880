import { dirname } from 'node:path';
import { currentId } from '../../mirror/current.ts';
import type { Layout } from '../../mirror/layout.ts';
import { commandAs, refuseOtherOwner } from '../../mirror/locks/ownership.ts';
import { refuseUnchangeable, refuseUnfit } from '../../mirror/plan/preflight.ts';
import type { Settings } from '../../mirror/settings/records.ts';
import { readSettings } from '../../mirror/settings/settings.ts';
import { modeIfClosed } from '../../mirror/trees/tree-mode.ts';
import { lstatIfThere } from '../../system/files.ts';
import { mountPointsWithin } from '../../system/mounts.ts';
import { userName } from '../../system/proc.ts';
import { quoteForSh } from '../../system/quote.ts';
import { bad, type Check, ok, skipped, unlessRefused, type Verdict, warning } from './check.ts';

/** Whose a mirror is, who may change it, and who gets in. */
export const PLACE: readonly Check<Layout>[] = [
  { title: 'settings', look: lookAtSettings },
  { title: 'owner', look: lookAtOwner },
  { title: 'writers', look: lookForWriters },
  { title: 'readers get in', look: lookForReaders },
  { title: 'mounts', look: lookAtMounts },
];

function lookAtSettings(layout: Layout): Verdict {
  const { settings } = layout;
  const mode = lstatIfThere(settings)?.mode ?? 0n;
  if ((mode & 0o022n) !== 0n) {
    return bad(
      `others than its owner may write to ${settings}, and so choose what rsync runs`,
      `chmod go-w ${quoteForSh(settings)}`,
    );
  }
  return unlessRefused(() => readSettings(layout), settings);
}

function lookAtOwner(layout: Layout): Verdict {
  const { root, state } = layout;
  const uid = Number(lstatIfThere(state)?.uid ?? 0n);
  const isRoot = process.geteuid?.() === 0;
  if (uid === process.geteuid?.())
    return unlessRefused(() => refuseOtherOwner(layout), userName(uid));
  const name = userName(uid);
  return warning(
    `the mirror belongs to ${name}, who alone syncs it; what only its owner may try is left out here`,
    `Look as its owner: ${commandAs({ uid, name }, isRoot, ['doctor', root])}`,
  );
}

function lookForWriters(layout: Layout): Verdict {
  const settings = soundSettings(layout);
  if (settings === undefined) return skipped('the settings cannot be read');
  return unlessRefused(() => {
    refuseUnfit(layout, settings.mode);
    refuseUnchangeable(layout, settings.mode);
  }, 'nothing keeps a sync from beginning');
}

/** Undefined if they are broken, which is a finding of its own. */
export function soundSettings(layout: Layout): Settings | undefined {
  try {
    return readSettings(layout);
  } catch {
    return undefined;
  }
}

function lookForReaders(layout: Layout): Verdict {
  const { root, state, snapshots, leases } = layout;
  const closed = [...withParents(root), state, snapshots, leases].filter((path) => {
    const mode = lstatIfThere(path)?.mode;
    return mode !== undefined && (mode & 0o001n) === 0n;
  });
  if (closed.length > 0) {
    return warning(
      `other users cannot enter ${closed.join(', ')}`,
      `If they are to read the mirror: chmod o+x ${closed.map(quoteForSh).join(' ')}`,
    );
  }
  const current = currentId(layout);
  const mode = current && modeIfClosed(layout.snapshot(current));
  if (mode === undefined) return ok('every user');
  return warning(
    `not every user may read the current tree, which has mode ${mode}, as its source has`,
    'If they are to: chmod o+rx the top directory of the source, and sync',
  );
}

function withParents(path: string): string[] {
  return path === dirname(path) ? [path] : [...withParents(dirname(path)), path];
}

function lookAtMounts({ root }: Layout): Verdict {
  const below = mountPointsWithin(root).filter((path) => path !== root);
  if (below.length === 0) return ok('none in it');
  return bad(
    `mounted in it, where nothing is changed or removed: ${below.join(', ')}`,
    `If that is not wanted: umount ${below.toReversed().map(quoteForSh).join(' ')}`,
  );
}
