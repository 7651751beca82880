import { asMirrorlatchError } from '../errors.ts';
import { type CloneMethod, canHardlink } from '../mirror/clone.ts';
import { currentId } from '../mirror/current.ts';
import { appendHistory, type HistoryEntry } from '../mirror/history/history.ts';
import type { Layout } from '../mirror/layout.ts';
import type { SyncLock } from '../mirror/locks/sync-lock.ts';
import type { Settings } from '../mirror/settings/records.ts';
import { userName } from '../system/proc.ts';
import { quoteForSh } from '../system/quote.ts';
import type { OnEvent, Phase } from './events.ts';
import type { Hooks } from './hooks.ts';
import type { Policy } from './policy.ts';

interface WriterParts {
  layout: Layout;
  lock: SyncLock;
  settings: Settings;
  policy: Policy;
  hooks: Hooks;
  failure: string;
  mayPrune: boolean;
  tags: readonly string[];
  signal: AbortSignal | undefined;
  onEvent: OnEvent;
}

/** What the work of the one writer of a mirror has at hand; see `withWriter`. */
export class Writer {
  readonly layout: Layout;
  readonly lock: SyncLock;
  /** As they were on the disk when the lock had been taken. */
  readonly settings: Settings;
  readonly policy: Policy;
  readonly hooks: Hooks;
  /** What to call an unforeseen failure: `the sync of ROOT failed`. */
  readonly failure: string;
  /** Old snapshots go at the end, or before that if room is short. */
  readonly mayPrune: boolean;
  /** For the snapshot that the work makes, or finds to need no successor. */
  readonly tags: readonly string[];
  /** The snapshots that went before the end, for want of room. */
  readonly removedFirst: string[] = [];
  /** The next sync is expected to make its clone by hard links, so an old snapshot is of use to it. */
  wantsSpare = false;
  /** A hook has changed the tree that is to be published: it is not only what the work has made it. */
  isAltered = false;
  /** The content that rsync has received so far. */
  receivedBytes = 0;
  /** The id that `current` named when the work began; undefined before the first publication. */
  readonly before: string | undefined;
  /** Aborts when the lock is lost, or the caller wants an end. */
  readonly signal: AbortSignal;
  readonly onEvent: OnEvent;
  readonly #startedAt = performance.now();

  constructor(parts: WriterParts) {
    const { layout, lock, settings, policy, hooks, failure, mayPrune, tags, signal, onEvent } =
      parts;
    this.layout = layout;
    this.lock = lock;
    this.settings = settings;
    this.policy = policy;
    this.hooks = hooks;
    this.failure = failure;
    this.mayPrune = mayPrune;
    this.tags = tags;
    this.before = currentId(layout);
    this.signal = AbortSignal.any([lock.lost, ...(signal ? [signal] : [])]);
    this.onEvent = onEvent;
  }

  /** Descriptors for every child that writes to the mirror: it then counts as the writer, too. */
  get inherit(): readonly number[] {
    return [this.lock.descriptor];
  }

  /** Since the work began; s, to a tenth. */
  get seconds(): number {
    return Math.round((performance.now() - this.#startedAt) / 100) / 10;
  }

  /** Begins a phase: the caller hears of it, and so does whoever asks for the lock's holder. */
  enter(phase: Phase): void {
    this.onEvent({ kind: 'phase', phase });
    this.lock.report({ phase });
  }

  notice(message: string): void {
    this.onEvent({ kind: 'notice', message });
  }

  /**
   * Records in history what readers see already. It is no failure if that cannot be done: the next
   * command records the flip, without its figures.
   */
  recordPublication(entry: HistoryEntry): void {
    try {
      appendHistory(this.layout, entry);
    } catch (error) {
      this.reportProblem(error, 'it is published, but could not be recorded in history');
    }
  }

  /** Reports that the unchanged files get into the new tree in a way that needs more time or room. */
  reportRefusedClone(method: CloneMethod, why: string): void {
    const { snapshots, staging } = this.layout;
    const isOfOther = method === 'hardlink' && /Operation not permitted/.test(why);
    if (!isOfOther || !canHardlink(staging)) {
      this.notice(`no ${method} clone on this filesystem: ${why}`);
      return;
    }
    const user = userName(process.geteuid?.() ?? 0);
    const message = `unchanged files are copied, because ${user} may not make hard links to those of another user: ${why}`;
    const mend = `chown -hR ${quoteForSh(user)} ${quoteForSh(snapshots)}`;
    this.onEvent({
      kind: 'problem',
      message: `${message}. As root, give them to that user: ${mend}`,
    });
  }

  /** Reports a failure that does not stop the work, and that a person has to see to. */
  reportProblem(error: unknown, what: string): void {
    const { message, hint } = asMirrorlatchError(error, what);
    this.onEvent({
      kind: 'problem',
      message: hint === undefined ? message : `${message}. ${hint}`,
    });
  }
}
