import { bytePath } from '../../mirror/byte-path.ts';
import { Plan } from '../../mirror/plan.ts';
import { planArguments, type Transfer } from '../../rsync/arguments.ts';
import type { Entry, LeftOutEntry } from '../../rsync/itemize.ts';
import { isTemporary, mayBeTemporary } from '../../rsync/temporary-names.ts';
import { untilClean } from '../../rsync/until-clean.ts';
import { lstatIfThere } from '../../system/files.ts';
import type { PlanContext } from './context.ts';
import type { EntryListener } from './differences.ts';

/**
 * Finds out what differs between the source and `target`, a directory that need not exist.
 *
 * @param listen makes a listener for each try; that of the clean one is returned.
 * @param moreArguments for rsync, before all others.
 */
export async function makePlan<Listener extends EntryListener>(
  context: PlanContext,
  target: string,
  listen: () => Listener,
  moreArguments: readonly string[] = [],
): Promise<{ plan: Plan; listener: Listener }> {
  const { transfer } = context;
  const rules = { keeps: keepsOf(context), leavesOut: leavesOutOf(transfer) };
  const { run, totals } = await untilClean(context, () => {
    const plan = new Plan(target, rules);
    const listener = listen();
    const listenTo = (entry: Entry | undefined) => entry && listener.add(entry);
    return {
      args: [...moreArguments, ...planArguments(transfer, target)],
      onEntry: (entry: Entry) => listenTo(plan.add(entry)),
      onLeftOut: (entry: LeftOutEntry) => listenTo(plan.leaveOut(entry)),
      close: () => listener.close(),
      plan,
      listener,
    };
  });
  run.plan.complete(totals);
  return run;
}

/**
 * Under `--without delete` an entry of `current` stays when the source no longer has it. In place,
 * what an interrupted rsync left of its own is no loss of the source's, whatever its size.
 */
function keepsOf({ transfer, base, strategy }: PlanContext): (name: string) => boolean {
  const isOurs = strategy === 'in-place' && !transfer.without.has('temp-excludes');
  const keeps = base !== undefined && transfer.without.has('delete');
  return (name) =>
    (isOurs && mayBeTemporary(name)) || (keeps && lstatIfThere(bytePath(base, name)) !== undefined);
}

function leavesOutOf({ without }: Transfer): (entry: Entry) => boolean {
  return without.has('temp-excludes') ? () => false : isTemporary;
}
