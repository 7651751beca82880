import { renameSync } from 'node:fs';
import { distrustAfterRestart } from '../../mirror/distrust.ts';
import { checkSpace } from '../../mirror/preflight.ts';
import { findLeftovers, stagedTree } from '../../mirror/staging.ts';
import { lstatIfThere } from '../../system/files.ts';
import { BackgroundClone } from './background-clone.ts';
import type { BuiltTree, SyncContext } from './context.ts';
import {
  makeWorkPlan,
  setAside,
  transferUntilEqual,
  transferWholeTree,
  type WorkPlan,
} from './transfer.ts';

/** What the new tree begins as. */
type Beginning =
  /** What an interrupted sync transferred: planned against, it is a tree that differs in places. */
  | { kind: 'leftover'; path: string }
  /** A clone of `current`, which has all that does not differ. */
  | { kind: 'clone'; clone: BackgroundClone }
  /** Nothing: rsync makes one pass over the whole source, and links from the leftovers. */
  | { kind: 'empty'; leftovers: readonly string[] };

/**
 * Makes the tree `staging/<id>` equal to the source.
 *
 * A plan names what differs from `current`, and the tree's beginning has what does not. What differs
 * is taken out of it and transferred anew. A transfer that failed is tried again in the same way.
 */
export async function buildTree(context: SyncContext, id: string): Promise<BuiltTree> {
  const { writer, base } = context;
  const { layout } = writer;
  if (await distrustAfterRestart(layout, base, writer.signal)) {
    const since = 'the machine was restarted, or the disk mounted anew, since the interrupted sync';
    writer.notice(`${since}: what it left is compared by content`);
  }
  const tree = stagedTree(layout, id);
  const beginning = chooseBeginning(context, id);
  const clone = beginning.kind === 'clone' ? beginning.clone : undefined;
  try {
    writer.enter('planning');
    const work = await makeWorkPlan(context, base ?? tree, () => clone?.start());
    const { figures, isEmpty } = work.plan;
    writer.onEvent({ kind: 'planned', plan: figures });
    if (isEmpty && base !== undefined) return { isChanged: false, plan: figures, clone: 'none' };
    context.refuseShrinking(figures);
    await fill(context, tree, beginning, work);
    return { isChanged: true, plan: figures, clone: clone?.method ?? 'none' };
  } finally {
    await clone?.abandon();
  }
}

function chooseBeginning(
  { writer, base, needsWholePass, clone }: SyncContext,
  id: string,
): Beginning {
  const leftovers = findLeftovers(writer.layout).trees;
  const [newest] = leftovers;
  if (newest !== undefined && !needsWholePass) return { kind: 'leftover', path: newest };
  if (base === undefined || needsWholePass) return { kind: 'empty', leftovers };
  return { kind: 'clone', clone: new BackgroundClone(writer, base, id, clone) };
}

/** @param work what differs between the source and `current`. */
async function fill(
  context: SyncContext,
  tree: string,
  beginning: Beginning,
  work: WorkPlan,
): Promise<void> {
  const { writer } = context;
  const { staging } = writer.layout;
  const { figures } = work.plan;
  switch (beginning.kind) {
    case 'leftover':
      writer.notice('going on from what an interrupted sync transferred');
      if (beginning.path !== tree) {
        // An older tree may have the name that this sync was given.
        if (lstatIfThere(tree)) setAside(tree);
        renameSync(beginning.path, tree);
      }
      return transferUntilEqual(context, tree);
    case 'empty':
      checkSpace(staging, figures, 'none');
      return transferWholeTree(context, tree, figures, beginning.leftovers);
    case 'clone': {
      const { clone } = beginning;
      checkSpace(staging, figures, clone.expected, clone.freeBefore);
      writer.enter('cloning');
      await clone.moveTo(tree);
      return transferUntilEqual(context, tree, work);
    }
  }
}
