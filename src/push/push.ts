import { hostname, userInfo } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { asMirrorlatchError, MirrorlatchError } from '../errors.ts';
import { checkRsync, checkSource } from '../mirror/preflight.ts';
import { quoteForSh } from '../reader/quote.ts';
import type { Ending } from '../rsync/failure.ts';
import type { Entry } from '../rsync/itemize.ts';
import { dividePushOptions, serveSource, splitShell } from '../rsync/pushed.ts';
import { type Destination, parseDestination, parseSource, type Source } from '../rsync/source.ts';
import { type DuplexChild, type DuplexEnd, startDuplexChild } from '../system/duplex-child.ts';
import { thisHost } from '../system/host.ts';
import type { PlannedSync } from '../operations/sync/plan-sync.ts';
import {
  checkReceiverMessage,
  PROTOCOL,
  type PusherMessage,
  type PushOutcome,
  type PushRequest,
  type ReceiverMessage,
} from './messages.ts';
import { harmless, inodeOf, Wire, writeTo } from './wire.ts';
import { Retries } from '../rsync/retries.ts';
import type { SyncResult } from '../operations/sync/sync.ts';
import type { SyncOptions } from '../operations/sync/work.ts';

/**
 * The end of a push that lies beside the source; `receive.ts` is the other one.
 *
 * There is one ssh session, and it carries everything. The sync itself runs beside the mirror, by
 * `mirrorlatch receive`, and pulls: for each rsync that it starts there, this end starts a server of
 * the source and joins the two. To push by a local rsync instead would need a second session, whose
 * rsync on the other host is nobody's child there: it could outlive the first, and write on without
 * the lock. And a plan, a clone and what an earlier try left are only at hand where the mirror is.
 *
 * The other host can read what it is sent anyway, and nothing else: see `pushed.ts`.
 */
export interface PushOptions extends Omit<SyncOptions, 'root' | 'source' | 'pushed'> {
  /** A local directory. The mirror cannot remember it, so it has to be named. */
  source: string | undefined;
  /** `ssh://[user@]host[:port]/ROOT` or `[user@]host:ROOT`. */
  destination: string;
  /** How mirrorlatch is started there, for the shell of that host; by default `mirrorlatch`. */
  remoteProgram?: string | undefined;
}

/** How long the other end has to let go of everything when this one has been interrupted; ms. */
const FAREWELL_MS = 10_000;

/** How long to wait for the lock that a session of ours may still hold which was cut off; ms. */
const CUT_OFF_MS = 30_000;

/**
 * Brings a mirror on another host up to a local source, in one step for its readers.
 *
 * @throws MirrorlatchError; nothing is published then, and what was transferred is kept there.
 */
export async function push(options: PushOptions): Promise<SyncResult> {
  const { outcome } = await pushWithRetries(options, false);
  if (outcome.outcome === 'planned') throw wrongAnswer(outcome);
  return { ...outcome, source: nameOfSource(options) } as SyncResult;
}

/**
 * What a push would do, found out without a lock and without changing anything.
 *
 * @throws MirrorlatchError when the plan cannot be made.
 */
export async function planPush(options: PushOptions): Promise<PlannedSync> {
  const { outcome, entries } = await pushWithRetries(options, true);
  if (outcome.outcome !== 'planned') throw wrongAnswer(outcome);
  const refusal = outcome.refusal === null ? null : harmless(outcome.refusal);
  return { ...outcome, refusal, entries, source: nameOfSource(options) };
}

interface Answered {
  outcome: PushOutcome;
  entries: Entry[];
}

async function pushWithRetries(options: PushOptions, dryRun: boolean): Promise<Answered> {
  const { signal = new AbortController().signal, onEvent = () => {} } = options;
  const destination = parseDestination(options.destination);
  if (destination === undefined) {
    throw new MirrorlatchError('USAGE', `${options.destination} is no mirror on another host`, {
      hint: 'Give host:ROOT or ssh://[user@]host[:port]/ROOT.',
    });
  }
  const source = sourceOf(options);
  if (source.kind !== 'local') {
    throw new MirrorlatchError('USAGE', 'the source and the mirror are both on another host', {
      hint: `Run the sync where the mirror is: ssh ${destination.host} mirrorlatch sync SRC ROOT`,
    });
  }
  const path = checkSource(source);
  await checkRsync();
  const { remoteShell, options: rsyncOptions } = dividePushOptions(options.rsyncOptions ?? []);
  const retries = new Retries({
    retries: options.retries ?? 4,
    delayMs: options.retryDelayMs ?? 2_000,
    signal,
    onEvent,
  });
  for (let waitMs = options.waitMs; ; waitMs = Math.max(waitMs ?? 0, CUT_OFF_MS)) {
    const conversation = new Conversation({
      destination,
      remoteShell: remoteShell ?? splitShell(process.env['RSYNC_RSH'] || 'ssh'),
      remoteProgram: options.remoteProgram ?? 'mirrorlatch',
      path,
      request: requestFor({ ...options, waitMs, rsyncOptions }, path, dryRun),
      signal,
      onEvent,
    });
    const answer = await conversation.hold();
    if ('outcome' in answer) return answer;
    await retries.again(answer, '');
  }
}

function requestFor(options: PushOptions, path: string, dryRun: boolean): PushRequest {
  const { strategy, clone, without, maxShrinkPercent, allowShrink, id, at, unclean } = options;
  const { waitMs, staleAfterMs, retries, retryDelayMs } = options;
  const { prune, drainMs, afterDrain, keepLast, keepWithinMs, graceMs } = options;
  return {
    kind: 'request',
    name: nameOfSource(options),
    place: { bootId: thisHost().bootId, path, inode: inodeOf(path) },
    dryRun,
    rsyncOptions: [...(options.rsyncOptions ?? [])],
    options: {
      // A mirror in place has its own, and knows it.
      strategy: strategy === 'in-place' ? undefined : strategy,
      clone,
      without: without && [...without],
      maxShrinkPercent,
      allowShrink,
      id,
      at: at?.getTime(),
      waitMs,
      staleAfterMs,
      retries,
      retryDelayMs,
      unclean,
      prune,
      drainMs,
      afterDrain,
      keepLast,
      keepWithinMs,
      graceMs,
    },
  };
}

function nameOfSource(options: PushOptions): string {
  return `${userInfo().username}@${hostname()}:${sourceOf(options).argument}`;
}

function sourceOf({ source, destination }: PushOptions): Source {
  if (source !== undefined) return parseSource(source);
  throw new MirrorlatchError('USAGE', `${destination} is on another host, and no source is named`, {
    hint: `Name it each time: mirrorlatch sync SRC ${destination}`,
  });
}

interface ConversationOptions {
  destination: Destination;
  remoteShell: readonly string[];
  remoteProgram: string;
  /** The source, absolute and without symlinks. */
  path: string;
  request: PushRequest;
  signal: AbortSignal;
  onEvent: NonNullable<PushOptions['onEvent']>;
}

/** One session with the other host. */
class Conversation {
  readonly #options: ConversationOptions;
  readonly #shell: DuplexChild;
  readonly #wire: Wire<PusherMessage, ReceiverMessage>;
  readonly #entries: Entry[] = [];
  /** It is done when the rsync that it served has ended. */
  #server: { run: number; child: DuplexChild; isDone: boolean } | undefined;
  #outcome: PushOutcome | undefined;
  #isGreeted = false;
  #isPublishing = false;

  constructor(options: ConversationOptions) {
    this.#options = options;
    const { destination, remoteShell, remoteProgram } = options;
    const { user, host, port, root } = destination;
    const [program = 'ssh', ...words] = remoteShell;
    const place = root.startsWith('-') ? `./${root}` : root;
    this.#shell = startDuplexChild(program, [
      ...words,
      ...(port === undefined ? [] : ['-p', String(port)]),
      ...(user === undefined ? [] : ['-l', user]),
      host,
      `${remoteProgram} receive ${quoteForSh(place)}`,
    ]);
    this.#wire = new Wire({
      input: this.#shell.stdout,
      output: this.#shell.stdin,
      check: checkReceiverMessage,
      onSilence: () => this.#shell.kill('SIGTERM'),
    });
  }

  /**
   * Talks until the other end has nothing more to say.
   *
   * @returns what it answered, or what went wrong with the connection.
   * @throws MirrorlatchError what went wrong there, or the signal's reason.
   */
  async hold(): Promise<Answered | Exclude<Ending, { kind: 'clean' }>> {
    const { signal } = this.#options;
    const leave = (): void => void this.#leave();
    signal.addEventListener('abort', leave, { once: true });
    if (signal.aborted) leave();
    try {
      for await (const { message, payload } of this.#wire.frames()) {
        await this.#hear(message, payload);
        if (this.#outcome) break;
      }
    } catch (error) {
      await this.#leave();
      signal.throwIfAborted();
      throw this.#isGreeted ? error : this.#asBabble(error, await this.#shell.ended);
    } finally {
      signal.removeEventListener('abort', leave);
      this.#endServer();
      await this.#wire.close();
    }
    await this.#leave();
    const end = await this.#shell.ended;
    signal.throwIfAborted();
    if (this.#outcome) return { outcome: this.#outcome, entries: this.#entries };
    return this.#judge(end);
  }

  async #hear(message: ReceiverMessage, payload: Buffer): Promise<void> {
    if (!this.#isGreeted && message.kind !== 'greeting') throw this.#otherVersion('none');
    switch (message.kind) {
      case 'greeting':
        if (message.protocol !== PROTOCOL) throw this.#otherVersion(`version ${message.protocol}`);
        this.#isGreeted = true;
        await this.#wire.send(this.#options.request);
        break;
      case 'event': {
        const { event } = message;
        const isText = event.kind === 'notice' || event.kind === 'warning';
        this.#options.onEvent(isText ? { ...event, message: harmless(event.message) } : event);
        break;
      }
      case 'run':
        this.#serve(message.run);
        break;
      case 'data':
        if (this.#server?.run === message.run) await writeTo(this.#server.child.stdin, payload);
        break;
      case 'close':
        if (this.#server?.run !== message.run) break;
        this.#server.isDone = true;
        this.#server.child.stdin.end();
        break;
      case 'ready':
        this.#options.signal.throwIfAborted();
        this.#isPublishing = true;
        await this.#wire.send({ kind: 'publish' });
        break;
      case 'entries':
        this.#entries.push(...message.entries);
        break;
      case 'result':
        this.#outcome = message.result;
        break;
      case 'failed':
        throw this.#failureThere(message);
      case 'alive':
        break;
      default:
        message satisfies never;
    }
  }

  /** Starts a server of the source, for one rsync on the other host. */
  #serve(run: number): void {
    this.#endServer();
    const { path, request } = this.#options;
    const child = serveSource(path, request.rsyncOptions);
    this.#server = { run, child, isDone: false };
    void this.#relay(child, run);
  }

  #endServer(): void {
    if (this.#server === undefined) return;
    this.#server.isDone = true;
    this.#server.child.kill('SIGTERM');
  }

  async #relay(child: DuplexChild, run: number): Promise<void> {
    try {
      for await (const chunk of child.stdout) await this.#wire.send({ kind: 'data', run }, chunk);
      const { exitCode, stderr } = await child.ended;
      // While the rsync that it serves goes on: what this one said nobody else has heard.
      if (exitCode !== 0 && this.#server?.run === run && !this.#server.isDone) {
        const message = `rsync here ended with ${exitCode}${lastWords(stderr)}`;
        this.#options.onEvent({ kind: 'warning', message });
      }
    } catch {
      // It could not be started, or was ended: the rsync that it served tells what that means.
    }
    await this.#wire.send({ kind: 'ended', run });
  }

  /** Hangs up, and sees to it that the session ends. */
  async #leave(): Promise<void> {
    this.#shell.stdin.end();
    this.#shell.stdout.destroy();
    const patience = new AbortController();
    await Promise.race([
      this.#shell.ended,
      sleep(FAREWELL_MS, undefined, patience).then(() => this.#shell.kill('SIGTERM')),
    ]).catch(() => {});
    patience.abort();
  }

  #failureThere(failed: Extract<ReceiverMessage, { kind: 'failed' }>): MirrorlatchError {
    const { host } = this.#options.destination;
    const { code, message, hint, details } = failed;
    // Signals that ended the other end are not ours.
    const isSignal = code === 'SIGHUP' || code === 'SIGINT' || code === 'SIGTERM';
    return new MirrorlatchError(isSignal ? 'UNAVAILABLE' : code, `${host}: ${harmless(message)}`, {
      ...(hint === undefined ? {} : { hint: harmless(hint) }),
      details: { ...details, host },
    });
  }

  #otherVersion(theirs: string): MirrorlatchError {
    const { host } = this.#options.destination;
    return new MirrorlatchError(
      'UNAVAILABLE',
      `the mirrorlatch on ${host} cannot take this push: of its protocol it speaks ${theirs}, this one version ${PROTOCOL}`,
      { hint: 'Install the same version on both hosts.' },
    );
  }

  /** What a session that ended without an answer ended of. */
  #judge({ exitCode, stderr }: DuplexEnd): Exclude<Ending, { kind: 'clean' }> {
    const { destination, remoteShell, remoteProgram } = this.#options;
    const { host } = destination;
    const said = lastWords(stderr);
    const failed = (
      code: 'UNAVAILABLE' | 'PERMISSION',
      message: string,
      hint: string,
    ): Exclude<Ending, { kind: 'clean' }> => ({
      kind: 'failed',
      error: new MirrorlatchError(code, message + said, { hint, details: { host, exitCode } }),
    });
    if (this.#isPublishing) {
      return failed(
        'UNAVAILABLE',
        `the connection to ${host} was lost while it published: whether it did is not known`,
        'See what is current there, or push again: that does no harm.',
      );
    }
    if (/^setpriv: failed to execute/m.test(stderr)) {
      return failed(
        'UNAVAILABLE',
        `the remote shell ${remoteShell[0]} cannot be started`,
        'Install it, for example with: apt-get install openssh-client',
      );
    }
    if (!this.#isGreeted && /unknown command/.test(stderr))
      return { kind: 'failed', error: this.#otherVersion('none') };
    if (!this.#isGreeted && (exitCode === 127 || exitCode === 126)) {
      return failed(
        'UNAVAILABLE',
        `${remoteProgram} cannot be started on ${host}`,
        'Install mirrorlatch there, or say where it is: --remote-program PATH',
      );
    }
    if (/Permission denied \(|Host key verification failed|Too many authentication/.test(stderr)) {
      return failed(
        'PERMISSION',
        `${host} cannot be logged in to`,
        `Try it by hand: ${remoteShell.join(' ')} ${host}`,
      );
    }
    if (!this.#isGreeted && exitCode !== 255) {
      return failed(
        'UNAVAILABLE',
        `the session on ${host} ended with ${exitCode} before mirrorlatch said anything`,
        `Try it by hand: ${remoteShell.join(' ')} ${host} ${remoteProgram} --version`,
      );
    }
    const why = this.#isGreeted
      ? `the connection to ${host} was lost`
      : `${host} cannot be reached`;
    return {
      kind: 'retry',
      why,
      error: new MirrorlatchError('UNAVAILABLE', why + said, {
        hint: 'Check the network and the server, then try again: nothing that came is lost.',
        details: { host, exitCode },
      }),
    };
  }

  /** What comes before the greeting is not mirrorlatch's. */
  #asBabble(error: unknown, end: DuplexEnd): MirrorlatchError {
    const { host } = this.#options.destination;
    const { code, message, hint } = asMirrorlatchError(error);
    return new MirrorlatchError(code, `${host}: ${message}${lastWords(end.stderr)}`, {
      ...(hint === undefined ? {} : { hint }),
      details: { host },
    });
  }
}

function lastWords(stderr: string): string {
  const lines = stderr.split('\n').filter((line) => line.trim() !== '');
  return lines.length === 0 ? '' : `: ${harmless(lines.slice(-3).join('; '))}`;
}

function wrongAnswer({ outcome }: PushOutcome): MirrorlatchError {
  return new MirrorlatchError('INTERNAL', `the other end answered with ${outcome}`);
}
