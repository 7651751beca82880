import { asMirrorlatchError, MirrorlatchError, NOTHING_PUBLISHED } from '../errors.ts';
import { currentId } from '../mirror/current.ts';
import type { HookFailure } from '../mirror/history/history-index.ts';
import type { HistoryEntry, SyncFigures } from '../mirror/history/history-line.ts';
import { type Layout, LIVE } from '../mirror/layout.ts';
import { type Lease, takeLease } from '../mirror/locks/lease.ts';
import type { SyncLock } from '../mirror/locks/sync-lock.ts';
import { printable } from '../mirror/names.ts';
import { configuredFor } from '../mirror/settings/configured.ts';
import {
  DEFAULT_HOOKS,
  type Given,
  type HookPhase,
  type HookPolicy,
  withDefaults,
} from '../mirror/settings/policy.ts';
import { callersPath } from '../system/callers-path.ts';
import { describeEnd, runLimited } from '../system/limited-job.ts';
import type { OnEvent } from './events.ts';
import { HookOutput } from './hook-output.ts';

/** The phases whose hooks decide whether the work goes on. */
type Deciding = 'before-sync' | 'before-publish';

type FailedSync = Extract<HistoryEntry, { event: 'failed' }>;

/** What a hook is about. */
export interface HookSubject {
  /** What is to name the snapshot, or does: `current`, or a channel. */
  channel: string;
  /** The snapshot. */
  id: string | null;
  /** What `channel` names, or named, before. */
  previous: string | null;
  /** The tree in which the hook stands; null for none, then it stands in the root of the mirror. */
  tree: string | null;
  /** How a new snapshot was made. */
  figures?: SyncFigures | undefined;
  /** How a sync failed; for a recovery, the last that did. */
  failure?: Pick<FailedSync, 'at' | 'code' | 'message' | 'findings'> | undefined;
}

/** A hook that runs once the lock is released. */
interface Pending {
  readonly phase: Exclude<HookPhase, Deciding>;
  readonly subject: HookSubject;
  /** Keeps prune from the snapshot. */
  lease?: Lease | undefined;
}

export interface HookOptions {
  /** The verb, and what it goes by: `sync`, `push from HOST:DIR`. */
  command: string;
  /** In place of what the configuration says. */
  hooks?: Given<HookPolicy> | undefined;
  signal?: AbortSignal | undefined;
  onEvent?: OnEvent | undefined;
}

/**
 * The hooks of a mirror, around the work of one writer.
 *
 * ```
 *   lock ─► before-sync ─► work ─► before-publish ─► flip ─► … ─► release ─► after-publish, on-failure, on-recovery
 * ```
 *
 * Those before hold the work up, under the lock, and a failure of theirs ends it. Those after run without the
 * lock, so they may write to the mirror themselves, and a failure is told and recorded.
 */
export class Hooks {
  readonly #layout: Layout;
  readonly #policy: HookPolicy;
  readonly #verb: string;
  readonly #name: string;
  readonly #where: Readonly<Record<string, string>>;
  readonly #signal: AbortSignal | undefined;
  readonly #onEvent: OnEvent;
  readonly #pending: Pending[] = [];

  constructor(layout: Layout, { command, hooks, signal, onEvent = () => {} }: HookOptions) {
    const configured = configuredFor(layout.root);
    this.#layout = layout;
    this.#policy = withDefaults(withDefaults(DEFAULT_HOOKS, configured.hooks), hooks);
    [this.#verb = command] = command.split(' ');
    this.#name = configured.name ?? layout.root;
    this.#where = configured.where;
    this.#signal = signal;
    this.#onEvent = onEvent;
  }

  /** Whether there is one for a phase. */
  has(phase: HookPhase): boolean {
    return this.#wordsOf(phase).length > 0;
  }

  /** A sentence about where the configuration has the hook of a phase; empty if it does not. */
  placeOf(phase: HookPhase): string {
    const where = this.#where[phase];
    return where === undefined ? '' : ` It is the key ${where}.`;
  }

  /**
   * Asks the hook of a phase whether the work may go on.
   *
   * @throws MirrorlatchError HOOK_FAILED if it says no; the signal's reason.
   */
  async before(
    phase: Deciding,
    subject: HookSubject,
    { lock, signal }: { lock: SyncLock; signal: AbortSignal },
  ): Promise<void> {
    if (!this.has(phase)) return;
    lock.report({ phase: `running the hook ${phase}${ofChannel(subject)}` });
    const failure = await this.#run(phase, subject, signal);
    signal.throwIfAborted();
    if (failure === undefined) return;
    const wayOut = failure.tookTooLong
      ? 'Mend it, or give it more time by hook-timeout.'
      : 'Mend what it complains of, and try again.';
    throw new MirrorlatchError('HOOK_FAILED', failure.message + consequenceOf(phase, subject), {
      hint: `${wayOut}${this.placeOf(phase)} To go on without any hook: --no-hooks`,
    });
  }

  /** Lets the hook of a phase run once the lock is released. */
  after(phase: Pending['phase'], subject: HookSubject): void {
    if (this.has(phase)) this.#pending.push({ phase, subject });
  }

  /** That a sync failed, as history has it. */
  afterFailure({ id, event: _event, ...failure }: FailedSync): void {
    const subject = this.#ofCurrent();
    // The one tree of a mirror in place may be half written; and the hook may want to mend it.
    const tree = subject.id === LIVE ? null : subject.tree;
    this.after('on-failure', { ...subject, id, previous: subject.id, tree, failure });
  }

  /** That a sync succeeded, after one that failed. */
  afterRecovery({ id: _id, event: _event, ...failure }: FailedSync): void {
    this.after('on-recovery', { ...this.#ofCurrent(), failure });
  }

  #ofCurrent(): HookSubject {
    const id = currentId(this.#layout) ?? null;
    const tree = id === null ? null : this.#layout.snapshot(id);
    return { channel: 'current', id, previous: null, tree };
  }

  /** Holds the snapshots that hooks are about, while the lock still keeps prune from them. */
  hold(): void {
    for (const pending of this.#pending) {
      const { tree, id, previous } = pending.subject;
      const held = pending.phase === 'on-failure' ? previous : id;
      if (tree !== null && held !== null) pending.lease = leaseIfAny(this.#layout, held);
    }
  }

  /**
   * Runs those that wait for the release of the lock.
   *
   * @returns what history is to say of those that failed.
   */
  async runAfter(): Promise<HookFailure[]> {
    const failures: HookFailure[] = [];
    // What an interrupted sync has to report is no part of it.
    const signal = this.#signal?.aborted ? undefined : this.#signal;
    for (const { phase, subject, lease } of this.#pending) {
      try {
        const failure = await this.#run(phase, subject, signal).catch((error: unknown) =>
          asMirrorlatchError(error, `the hook ${phase} failed`),
        );
        if (failure === undefined) continue;
        const { message } = failure;
        this.#onEvent({ kind: 'problem', message });
        const at = new Date().toISOString();
        failures.push({ event: 'hook-failed', at, phase, snapshot: subject.id, message });
      } finally {
        lease?.release();
      }
    }
    return failures;
  }

  #wordsOf(phase: HookPhase): readonly string[] {
    return this.#policy.commands[phase] ?? [];
  }

  /** @returns what went wrong; undefined if nothing did. */
  async #run(
    phase: HookPhase,
    subject: HookSubject,
    signal: AbortSignal | undefined,
  ): Promise<{ message: string; tookTooLong: boolean } | undefined> {
    const [program = '', ...args] = this.#wordsOf(phase);
    const { root } = this.#layout;
    const { timeoutMs } = this.#policy;
    const facts = { phase, name: this.#name, root, command: this.#verb, ...subject };
    // What failed is said at the very end, after this.
    const why = phase === 'on-failure' ? `the ${this.#verb} failed: ` : '';
    this.#onEvent({
      kind: 'notice',
      message: `${why}running the hook ${phase}${ofChannel(subject)}`,
    });
    const output = new HookOutput((line) =>
      this.#onEvent({ kind: 'notice', message: `${phase}: ${line}` }),
    );
    const end = await runLimited(program, args, {
      cwd: subject.tree ?? root,
      env: { ...process.env, PATH: callersPath, ...variablesOf(facts) },
      input: `${JSON.stringify(inputOf(facts))}\n`,
      onOutput: (chunk) => output.add(chunk),
      limitMs: timeoutMs,
      signal,
    });
    const lastLines = output.end();
    const how = describeEnd(end, timeoutMs);
    if (how === undefined) return undefined;
    const said = lastLines === '' ? '' : `: ${lastLines}`;
    const channel = ofChannel(subject);
    return {
      message: `the hook ${phase} of ${root}${channel && `${channel},`} ${how}${said}`,
      tookTooLong: end.endedBy === 'limit',
    };
  }
}

/** What a failure of a hook before the work has left as it was: a clause. */
function consequenceOf(phase: Deciding, { channel, id, previous }: HookSubject): string {
  if (id === LIVE && phase === 'before-publish') return '';
  if (channel === 'current') return NOTHING_PUBLISHED;
  return previous === null ? `; there is no ${channel} yet` : `; ${channel} stays at ${previous}`;
}

/** For which channel a hook runs, where that is not what is current. */
function ofChannel({ channel }: HookSubject): string {
  return channel === 'current' ? '' : `, for ${channel}`;
}

/** A filesystem without locks has none: whoever stands in a tree is seen there. */
function leaseIfAny(layout: Layout, id: string): Lease | undefined {
  try {
    return takeLease(layout, id);
  } catch {
    return undefined;
  }
}

interface HookFacts extends HookSubject {
  phase: HookPhase;
  /** What people call the mirror. */
  name: string;
  root: string;
  command: string;
}

/** The longest text in a variable; characters. The kernel takes no longer ones than 128 KiB (execve(2)). */
const LONGEST = 4_096;

/** What a hook finds in its environment; empty where there is nothing. */
function variablesOf(facts: HookFacts): NodeJS.ProcessEnv {
  const { phase, name, root, command, channel, id, previous, tree, failure } = facts;
  return {
    MIRRORLATCH_PHASE: phase,
    MIRRORLATCH_NAME: name,
    MIRRORLATCH_ROOT: root,
    MIRRORLATCH_COMMAND: command,
    MIRRORLATCH_CHANNEL: channel,
    MIRRORLATCH_ID: id ?? '',
    MIRRORLATCH_PREVIOUS: previous ?? '',
    MIRRORLATCH_TREE: tree ?? '',
    MIRRORLATCH_CODE: failure?.code ?? '',
    MIRRORLATCH_MESSAGE: printable(failure?.message ?? '').slice(0, LONGEST),
    // A guard around us has pinned another mirror than the one in MIRRORLATCH_ROOT.
    MIRRORLATCH_PIN: undefined,
  };
}

/** What a hook can read from its standard input. */
function inputOf({ figures, failure, ...facts }: HookFacts): object {
  return { ...facts, figures: figures ?? null, failure: failure ?? null };
}
