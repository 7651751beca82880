import { rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { readHistory } from '../../mirror/history/history.ts';
import { readGate } from '../../mirror/locks/gate.ts';
import { nameInLine, readableName } from '../../mirror/names.ts';
import type { Mirror } from '../../mirror/open.ts';
import { type FullLook, lastFullLook } from '../../mirror/plan/full-look.ts';
import { isStampIn, type WantedStamps, wantedStamps } from '../../mirror/plan/stamps.ts';
import { findLeftovers } from '../../mirror/staging.ts';
import { showBytes, showTime } from '../../mirror/units.ts';
import { LARGEST_STAMP } from '../../rsync/arguments.ts';
import { changedRuleFile } from '../../rsync/option-files.ts';
import { sourceName } from '../../rsync/source.ts';
import type { PlanContext, ProbeContext, SyncContext } from './context.ts';
import { compareStamps, type FoundStamps, fetchStamps } from './fetch-stamps.ts';
import { sourceHasMark, whileUpdated } from './make-plan.ts';

/**
 * A look at the stamps of a source, in place of one at all of it.
 *
 * While the source has the same bytes in all of its stamps as `current`, it has nothing new, as far as
 * its upstream says. That is believed for a limited time, because an upstream may forget its stamps, and
 * only where the last look at everything was made in the same way.
 */

/** What a probe found. */
export type Probe =
  /** There is nothing new. */
  | { kind: 'same'; id: string; names: readonly string[]; look: FullLook }
  /** All of the source has to be looked at; these are the stamps that it had before. */
  | { kind: 'look'; stamps: Stamps | undefined };

/**
 * Looks at the stamps of the source, and waits while it has a mark by which it says that it is being
 * updated.
 *
 * @throws MirrorlatchError UNAVAILABLE if such a mark does not vanish.
 */
export async function probeSource(context: SyncContext): Promise<Probe> {
  const { writer, base, transfer, retries } = context;
  const wanted = wantedStamps(context.probe.paths, base);
  const { names } = wanted;
  const directory = join(writer.layout.staging, '.stamps');
  const isAsking = names.length > 0 || (transfer.marks ?? []).length > 0;
  if (isAsking) writer.enter('probing');
  for (;;) {
    const found = isAsking ? await fetchStamps(context, names, directory) : NOTHING;
    const verdict = judge(context, writer, wanted, found);
    if ('look' in verdict) {
      forget(directory);
      return { kind: 'same', ...verdict, names };
    }
    if (found.mark !== undefined) {
      await retries.again(whileUpdated(transfer, found.mark));
      continue;
    }
    if (verdict.why !== undefined) writer.notice(`looking at everything: ${verdict.why}`);
    return { kind: 'look', stamps: stampsIn(context, names, directory, found) };
  }
}

/** What a probe would find, in words; undefined for none. Changes nothing. */
export async function describeProbe(
  context: ProbeContext,
  mirror: Pick<Mirror, 'layout' | 'settings'>,
): Promise<string | undefined> {
  const { base, probe } = context;
  if (base === undefined) return undefined;
  const wanted = wantedStamps(probe.paths, base);
  const isAsking = wanted.names.length > 0;
  const found = isAsking ? await compareStamps(context, wanted.names, base) : NOTHING;
  const verdict = judge(context, mirror, wanted, found);
  if ('look' in verdict)
    return 'the stamps of the source are the same: a sync would look no further';
  return verdict.why && `a sync would look at everything: ${verdict.why}`;
}

const NOTHING: FoundStamps = { failure: undefined, mark: undefined, compare: () => 'missing' };

/** The look that the stamps confirm, or why they do not; undefined where there are none to compare. */
function judge(
  context: ProbeContext,
  mirror: Pick<Mirror, 'layout' | 'settings'>,
  { names, unfit }: WantedStamps,
  { failure, compare }: FoundStamps,
): { id: string; look: FullLook } | { why: string | undefined } {
  const { base } = context;
  if (base === undefined) return { why: undefined };
  if (failure !== undefined) return { why: `the stamps could not be read: ${failure}` };
  if (unfit !== undefined) {
    const found = unfit === 0 ? 'no well-known stamp' : `${unfit} well-known stamps, too many`;
    return { why: `current has ${found}; name one with --probe PATH` };
  }
  if (names.length === 0) return { why: undefined };
  for (const name of names) {
    if (!isStampIn(base, name)) return { why: `current has no file ${show(name)}` };
    const standing = compare(name, base);
    if (standing === 'missing') {
      const most = showBytes(LARGEST_STAMP);
      return { why: `the source has no file ${show(name)}, or one of more than ${most}` };
    }
    if (standing === 'changed') return { why: `${show(name)} has changed` };
  }
  const id = basename(base);
  const look = lookToRely(context, mirror, id);
  return typeof look === 'string' ? { why: look } : { id, look };
}

/** The last look at everything, if it still counts; else why it does not. */
function lookToRely(
  { transfer, probe }: ProbeContext,
  { layout, settings }: Pick<Mirror, 'layout' | 'settings'>,
  current: string,
): FullLook | string {
  if (findLeftovers(layout).trees.length > 0) return 'a sync did not finish';
  const look = lastFullLook(readHistory(layout), current);
  if (look === undefined) return 'no such look is on record for what is current';
  if (settings.mode === 'in-place') {
    const { state, by, since } = readGate(layout);
    if (state !== 'open') return 'the tree may not be whole';
    if (by !== 'sync' && Date.parse(since) > look.ended)
      return `the gate was opened by ${by} since`;
  }
  const source = sourceName(transfer.source);
  if (look.source !== source) return `the last such look was at ${look.source}`;
  if (!isMadeLike(look, transfer)) return 'the last such look had other options';
  const changed = changedRuleFile(transfer.options, look.began);
  if (changed !== undefined) return `${changed} has changed since the last such look`;
  const age = Date.now() - look.began;
  if (age >= 0 && age < probe.maxAgeMs) return look;
  return `the last such look was at ${showTime(new Date(look.began).toISOString())}`;
}

function isMadeLike(
  { rsyncOptions, without }: FullLook,
  transfer: ProbeContext['transfer'],
): boolean {
  const joined = (words: Iterable<string>) => [...words].join('\0');
  return (
    joined(rsyncOptions) === joined(transfer.options) &&
    joined([...without].sort()) === joined([...transfer.without].sort())
  );
}

/** Stamps that a source had before it was looked at, in staging. */
export class Stamps {
  readonly #context: PlanContext;
  readonly #names: readonly string[];
  readonly #directory: string;

  constructor(context: PlanContext, names: readonly string[], directory: string) {
    this.#context = context;
    this.#names = names;
    this.#directory = directory;
  }

  /**
   * Finds out whether the source, and the tree that was made of it meanwhile, have the same stamps, and
   * the source no mark of an update.
   *
   * @returns why not; undefined if so.
   */
  async whyChanged(tree: string): Promise<string | undefined> {
    const again = `${this.#directory}.again`;
    try {
      return await this.#compareWith(tree, again);
    } finally {
      forget(this.#directory);
      forget(again);
    }
  }

  async #compareWith(tree: string, again: string): Promise<string | undefined> {
    // It waits for the usual mark, which only a look at the top of the source can find.
    await sourceHasMark(this.#context, tree);
    const found = await fetchStamps(this.#context, this.#names, again);
    if (found.failure !== undefined) return `the stamps could not be read again: ${found.failure}`;
    if (found.mark !== undefined) return `the source has ${show(found.mark)}`;
    for (const name of this.#names) {
      const isSame = found.compare(name, this.#directory) === 'same';
      if (!isSame) return `${show(name)} has changed meanwhile`;
      const isInTree = isStampIn(tree, name) && found.compare(name, tree) === 'same';
      if (!isInTree) return `${show(name)} came as something else`;
    }
    return undefined;
  }
}

function forget(directory: string): void {
  rmSync(directory, { recursive: true, force: true });
}

/**
 * The stamps that have come, if all of them have. Where something else has changed although all stamps are
 * as in `current`, they say nothing.
 */
function stampsIn(
  context: PlanContext,
  names: readonly string[],
  directory: string,
  { failure, compare }: FoundStamps,
): Stamps | undefined {
  const { base } = context;
  const haveCome = failure === undefined && names.every((name) => isStampIn(directory, name));
  const isNew = (name: string) =>
    base === undefined || !isStampIn(base, name) || compare(name, base) !== 'same';
  return haveCome && names.some(isNew) ? new Stamps(context, names, directory) : undefined;
}

function show(name: string): string {
  return nameInLine(readableName(name).name);
}
