import { setTimeout as sleep } from 'node:timers/promises';
import { asMirrorlatchError, MirrorlatchError } from '../errors.ts';
import { EntrySpool } from '../operations/sync/entry-spool.ts';
import type { Entry } from '../rsync/itemize.ts';
import type { Destination } from '../rsync/source.ts';
import { type DuplexChild, type DuplexEnd, startDuplexChild } from '../system/duplex-child.ts';
import { quoteForSh } from '../system/quote.ts';
import type { OnEvent } from '../writer/events.ts';
import {
  checkReceiverMessage,
  PROTOCOL,
  type PusherMessage,
  type PushOutcome,
  type PushRequest,
  type ReceiverMessage,
} from './messages.ts';
import {
  type ConversationProgress,
  judgeSession,
  lastWords,
  otherVersion,
  type SessionFailure,
} from './session-end.ts';
import { SourceServer } from './source-server.ts';
import { harmless, Wire } from './wire.ts';

/** How long the other end has to let go of everything after an interruption; ms. */
const FAREWELL_MS = 10_000;

export interface ConversationOptions {
  destination: Destination;
  /** The words of the remote shell, such as `ssh -i KEY`. */
  remoteShell: readonly string[];
  /** How mirrorlatch is started there, for the shell of that host. */
  remoteProgram: string;
  /** The source, absolute and without symlinks. */
  path: string;
  request: PushRequest;
  signal: AbortSignal;
  onEvent: OnEvent;
}

/** The other end's answer to a request. */
export interface Answer {
  outcome: PushOutcome;
  /** What would change, if that was the request. */
  entries: Iterable<Entry>;
}

/**
 * One session with the other host, from greeting to farewell.
 *
 * @returns its answer, or how the session ended without one.
 * @throws MirrorlatchError what failed there, or the signal's reason.
 */
export async function converse(options: ConversationOptions): Promise<Answer | SessionFailure> {
  const { signal } = options;
  const conversation = new Conversation(options);
  const leave = (): void => void conversation.leave();
  signal.addEventListener('abort', leave, { once: true });
  if (signal.aborted) leave();
  const endOf = async () => judgeSession(options, conversation.progress, await conversation.ended);
  try {
    const answer = await conversation.hold();
    await conversation.leave();
    if (answer !== undefined) return answer;
    if (signal.aborted) throw signal.reason;
    return await endOf();
  } catch (error) {
    await conversation.leave();
    if (signal.aborted) throw interruption(signal, conversation.progress, await endOf());
    if (conversation.progress !== 'none') throw error;
    throw asBabble(error, options.destination, await conversation.ended);
  } finally {
    signal.removeEventListener('abort', leave);
    await conversation.close();
  }
}

/** The signal's own reason, unless the other end may have published all the same. */
function interruption(
  { reason }: AbortSignal,
  progress: ConversationProgress,
  { error }: SessionFailure,
): unknown {
  if (progress !== 'publishing' || !(reason instanceof MirrorlatchError)) return reason;
  const { message, hint, details } = error;
  return new MirrorlatchError(reason.code, message, { hint, details });
}

class Conversation {
  progress: ConversationProgress = 'none';
  readonly #options: ConversationOptions;
  readonly #shell: DuplexChild;
  readonly #wire: Wire<PusherMessage, ReceiverMessage>;
  readonly #server: SourceServer;
  readonly #entries = new EntrySpool();

  constructor(options: ConversationOptions) {
    this.#options = options;
    this.#shell = startRemoteProgram(options);
    this.#wire = new Wire({
      input: this.#shell.stdout,
      output: this.#shell.stdin,
      check: checkReceiverMessage,
      onSilence: () => this.#shell.kill('SIGTERM'),
    });
    this.#server = new SourceServer(options, (message, payload) =>
      this.#wire.send(message, payload),
    );
  }

  /** Hears the other end until it has answered or hangs up; undefined without an answer. */
  async hold(): Promise<Answer | undefined> {
    for await (const { message, payload } of this.#wire.frames()) {
      if (this.progress === 'none' && message.kind !== 'greeting') {
        throw otherVersion(this.#options.destination, 'none');
      }
      if (message.kind === 'result') return { outcome: message.result, entries: this.#entries };
      await this.#hear(message, payload);
    }
    return undefined;
  }

  get ended(): Promise<DuplexEnd> {
    return this.#shell.ended;
  }

  /** Hangs up and waits for the end of the session, which is ended if it lingers. */
  async leave(): Promise<void> {
    this.#shell.stdin.end();
    this.#shell.stdout.destroy();
    const patience = new AbortController();
    await Promise.race([
      this.#shell.ended,
      sleep(FAREWELL_MS, undefined, patience).then(() => this.#shell.kill('SIGTERM')),
    ]).catch(() => {});
    patience.abort();
  }

  async close(): Promise<void> {
    this.#server.end();
    await this.#wire.close();
  }

  async #hear(
    message: Exclude<ReceiverMessage, { kind: 'result' }>,
    payload: Buffer,
  ): Promise<void> {
    const { destination, request, signal, onEvent } = this.#options;
    switch (message.kind) {
      case 'greeting':
        if (message.protocol !== PROTOCOL) {
          throw otherVersion(destination, `version ${message.protocol}`);
        }
        this.progress = 'greeted';
        await this.#wire.send(request);
        break;
      case 'event':
        onEvent(withoutControls(message.event));
        break;
      case 'run':
        this.#server.start(message.run);
        break;
      case 'data':
        await this.#server.pass(message.run, payload);
        break;
      case 'close':
        this.#server.finish(message.run);
        break;
      case 'ready':
        signal.throwIfAborted();
        this.progress = 'publishing';
        await this.#wire.send({ kind: 'publish' });
        break;
      case 'entries':
        for (const entry of message.entries) this.#entries.add(entry);
        break;
      case 'failed':
        throw failureThere(destination, message);
      case 'alive':
        break;
      default:
        message satisfies never;
    }
  }
}

function startRemoteProgram({
  destination,
  remoteShell,
  remoteProgram,
}: ConversationOptions): DuplexChild {
  const { user, host, port, root } = destination;
  const [program = 'ssh', ...words] = remoteShell;
  const place = root.startsWith('-') ? `./${root}` : root;
  return startDuplexChild(program, [
    ...words,
    ...(port === undefined ? [] : ['-p', String(port)]),
    ...(user === undefined ? [] : ['-l', user]),
    host,
    `${remoteProgram} receive ${quoteForSh(place)}`,
  ]);
}

type Event = Extract<ReceiverMessage, { kind: 'event' }>['event'];

function withoutControls(event: Event): Event {
  return 'message' in event ? { ...event, message: harmless(event.message) } : event;
}

function failureThere(
  destination: Destination,
  { code, message, hint, details }: Extract<ReceiverMessage, { kind: 'failed' }>,
): MirrorlatchError {
  const { host } = destination;
  // A signal that ended the other end did not end this one.
  const isSignal = code === 'SIGHUP' || code === 'SIGINT' || code === 'SIGTERM';
  return new MirrorlatchError(isSignal ? 'UNAVAILABLE' : code, `${host}: ${harmless(message)}`, {
    hint: hint === undefined ? undefined : hintThere(destination, harmless(hint)),
    details: { ...details, host },
  });
}

/** Its commands and paths are those of the other host. Options alone are for the call on this one. */
function hintThere({ user, host, port }: Destination, hint: string): string {
  const [, before = hint, command] = /^(.*: )(mirrorlatch .*)$/s.exec(hint) ?? [];
  if (command !== undefined && !isOfHost(before)) {
    const words = [
      'ssh',
      ...(port === undefined ? [] : ['-p', String(port)]),
      user === undefined ? host : `${user}@${host}`,
      command,
    ];
    return before + words.map(quoteForSh).join(' ');
  }
  if (!isOfHost(hint)) return hint;
  const sentence = hint.replace(/^[A-Z](?=[a-z ])/, (letter) => letter.toLowerCase());
  return `On ${host}, ${sentence}`;
}

/** Whether a text names a command or a path. */
function isOfHost(text: string): boolean {
  return /\bmirrorlatch | \//.test(text);
}

/** What comes before the greeting is not mirrorlatch's. */
function asBabble(error: unknown, { host }: Destination, { stderr }: DuplexEnd): MirrorlatchError {
  const { code, message, hint } = asMirrorlatchError(error);
  return new MirrorlatchError(code, `${host}: ${message}${lastWords(stderr)}`, {
    hint,
    details: { host },
  });
}
