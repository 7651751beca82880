import { once } from 'node:events';
import { realpathSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Duplex, Readable, Writable } from 'node:stream';
import { asMirrorlatchError, MirrorlatchError } from '../errors.ts';
import { checkPlaces } from '../mirror/plan/preflight.ts';
import { type PlannedSync, planSyncSpooled } from '../operations/sync/plan-sync.ts';
import { type SyncResult, sync } from '../operations/sync/sync.ts';
import type { PushedTree, SyncOptions } from '../operations/sync/work.ts';
import type { Entry } from '../rsync/itemize.ts';
import { checkPushedOptions } from '../rsync/pushed.ts';
import { ifThere } from '../system/files.ts';
import { thisHost } from '../system/host.ts';
import type { OnEvent, OperationEvent } from '../writer/events.ts';
import {
  checkPusherMessage,
  PROTOCOL,
  type PusherMessage,
  type PushRequest,
  type ReceiverMessage,
} from './messages.ts';
import { harmless, inodeOf, Wire, writeTo } from './wire.ts';

type Outgoing =
  | Exclude<ReceiverMessage, { kind: 'result' }>
  | { kind: 'result'; result: SyncResult | Omit<PlannedSync, 'entries'> };

/** The shortest time between two reports of progress to the other end; ms. */
const PROGRESS_EVERY_MS = 200;

/** How many entries of a plan go into one message. */
const ENTRIES_AT_ONCE = 100;

export interface ReceiveOptions {
  root: string;
  input: Readable;
  output: Writable;
  signal: AbortSignal;
}

/**
 * The end of a push that lies beside the mirror; `push.ts` is the other one.
 *
 * A push is a sync like any other, with its lock, plan, clone, retries, guards and recovery: it runs
 * here, and only its source is elsewhere. Every rsync of it is a child of this process, which holds
 * the writer's lock by inheritance and ends with it (I4). What rsync says to the server of the tree
 * goes through this process and the one connection. So when the connection drops, everything that
 * could still write ends with it, and what came stays in staging for the next push (I7).
 *
 * @returns the exit code; the other end is sent what failed.
 */
export async function receive({ root, input, output, signal }: ReceiveOptions): Promise<number> {
  const hungUp = new AbortController();
  const wire = new Wire<Outgoing, PusherMessage>({
    input,
    output,
    check: checkPusherMessage,
    onSilence: () => hungUp.abort(connectionLost('has been silent for too long')),
  });
  const session = new Session(wire, AbortSignal.any([signal, hungUp.signal]));
  void wire.send({ kind: 'greeting', protocol: PROTOCOL });
  const listening = session.listen().then(
    () => hungUp.abort(connectionLost('has hung up')),
    (error: unknown) => hungUp.abort(asMirrorlatchError(error)),
  );
  let exitCode = 0;
  try {
    await session.serve(root);
  } catch (error) {
    const { code, message, hint, details, exitCode: failed } = asMirrorlatchError(error);
    exitCode = failed;
    await wire.send({
      kind: 'failed',
      code,
      message,
      ...(hint === undefined ? {} : { hint }),
      details: { ...details },
    });
  } finally {
    await wire.close();
    await listening;
  }
  return exitCode;
}

class Session {
  readonly #wire: Wire<Outgoing, PusherMessage>;
  /** Aborts when the other end is gone. */
  readonly #signal: AbortSignal;
  readonly #request = new Arrival<PushRequest>();
  readonly #publish = new Arrival<void>();
  #channel: Duplex | undefined;
  #run = 0;

  constructor(wire: Wire<Outgoing, PusherMessage>, signal: AbortSignal) {
    this.#wire = wire;
    this.#signal = signal;
  }

  /** Dispatches what the other end says, until it hangs up. */
  async listen(): Promise<void> {
    for await (const { message, payload } of this.#wire.frames()) {
      switch (message.kind) {
        case 'request':
          this.#request.give(message);
          break;
        case 'data':
          if (message.run === this.#run && this.#channel) await writeTo(this.#channel, payload);
          break;
        case 'ended':
          if (message.run === this.#run) this.#channel?.end();
          break;
        case 'publish':
          this.#publish.give();
          break;
        case 'alive':
          break;
        default:
          message satisfies never;
      }
    }
  }

  async serve(root: string): Promise<void> {
    const request = await this.#request.wait(this.#signal);
    checkPushedOptions(request.rsyncOptions);
    checkPlaceOfPusher(request.place, root);
    const { at, ...given } = request.options;
    const options: SyncOptions = {
      ...given,
      at: at === undefined ? undefined : new Date(at),
      root,
      pushed: this.#tree(harmless(request.name)),
      rsyncOptions: request.rsyncOptions,
      signal: this.#signal,
      onEvent: this.#teller(),
    };
    if (request.verb === 'sync') {
      await this.#wire.send({ kind: 'result', result: await sync(options) });
      return;
    }
    const { entries, ...result } = await planSyncSpooled(options);
    let some: Entry[] = [];
    for (const entry of entries) {
      some.push(entry);
      if (some.length < ENTRIES_AT_ONCE) continue;
      await this.#wire.send({ kind: 'entries', entries: some });
      some = [];
    }
    await this.#wire.send({ kind: 'entries', entries: some });
    await this.#wire.send({ kind: 'result', result });
  }

  #tree(name: string): PushedTree {
    return {
      name,
      onChannel: (channel) => {
        this.#run += 1;
        this.#channel = channel;
        void this.#relay(channel, this.#run);
      },
      // If the other end has hung up, nothing is published, however whole the tree is.
      confirm: async () => {
        await this.#wire.send({ kind: 'ready' });
        await this.#publish.wait(this.#signal);
      },
    };
  }

  /** Sends what one rsync says to the server of the tree, until that rsync has ended. */
  async #relay(channel: Duplex, run: number): Promise<void> {
    await this.#wire.send({ kind: 'run', run });
    try {
      for await (const chunk of channel) await this.#wire.send({ kind: 'data', run }, chunk);
    } catch {
      // Cut off because rsync was ended; the cause is reported where that was done.
    }
    await this.#wire.send({ kind: 'close', run });
  }

  #teller(): OnEvent {
    let toldAt = Number.NEGATIVE_INFINITY;
    return (event: OperationEvent) => {
      if (event.kind === 'progress') {
        if (performance.now() - toldAt < PROGRESS_EVERY_MS) return;
        toldAt = performance.now();
      }
      void this.#wire.send({ kind: 'event', event });
    };
  }
}

/** A host may push to itself; two containers of one kernel may have different trees at one path. */
function checkPlaceOfPusher({ bootId, path, inode }: PushRequest['place'], root: string): void {
  if (bootId !== thisHost().bootId || inodeOf(path) !== inode) return;
  const real = ifThere(() => realpathSync(root)) ?? resolve(root);
  checkPlaces({ kind: 'local', argument: path, path }, real);
}

/** A message that comes once. */
class Arrival<Value> {
  readonly #given: Promise<Value>;
  #resolve: (value: Value) => void = () => {};

  constructor() {
    this.#given = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  give(value: Value): void {
    this.#resolve(value);
  }

  /** @throws the signal's reason. */
  async wait(signal: AbortSignal): Promise<Value> {
    signal.throwIfAborted();
    const done = new AbortController();
    const aborted = once(signal, 'abort', { signal: done.signal }).then(() => {
      throw signal.reason;
    });
    try {
      return await Promise.race([this.#given, aborted]);
    } finally {
      aborted.catch(() => {});
      done.abort();
    }
  }
}

function connectionLost(how: string): MirrorlatchError {
  return new MirrorlatchError('UNAVAILABLE', `the pushing host ${how}; nothing was published`, {
    hint: 'What was transferred is kept: the next push goes on from it.',
  });
}
