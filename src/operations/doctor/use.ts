import { statfsSync } from 'node:fs';
import { type HistoryEntry, readHistory } from '../../mirror/history/history.ts';
import { arrivalOf, snapshotTimes } from '../../mirror/history/snapshot-times.ts';
import { type Layout, LIVE } from '../../mirror/layout.ts';
import { findReaders } from '../../mirror/locks/readers.ts';
import { isAhead, showBytes, showTime } from '../../mirror/units.ts';
import { freeSpaceAt } from '../../system/mounts.ts';
import { quoteForSh } from '../../system/quote.ts';
import { policyOf } from '../../writer/policy.ts';
import { keptByRules } from '../../writer/pruning.ts';
import { bad, type Check, ok, skipped, type Verdict, warning } from './check.ts';
import { soundSettings } from './place.ts';

const DAY_MS = 86_400_000;

/** What the use of a mirror has come to. */
export const USE: readonly Check<Layout>[] = [
  { title: 'space', look: lookAtSpace },
  { title: 'clock', look: lookAtClock },
  { title: 'stale readers', look: lookForStaleReaders },
];

/** The share of a disk, and of its inodes, that should be free. */
const SPARE_PERCENT = 5n;

/** So many of the latest publications say how much the next may need. */
const LATEST = 10;

function lookAtSpace(layout: Layout): Verdict {
  const { bytes, inodes } = freeSpaceAt(layout.root);
  const { blocks, bsize, files } = statfsSync(layout.root, { bigint: true });
  const needed = largestOf(readHistory(layout));
  const count = inodes === undefined ? '' : ` and ${inodes} inodes`;
  const found = `${showBytes(bytes)}${count} free`;
  const remedy = `See what could go with: mirrorlatch prune ${quoteForSh(layout.root)} --keep-last 2 --dry-run`;
  if (bytes < BigInt(needed.newBytes)) {
    return bad(`${found}, but a recent sync needed ${showBytes(needed.newBytes)}`, remedy);
  }
  if (inodes !== undefined && inodes < BigInt(needed.newFiles)) {
    return bad(
      `${found}, but a recent sync needed ${needed.newFiles} inodes for new files`,
      remedy,
    );
  }
  const isLow =
    bytes * 100n < blocks * bsize * SPARE_PERCENT ||
    (inodes !== undefined && inodes * 100n < files * SPARE_PERCENT);
  if (isLow) return warning(`${found}, less than ${SPARE_PERCENT} % of the disk`, remedy);
  return ok(`${found}; the largest of the latest syncs needed ${showBytes(needed.newBytes)}`);
}

function largestOf(history: readonly HistoryEntry[]): { newBytes: number; newFiles: number } {
  const latest = history.filter((entry) => entry.event === 'published').slice(-LATEST);
  return {
    newBytes: Math.max(0, ...latest.map(({ newBytes = 0 }) => newBytes)),
    newFiles: Math.max(0, ...latest.map(({ newFiles = 0 }) => newFiles)),
  };
}

function lookAtClock(layout: Layout): Verdict {
  const { at } = readHistory(layout).at(-1) ?? {};
  if (at === undefined || !isAhead(at)) return ok('later than all that the mirror has recorded');
  return bad(
    `it is before the last change of the mirror, at ${showTime(at)}: one of the two clocks was wrong, or is`,
    'Compare with: date -u. If this one is wrong, as root: timedatectl set-ntp true',
  );
}

/** A command that reads a mirror ends within hours; ms. */
const STALE_MS = 3 * DAY_MS;

/** Only a reader of what would be pruned without it is in the way. */
function lookForStaleReaders(layout: Layout): Verdict {
  const now = Date.now();
  const history = readHistory(layout);
  const timesOf = snapshotTimes(history, (id) => arrivalOf(layout, id), now);
  const settings = soundSettings(layout);
  if (settings === undefined) return skipped('the settings cannot be read');
  const { retention } = policyOf(settings, {});
  const kept = keptByRules(layout, history, retention);
  const readers = findReaders(layout);
  const stale = [...readers].flatMap(([id, all]) => {
    const age = now - timesOf(id).supersededAt;
    return id === LIVE || kept.has(id) || age < STALE_MS
      ? []
      : all.map((reader) => ({ id, days: Math.floor(age / DAY_MS), ...reader }));
  });
  if (stale.length === 0) {
    const unseen = process.geteuid?.() === 0 ? '' : ', as far as this user may see';
    return ok(`none${unseen}`);
  }
  const each = stale.map(
    ({ id, days, pid, name, user }) =>
      `${name} (pid ${pid}, ${user}) keeps ${id} from being pruned, which has not been current for ${days} days`,
  );
  const pids = [...new Set(stale.map(({ pid }) => pid))].join(',');
  return warning(each.join('; '), `See what it does with: ps -o pid,lstart,args -p ${pids}`);
}
