import { watch } from 'node:fs';
import { join } from 'node:path';
import { errnoOf } from '../../errors.ts';
import { readTextIfThere } from '../../system/files.ts';
import { lines, link, names } from '../../system/proc.ts';
import { type Check, ok, type Verdict, warning } from './check.ts';

/** How many more may start before somebody has to raise a limit; `watch` and `wait` take one of each. */
const SPARE = 8;

export const INOTIFY: readonly Check<void>[] = [{ title: 'inotify', look: lookAtInotify }];

const INSTANCES = 'fs.inotify.max_user_instances';
const WATCHES = 'fs.inotify.max_user_watches';

function lookAtInotify(): Verdict {
  const used = usedByThisUser();
  const [instances, watches] = [limitOf(INSTANCES), limitOf(WATCHES)];
  const found = `${used.instances} of ${instances} instances and ${used.watches} of ${watches} watches of this user are in use`;
  const refused = refusalOfKernel();
  const tooFew =
    refused === 'EMFILE' || used.instances + SPARE > instances
      ? { name: INSTANCES, value: instances }
      : refused === 'ENOSPC' || used.watches + SPARE > watches
        ? { name: WATCHES, value: watches }
        : undefined;
  if (tooFew === undefined) return ok(found);
  return warning(
    `${found}: watch and wait look once a second instead`,
    `As root, raise it with: sysctl -w ${tooFew.name}=${Math.max(1024, tooFew.value * 2)}`,
  );
}

function limitOf(name: string): number {
  return Number(readTextIfThere(`/proc/sys/${name.replaceAll('.', '/')}`) ?? Number.NaN);
}

/** Watches a directory for a moment. @returns how the kernel refuses that, if it does. */
function refusalOfKernel(): string | undefined {
  try {
    watch('/').close();
    return undefined;
  } catch (error) {
    return errnoOf(error);
  }
}

function usedByThisUser(): { instances: number; watches: number } {
  const used = { instances: 0, watches: 0 };
  const uid = String(process.geteuid?.());
  for (const pid of names('/proc').filter((name) => /^\d+$/.test(name))) {
    const ofUser = lines(`/proc/${pid}/status`).find((line) => line.startsWith('Uid:'));
    if (ofUser?.split('\t')[1] !== uid) continue;
    for (const fd of names(`/proc/${pid}/fd`)) {
      if (link(join('/proc', pid, 'fd', fd)) !== 'anon_inode:inotify') continue;
      used.instances += 1;
      used.watches += lines(`/proc/${pid}/fdinfo/${fd}`).filter((line) =>
        line.startsWith('inotify wd:'),
      ).length;
    }
  }
  return used;
}
