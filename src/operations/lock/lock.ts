import { hasCode, MirrorlatchError } from '../../errors.ts';
import { type Layout, LIVE } from '../../mirror/layout.ts';
import { whatCleans } from '../../mirror/locks/gate.ts';
import { openMirror, refuseOptionsInPlace } from '../../mirror/open.ts';
import { checkTags } from '../../mirror/settings/policy-rules.ts';
import { parseSnapshotId } from '../../mirror/snapshot-id.ts';
import type { Finding } from '../../mirror/survey.ts';
import { lstatIfThere } from '../../system/files.ts';
import { checkProgram } from '../../system/foreground.ts';
import type { JobEnd } from '../../system/job.ts';
import { makingSnapshot } from '../../writer/making.ts';
import { isClosedAlready, warnOfClosed } from '../../writer/modes.ts';
import type { PruneResult } from '../../writer/pruning.ts';
import { repairAbandonedGate, withLock, withWriter } from '../../writer/session.ts';
import { runLocked } from './command.ts';
import { fillInPlace } from './in-place.ts';
import { fillSnapshot } from './snapshot.ts';
import { type Filled, type LockOptions, mendByCommand, publishByHand } from './work.ts';

export type LockResult =
  | (Filled & {
      /** What an earlier crash had left. */
      recovered: Finding[];
      /** Undefined when nothing was to be pruned, or pruning failed. */
      pruned: PruneResult | undefined;
    })
  /** The command failed: nothing is published, and its tree is kept. */
  | { outcome: 'failed'; end: JobEnd; message: string; hint?: string; path: string }
  /** There was nothing to publish: the lock alone was wanted. */
  | { outcome: 'ended'; end: JobEnd };

/**
 * Runs a command as the writer of a mirror: with its lock, and with a tree of its own in staging,
 * which is published when the command ends with 0 and the guards agree.
 *
 * @throws MirrorlatchError; nothing is published then, and the command's tree is kept.
 */
export async function lock(options: LockOptions): Promise<LockResult> {
  const { id, lockOnly = false, prune = true, tags } = options;
  const { layout, settings } = openMirror(options.root, 'mirrorlatch init');
  if (id !== undefined) parseSnapshotId(id);
  checkTags('tags', tags);
  if (lockOnly) refuseForLockOnly(options);
  const isInPlace = settings.mode === 'in-place';
  if (isInPlace) refuseForInPlace(options);
  const { lock: lockOptions, retention, drain, shrink, check, hooks, signal, onEvent } = options;
  const failure = `the lock of ${layout.root} failed`;
  const session = { command: 'lock', failure, lock: lockOptions, hooks, signal, onEvent };
  if (options.resume && options.empty) throw contradiction();
  await repairAbandonedGate(layout, session);
  checkProgram(options.command[0] ?? Buffer.alloc(0));
  if (lockOnly) {
    const env = { MIRRORLATCH_ROOT: layout.root };
    return withLock(layout, session, async (held) => ({
      outcome: 'ended',
      end: await runLocked(options, held, layout.kernelLock, env),
    }));
  }
  const makes = { id: isInPlace ? LIVE : id };
  try {
    const finished = await withWriter(
      layout,
      { ...session, retention, drain, shrink, check, followsRules: true, prune, makes, tags },
      async (writer) => {
        const wasClosed = isClosedAlready(writer);
        const filled = await (isInPlace
          ? makingSnapshot(writer, makes, () => fillInPlace(options, writer))
          : makingSnapshot(writer, makes, (newId) => fillSnapshot(options, writer, newId)));
        warnOfClosed(writer, layout.snapshot(filled.id), wasClosed, mendByCommand(writer));
        return filled;
      },
    );
    const { result, recovered, pruned } = finished;
    return { ...result, recovered, pruned };
  } catch (error) {
    if (!hasCode(error, 'COMMAND_FAILED')) throw error;
    return failed(layout, error, isInPlace);
  }
}

function failed(
  { root }: Layout,
  { message, details: { end, tree } }: MirrorlatchError<'COMMAND_FAILED'>,
  isInPlace: boolean,
): LockResult {
  const common = { outcome: 'failed', end, path: tree } as const;
  if (isInPlace) {
    return {
      ...common,
      message: `${message}; guarded readers wait until ${whatCleans('lock')} succeeds`,
    };
  }
  if (lstatIfThere(tree) === undefined)
    return { ...common, message: `${message} and removed its tree; nothing was published` };
  return {
    ...common,
    message: `${message}; nothing was published`,
    hint: `Its tree is kept until the next lock or sync: ${tree}. Go on from it by the same command with --resume, or if you have looked at it and know that it is whole, publish it with: ${publishByHand(root)}`,
  };
}

function refuseForInPlace({ resume, empty, hardLinksAreSafe, id, tags = [] }: LockOptions): void {
  refuseOptionsInPlace(
    {
      '--resume': resume === true,
      '--empty': empty === true,
      '--hard-links-are-safe': hardLinksAreSafe === true,
      '--id': id !== undefined,
      '--tag': tags.length > 0,
    },
    'It has one tree, which the command writes to itself. Leave it out.',
  );
}

function refuseForLockOnly(options: LockOptions): void {
  const { resume, empty, hardLinksAreSafe, allowDirty, id, tags = [] } = options;
  const idle = Object.entries({
    '--resume': resume,
    '--empty': empty,
    '--hard-links-are-safe': hardLinksAreSafe,
    '--allow-dirty': allowDirty,
    '--id': id !== undefined,
    '--tag': tags.length > 0,
  }).find(([, isGiven]) => isGiven === true);
  if (idle === undefined) return;
  throw new MirrorlatchError('USAGE', `${idle[0]} has no effect with --lock-only`, {
    hint: 'A command with nothing but the lock gets no tree. Leave one of them out.',
  });
}

function contradiction(): MirrorlatchError {
  return new MirrorlatchError('USAGE', '--resume and --empty contradict each other', {
    hint: 'Leave one of them out.',
  });
}
