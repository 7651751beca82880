import { MirrorlatchError } from '../errors.ts';
import { parseChannelName } from '../mirror/channels/channel-names.ts';
import { currentId, previousId } from '../mirror/current.ts';
import { isFlip, readHistory } from '../mirror/history/history.ts';
import type { Layout } from '../mirror/layout.ts';
import { openMirrorWithSnapshots } from '../mirror/open.ts';
import type { Given, HookPolicy, LockPolicy } from '../mirror/settings/policy.ts';
import type { Settings } from '../mirror/settings/records.ts';
import { changeSettings, describeHold } from '../mirror/settings/settings.ts';
import { snapshotNamed } from '../mirror/snapshot-path.ts';
import { isOfPerson, snapshotIds } from '../mirror/survey.ts';
import { processUser } from '../system/proc.ts';
import { quoteForSh } from '../system/quote.ts';
import type { OnEvent } from '../writer/events.ts';
import { mayPublishAgain, publishAgain } from '../writer/publishing.ts';
import { withWriter } from '../writer/session.ts';
import type { Writer } from '../writer/writer.ts';
import { type ChannelResult, refuseEmptyReason } from './promote.ts';
import { rollbackChannel } from './rollback-channel.ts';

export interface RollbackOptions {
  root: string;
  /**
   * The snapshot to go to, by its id or path, `previous`, or `current`, as they are before any wait; by
   * default `previous`, but `current` for a hold after a rollback or another hold.
   */
  id?: string | undefined;
  /** Move this channel instead of `current`, by default to what it named before. */
  channel?: string | undefined;
  /** Why nothing is to be published from now on, until `release`. */
  hold?: string | undefined;
  /** End a hold, and leave `current` as it is. */
  release?: boolean | undefined;
  lock?: Given<LockPolicy> | undefined;
  /** In place of what the configuration says. */
  hooks?: Given<HookPolicy> | undefined;
  signal?: AbortSignal | undefined;
  onEvent?: OnEvent | undefined;
}

export interface RollbackResult {
  /** What is current now; null if nothing is, after the release of a hold. */
  id: string | null;
  /** What `current` named until now; null if it was lost, and nobody knows what it named. */
  previous: string | null;
  /** Why the mirror is held now; null if it is not. */
  hold: string | null;
}

/**
 * Points `current`, or a channel, at an earlier snapshot, by the same flip that publishes.
 *
 * @throws MirrorlatchError BUSY while a sync runs, USAGE when there is no such snapshot, HELD for a held
 *   mirror without `id`, `hold` or `release`, CONFIGURATION when the served directory cannot be replaced: then
 *   nothing has changed.
 */
export async function rollback(
  options: RollbackOptions & { channel: string },
): Promise<ChannelResult>;
export async function rollback(
  options: RollbackOptions & { channel?: undefined },
): Promise<RollbackResult>;
export async function rollback(options: RollbackOptions): Promise<RollbackResult | ChannelResult> {
  const { root, lock, hooks, signal, onEvent, channel, hold, release } = options;
  const { layout } = openMirrorWithSnapshots(root);
  refuseContradiction(options);
  const failure = `the rollback of ${layout.root} failed`;
  const session = { command: 'rollback', failure, lock, hooks, signal, onEvent };
  if (channel !== undefined) {
    const asked = { channel: parseChannelName(channel), id: options.id, hold, release };
    const went = await withWriter(layout, session, (writer) => rollbackChannel(writer, asked));
    return went.result;
  }
  const asked = namedNow(layout);
  const given = options.id === undefined ? undefined : snapshotNamed(layout, options.id);
  const { result } = await withWriter(layout, session, async (writer) => {
    if (options.release) return released(writer);
    if (options.id === undefined && options.hold === undefined) refuseToGuess(writer);
    const id = wantedId(writer, { ...options, id: given }, asked);
    if (id === undefined || !snapshotIds(layout).includes(id)) throw noSnapshot(layout, id);
    await mayPublishAgain(writer, id);
    warnOfPerson(writer, id);
    const { hold } = options.hold === undefined ? writer.settings : held(writer, options.hold);
    await publishAgain(writer, id);
    return { id, previous: writer.before ?? null, hold: hold?.reason ?? null };
  });
  return result;
}

/** Once it has been current, a tree of a person's is in the history, and pruned by its rules. */
function warnOfPerson({ layout, onEvent }: Writer, id: string): void {
  if (!isOfPerson(layout, readHistory(layout))(id)) return;
  const message = `${id}, which was not made by mirrorlatch, is from now on a snapshot like the others, and pruned like them; keep a copy elsewhere`;
  onEvent({ kind: 'warning', message });
}

/** What `previous` names is what the hold is to keep readers from. */
function refuseToGuess({ layout: { root }, settings: { hold } }: Writer): void {
  if (hold === undefined) return;
  const at = quoteForSh(root);
  throw new MirrorlatchError(
    'HELD',
    `${root} is ${describeHold(hold)}; a rollback would leave what it is held at`,
    {
      hint: `To hold another snapshot, name it: mirrorlatch rollback ${at} ID, with an ID from: mirrorlatch list ${at}. To follow the source again: mirrorlatch rollback ${at} --release`,
    },
  );
}

function refuseContradiction({ id, hold, release = false }: RollbackOptions): void {
  const given = id === undefined ? '--hold' : 'a snapshot';
  if (release && (id !== undefined || hold !== undefined)) {
    throw new MirrorlatchError('USAGE', `--release cannot be combined with ${given}`, {
      hint: 'It only ends a hold, and leaves current as it is.',
    });
  }
  refuseEmptyReason(hold);
}

/** What `current` and `previous` name. */
interface Named {
  current: string | undefined;
  previous: string | undefined;
  /** `previous` is gone, and this is the latest of the others that was current. */
  isByHistory: boolean;
  /** What is current is there by a rollback already: another would go forward again. */
  wentBack: boolean;
}

function namedNow(layout: Layout): Named {
  const [current, previous] = [currentId(layout), previousId(layout)];
  const flips = readHistory(layout).filter(isFlip);
  const last = flips.at(-1);
  const wentBack = last?.event === 'rolled-back' && last.id === current;
  // Both are the same for a moment within a flip.
  if (previous !== undefined && previous !== current)
    return { current, previous, isByHistory: false, wentBack };
  const ids = snapshotIds(layout).filter((id) => id !== current);
  const found = flips.findLast(({ id }) => ids.includes(id));
  return { current, previous: found?.id, isByHistory: found !== undefined, wentBack };
}

/**
 * @param asked what was named when the user asked. If another snapshot was published during the wait for
 *   the lock, the user meant the names as they were: what has become `previous` may be what is to go.
 */
function wantedId(writer: Writer, { id, hold }: RollbackOptions, asked: Named): string | undefined {
  if (id !== undefined && id !== 'current' && id !== 'previous') return id;
  const hasMoved = asked.current !== undefined && asked.current !== writer.before;
  // Unless it has moved, recovery may have found what a crash had lost.
  const named = hasMoved ? asked : namedNow(writer.layout);
  const stays = hold !== undefined && (named.wentBack || writer.settings.hold !== undefined);
  const name = id ?? (stays ? 'current' : 'previous');
  if (name === 'previous' && named.isByHistory) {
    writer.notice(
      `the previous snapshot is gone; ${named.previous} is the latest other one that was current`,
    );
  }
  return named[name];
}

/** Holds the mirror. This comes before the flip, so that after a crash no sync undoes the rollback. */
function held(writer: Writer, reason: string): Settings {
  const { layout, settings } = writer;
  if (settings.hold !== undefined) {
    writer.notice(
      `${layout.root} was ${describeHold(settings.hold)}; the new reason replaces that one`,
    );
  }
  const by = processUser(process.pid) ?? '?';
  return changeSettings(layout, { hold: { reason, by, since: new Date().toISOString() } });
}

function released(writer: Writer): RollbackResult {
  const { layout, settings, before } = writer;
  writer.notice(
    settings.hold === undefined
      ? `there was no hold on ${layout.root}`
      : `this ends the hold: ${layout.root} was ${describeHold(settings.hold)}`,
  );
  changeSettings(layout, {}, ['hold']);
  return { id: before ?? null, previous: before ?? null, hold: null };
}

function noSnapshot({ root }: Layout, id: string | undefined): MirrorlatchError {
  const what = id === undefined ? 'earlier snapshot' : `snapshot named ${JSON.stringify(id)}`;
  return new MirrorlatchError('USAGE', `${root} has no ${what}`, {
    hint: `See what there is with: mirrorlatch list ${quoteForSh(root)}`,
  });
}
