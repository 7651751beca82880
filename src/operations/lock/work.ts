import type { MadeBy } from '../../mirror/clone.ts';
import { publicationOf, readHistory } from '../../mirror/history/history.ts';
import type { PlanFigures } from '../../mirror/plan/plan.ts';
import { type ShrinkGuard, shrinkGuard } from '../../mirror/plan/shrink-guard.ts';
import type { LiveSizes } from '../../mirror/plan/sizes-before.ts';
import type { Given, LockPolicy } from '../../mirror/settings/policy.ts';
import { programName } from '../../system/foreground.ts';
import { quoteForSh } from '../../system/quote.ts';
import type { Unchanged } from '../../writer/confirming.ts';
import type { OnEvent } from '../../writer/events.ts';
import type { Mend } from '../../writer/modes.ts';
import type { PolicyOptions } from '../../writer/policy.ts';
import type { Published } from '../../writer/publishing.ts';
import type { Writer } from '../../writer/writer.ts';
import type { LockedCommand } from './command.ts';
import { STAGING } from './writers.ts';

export interface LockOptions extends PolicyOptions, LockedCommand {
  root: string;
  /** Nothing but the lock. */
  lockOnly?: boolean | undefined;
  /** Go on from the tree that an earlier command left. */
  resume?: boolean | undefined;
  /** Publish the tree of an in-place mirror although a sync had left it unfinished before. */
  allowDirty?: boolean | undefined;
  /** Begin with an empty tree. */
  empty?: boolean | undefined;
  /** The command never writes to a file in place, nor sets its attributes: the tree may share files. */
  hardLinksAreSafe?: boolean | undefined;
  /** The new snapshot's name. */
  id?: string | undefined;
  /** For the new snapshot, or the current one if the command changed nothing. */
  tags?: readonly string[] | undefined;
  lock?: Given<LockPolicy> | undefined;
  /** Remove old snapshots at the end; by default true. */
  prune?: boolean | undefined;
  /** Ends it before and after the command; while that runs, signals are for the command. */
  signal?: AbortSignal | undefined;
  onEvent?: OnEvent | undefined;
}

/** What came of the command's tree. */
export type Filled =
  | (Published & { clone: MadeBy; plan: PlanFigures; seconds: number })
  /** The command changed nothing. */
  | (Unchanged & { seconds: number });

/** What history says of a tree that a command made. */
export function madeBy({ command }: LockOptions, clone: MadeBy) {
  return { source: programName(command), strategy: 'command', clone };
}

/**
 * @param hint what else to do than to publish the tree all the same.
 * @param allow the command that does.
 * @param sizes those of the published tree, if that is the very tree.
 */
export function treeGuard(
  { layout, before, policy }: Writer,
  hint: string,
  allow: string,
  sizes?: LiveSizes,
): ShrinkGuard {
  const size = before === undefined ? {} : { ...publicationOf(readHistory(layout), before) };
  const published =
    before === undefined
      ? undefined
      : {
          size: { ...size, ...sizes?.tree },
          path: layout.snapshot(before),
          sizesWithin: sizes?.within,
        };
  return shrinkGuard(published, policy.shrink, {
    name: 'tree',
    otherCause: '',
    hint: `${hint}; if it is, publish it with: ${allow}`,
  });
}

/** By a command of its own, since the modes are those that a command gives. */
export function mendByCommand({ layout }: Writer): Mend {
  return (change) => {
    const chmod = change === 'a+rx' ? `chmod ${change}` : `chmod -R ${change}`;
    return `mirrorlatch lock ${quoteForSh(layout.root)} -- sh -c '${chmod} "$${STAGING}"'`;
  };
}

/** The command that publishes, as it is, what another command left. */
export function publishByHand(root: string, ...options: readonly string[]): string {
  return publishInPlaceByHand(root, '--resume', ...options);
}

/** The same where the one tree is what is published. */
export function publishInPlaceByHand(root: string, ...options: readonly string[]): string {
  return ['mirrorlatch lock', quoteForSh(root), ...options, '-- true'].join(' ');
}
