import { halfAdopted, hintToFinish, hintToLink } from './adoption.ts';
import { wayToMove } from './channels/channels.ts';
import type { Layout } from './layout.ts';
import { describeProcesses } from './locks/lock-state.ts';
import { commandToMoveAway, describeMounted, wayOutOfMounts } from './served/earlier-clones.ts';
import type { Finding } from './survey.ts';

/** So many of one kind are all named; of more, as many, and the rest is counted. */
const FEW = 3;

/** What a crash left, and what becomes of it, a sentence each. @param isOrphaned processes of a killed sync still run. */
export function describeFindings(
  layout: Layout,
  findings: readonly Finding[],
  isOrphaned: boolean,
): string[] {
  const kinds = new Set(findings.map(({ kind }) => kind));
  return [...kinds].flatMap((wanted) => {
    const found = findings.filter(({ kind }) => kind === wanted);
    const named = found.slice(0, FEW).map((one) => describeFinding(layout, one, isOrphaned));
    const more = found.length - named.length;
    return more === 0 ? named : [...named, `and ${more} more of that kind`];
  });
}

function describeFinding(layout: Layout, finding: Finding, isOrphaned: boolean): string {
  return `${describeRemains(finding)}; ${whatFollows(layout, finding, isOrphaned)}`;
}

function whatFollows(layout: Layout, finding: Finding, isOrphaned: boolean): string {
  if (finding.kind === 'diverted-adoption') return hintToLink(layout, finding.path);
  if (finding.kind === 'unfinished-adoption' && halfAdopted(layout) !== undefined)
    return hintToFinish(layout, finding.path);
  if (finding.kind === 'foreign-tree') return 'nothing changes or removes it';
  if (finding.kind === 'unfinished-command') {
    return finding.obstacle === null
      ? 'lock --resume goes on from it, and any other lock or sync discards it'
      : `the next lock or sync discards it, because ${finding.obstacle.why}; ${finding.obstacle.wayOut}`;
  }
  if (finding.kind === 'broken-channel') return wayToMove(layout, finding.channel);
  if (finding.kind === 'missing-channel') return 'the next sync records that';
  if (finding.kind === 'unfinished-removal') return 'the next prune removes it, or says why not';
  if (finding.kind === 'failed-removal') return finding.why;
  if (finding.kind === 'kept-clone')
    return finding.lostId === undefined
      ? 'move that elsewhere, and the next sync removes the rest'
      : `move it away with: ${commandToMoveAway(layout, finding.path)}`;
  if (finding.kind === 'mounted-clone') return wayOutOfMounts(finding);
  if (finding.kind === 'locked-lease') return 'end that process';
  if (finding.kind === 'unclean-gate' && finding.wayOut !== null) return finding.wayOut;
  if (finding.kind === 'unfinished-tree' && !isOrphaned) return 'the next sync goes on from it';
  return `${isOrphaned ? 'the sync that ends them' : 'the next sync'} takes care of it`;
}

/** What a crash left: a clause for people. */
export function describeRemains(finding: Finding): string {
  switch (finding.kind) {
    case 'unfinished-tree':
      return `a sync that did not finish left ${finding.path}`;
    case 'unfinished-command':
      return `a command whose tree was not published left ${finding.path}`;
    case 'unfinished-clone':
      return `an interrupted clone left ${finding.path}`;
    case 'unpublished-snapshot':
      return `snapshot ${finding.id} was made but not published`;
    case 'missing-current':
      return `current is gone; it named snapshot ${finding.id}`;
    case 'unrecorded-publication':
      return finding.announced === undefined
        ? `snapshot ${finding.id} was published but not recorded in history`
        : `snapshot ${finding.id} was published but not recorded in history, and current.json still names ${finding.announced}`;
    case 'lost-previous':
      return `an interrupted publication left previous at what is current; it named snapshot ${finding.id}`;
    case 'unrecorded-promotion':
      return `the channel ${finding.channel} names snapshot ${finding.id}, which is not recorded in history`;
    case 'missing-channel':
      return `the channel ${finding.channel}, which named snapshot ${finding.id}, is gone`;
    case 'broken-channel':
      return `the channel ${finding.channel} names snapshot ${finding.id}, which is gone`;
    case 'missing-lease':
      return `snapshot ${finding.id} has no lease file`;
    case 'locked-lease':
      return `the lease of ${finding.id} is locked exclusively by ${describeProcesses(finding.processes) || 'a process that this user cannot see'}, and readers cannot lock it`;
    case 'stray-lease':
      return `the lease of snapshot ${finding.id} is left, but the snapshot is gone`;
    case 'unrecorded-removal':
      return `snapshot ${finding.id} was removed, but the removal is not recorded in history`;
    case 'failed-removal':
      return `snapshot ${finding.id} was to be pruned`;
    case 'unfinished-removal':
      return `an interrupted removal left ${finding.path}`;
    case 'kept-clone':
      return finding.lostId === undefined
        ? `${finding.path}, which was served before, has something in it that the mirror did not put there`
        : `${finding.path} was served before, and the snapshot ${finding.lostId} is gone, without which nobody knows what was put into it`;
    case 'mounted-clone':
      return describeMounted(finding);
    case 'lock-remains':
      return `an interrupted command left ${finding.path}`;
    case 'unfinished-adoption':
      return `the adoption of ${finding.path} was interrupted`;
    case 'diverted-adoption':
      return `${finding.path} was adopted, but does not lead to what is current`;
    case 'foreign-tree':
      return `the tree ${finding.id} in snapshots was not made by mirrorlatch`;
    case 'unclean-gate':
      return `the tree ${finding.why}`;
  }
}
