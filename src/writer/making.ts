import { refuseUnverifiable } from '../checks/signature.ts';
import { asMirrorlatchError, MirrorlatchError } from '../errors.ts';
import type { SyncFigures } from '../mirror/history/history.ts';
import { LIVE } from '../mirror/layout.ts';
import { refuseClosedByHand } from '../mirror/locks/gate.ts';
import { idleKeyring, isCheckWanted } from '../mirror/settings/policy.ts';
import { describeHold } from '../mirror/settings/settings.ts';
import { freshId, timestampId } from '../mirror/snapshot-id.ts';
import { lstatIfThere } from '../system/files.ts';
import { refuseMountsWithin } from '../system/mounts.ts';
import { quoteForSh } from '../system/quote.ts';
import { failureBefore, recordFailure } from './failures.ts';
import type { HookSubject } from './hooks.ts';
import type { Writer } from './writer.ts';

/** What a new snapshot is to be called; by default the time of its start. */
export interface WantedName {
  id?: string | undefined;
  /** The time that names it; see `timestampId`. */
  at?: Date | undefined;
}

/**
 * Runs `make`, which makes the snapshot `id`, and records in history why it failed if it does.
 *
 * @throws MirrorlatchError HELD while a person holds the mirror, BUSY while one keeps its gate closed, USAGE when there is a snapshot of the
 *   wanted name already, CONFIGURATION when something is mounted in the tree that would be cloned or
 *   written; else what `make` throws.
 */
export async function makingSnapshot<Result>(
  writer: Writer,
  wanted: WantedName,
  make: (id: string) => Promise<Result>,
): Promise<Result> {
  const { hooks } = writer;
  refuseWhileStopped(writer);
  const id = chooseId(writer, wanted);
  const failed = hooks.has('on-recovery') ? failureBefore(writer) : undefined;
  try {
    refuseMounts(writer);
    const { check } = writer.policy;
    if (isCheckWanted(check)) refuseUnverifiable(check);
    for (const message of idleKeyring(check)) writer.onEvent({ kind: 'problem', message });
    await hooks.before(
      'before-sync',
      { ...subjectOf(writer, id), tree: treeBefore(writer) },
      writer,
    );
    const made = await make(id);
    if (failed !== undefined) hooks.afterRecovery(failed);
    return made;
  } catch (error) {
    recordFailure(writer, id, asMirrorlatchError(writer.lock.causeOf(error), writer.failure));
    throw error;
  }
}

/** What hooks are told of a snapshot that is to become current. */
export function subjectOf(
  { layout, settings, before }: Writer,
  name: string,
  figures?: SyncFigures,
): HookSubject {
  const id = settings.mode === 'in-place' ? LIVE : name;
  return { channel: 'current', id, previous: before ?? null, tree: layout.snapshot(id), figures };
}

function treeBefore({ layout, before }: Writer): string | null {
  return before === undefined ? null : layout.snapshot(before);
}

/**
 * Heeds a person who has stopped the mirror.
 *
 * @throws MirrorlatchError HELD for a hold, BUSY for a gate that was closed by hand.
 */
export function refuseWhileStopped(mirror: Pick<Writer, 'layout' | 'settings'>): void {
  const held = heldError(mirror);
  if (held !== undefined) throw held;
  if (mirror.settings.mode === 'in-place') refuseClosedByHand(mirror.layout);
}

/** The error of whatever would publish a new snapshot; undefined unless a person holds the mirror. */
function heldError({
  layout: { root },
  settings: { hold },
}: Pick<Writer, 'layout' | 'settings'>): MirrorlatchError<'HELD'> | undefined {
  if (hold === undefined) return undefined;
  return new MirrorlatchError('HELD', `${root} is ${describeHold(hold)}; nothing was published`, {
    hint: `To follow the source again: mirrorlatch rollback ${quoteForSh(root)} --release`,
  });
}

/** Looks at what the new tree is made from. */
export function refuseMounts({
  layout,
  settings,
  before,
}: Pick<Writer, 'layout' | 'settings' | 'before'>): void {
  if (settings.mode === 'in-place') refuseMountsWithin(layout.gate, 'written');
  else if (before !== undefined) refuseMountsWithin(layout.snapshot(before), 'cloned');
}

function chooseId({ layout, settings }: Writer, { id, at }: WantedName): string {
  const isPublished = (name: string) => lstatIfThere(layout.snapshot(name)) !== undefined;
  const wanted = id ?? (at && timestampId(at));
  if (wanted === undefined) {
    const isTaken = (name: string) =>
      isPublished(name) || lstatIfThere(layout.log(name)) !== undefined;
    return freshId(new Date(), isTaken);
  }
  if (settings.mode === 'in-place' || !isPublished(wanted)) return wanted;
  throw new MirrorlatchError('USAGE', `a snapshot named ${wanted} already exists`, {
    hint: `Choose another --id, or see them all with: mirrorlatch list ${quoteForSh(layout.root)}`,
  });
}
