import { serveSource } from '../rsync/pushed.ts';
import type { DuplexChild } from '../system/duplex-child.ts';
import type { OnEvent } from '../writer/events.ts';
import type { PusherMessage, PushRequest } from './messages.ts';
import { lastWords } from './session-end.ts';
import { writeTo } from './wire.ts';

export interface SourceServerOptions {
  /** The source, absolute and without symlinks. */
  path: string;
  request: PushRequest;
  onEvent: OnEvent;
}

/** Serves the source to one rsync of the other host after another. */
export class SourceServer {
  readonly #options: SourceServerOptions;
  readonly #send: (message: PusherMessage, payload?: Buffer) => Promise<void>;
  /** It is done when the rsync that it served has ended. */
  #served: { run: number; child: DuplexChild; isDone: boolean } | undefined;

  constructor(
    options: SourceServerOptions,
    send: (message: PusherMessage, payload?: Buffer) => Promise<void>,
  ) {
    this.#options = options;
    this.#send = send;
  }

  start(run: number): void {
    this.end();
    const { path, request } = this.#options;
    const child = serveSource(path, request.rsyncOptions);
    this.#served = { run, child, isDone: false };
    void this.#relay(child, run);
  }

  /** Hands the server what its rsync says. */
  async pass(run: number, bytes: Buffer): Promise<void> {
    if (this.#served?.run === run) await writeTo(this.#served.child.stdin, bytes);
  }

  /** Called when its rsync has ended. */
  finish(run: number): void {
    if (this.#served?.run !== run) return;
    this.#served.isDone = true;
    this.#served.child.stdin.end();
  }

  end(): void {
    if (this.#served === undefined) return;
    this.#served.isDone = true;
    this.#served.child.kill('SIGTERM');
  }

  async #relay(child: DuplexChild, run: number): Promise<void> {
    try {
      for await (const chunk of child.stdout) await this.#send({ kind: 'data', run }, chunk);
      const { exitCode, stderr } = await child.ended;
      // If its rsync goes on, the other end has not heard what this server said.
      if (exitCode !== 0 && this.#served?.run === run && !this.#served.isDone) {
        const message = `rsync here ended with ${exitCode}${lastWords(stderr)}`;
        this.#options.onEvent({ kind: 'warning', message });
      }
    } catch {
      // It could not be started, or was ended: the rsync that it served reports what that means.
    }
    await this.#send({ kind: 'ended', run });
  }
}
