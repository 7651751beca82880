import { nameInLine, readableName } from '../mirror/names.ts';
import { describeLeftOut } from '../mirror/plan/left-out.ts';
import { showBytes } from '../mirror/units.ts';
import type { PlannedSync } from '../operations/sync/plan-sync.ts';
import type { SyncResult } from '../operations/sync/sync.ts';
import type { Entry } from '../rsync/itemize.ts';
import { printJsonWithList, printLine } from './output.ts';
import { describeChanges, nameOfTree, withoutSnapshot } from './terminal.ts';
import { showFiles, showSince } from './units.ts';

/** What a sync would do. */
export type Plan = PlannedSync<Iterable<Entry>>;

export async function printPlanAsJson({ entries, ...others }: Plan): Promise<void> {
  const shown = function* () {
    for (const { change, type, name, size } of entries)
      yield { change, type, ...readableName(name), size };
  };
  await printJsonWithList(others, 'entries', shown());
}

export function printPlan({ entries, plan, source }: Plan): void {
  for (const { change, name } of entries)
    printLine(`${change.padEnd(10)} ${nameInLine(readableName(name).name)}`);
  for (const leftOut of plan.leftOut) printLine(`left out   ${describeLeftOut(leftOut)}`);
  printLine(
    `${source}: ${describeChanges(plan)}, ${showBytes(plan.transferBytes)} to transfer; this was a dry run`,
  );
}

/** @param wanted the name that the user gave to the snapshot. */
export function sentenceFor(result: SyncResult, wanted: string | undefined): string {
  const seconds = `${result.seconds.toFixed(1)} s`;
  const pruned = result.pruned?.removed.length
    ? `; removed ${result.pruned.removed.join(', ')}`
    : '';
  if (result.outcome === 'unchanged' && result.look === 'probe') {
    return `unchanged (probe): the stamps of ${result.source} are as in ${nameOfTree(result.id)}${withoutSnapshot(wanted)}; last look at everything ${showSince(result.lookedAt)} (${seconds})${pruned}`;
  }
  const byList = result.look === 'file-list';
  if (result.outcome === 'unchanged') {
    const known = byList
      ? ` by its list of files; last look at everything ${showSince(result.lookedAt)}`
      : '';
    return `unchanged${byList ? ' (file list)' : ''}: ${nameOfTree(result.id)} is the same as ${result.source}${withoutSnapshot(wanted)}${known} (${seconds})${pruned}`;
  }
  const { plan, clone, strategy } = result;
  const planned = byList ? 'file list' : strategy;
  const how =
    clone === 'none' ? planned : `${planned}, ${clone === 'recycle' ? 'recycled' : clone} clone`;
  return `published ${nameOfTree(result.id)}: ${plan.newFiles} new, ${plan.changedFiles} changed, ${plan.deletedFiles} deleted; ${showFiles(plan.source.files)} in all (${how}, ${seconds})${pruned}`;
}
