import type { Socket } from 'node:net';
import type { Exchange } from './exchange.ts';

/** More in advance no client asks for: apt 10, or the 200 that some are told to. One that does is given up. */
const MOST_WAITING = 250;

/**
 * The requests that clients send before they have the answers to earlier ones of their connection (RFC 9112, 9.3.2).
 * Those answers would have to wait for each other in any case, each with a file open.
 */
export class Pipelines {
  /** Of each connection, what answers its requests, the one that is being answered first. */
  readonly #turns = new WeakMap<Socket, (() => void)[]>();

  /** Calls `answer` once the answers before it have been sent; never if the connection ends before. */
  enter({ request: { socket }, response }: Exchange, answer: () => void): void {
    const turns = this.#turns.get(socket) ?? [];
    this.#turns.set(socket, turns);
    turns.push(answer);
    response.once('close', () => {
      turns.shift();
      if (!socket.destroyed) turns[0]?.();
    });
    if (turns.length === 1) answer();
    else if (turns.length > MOST_WAITING) socket.destroy();
  }
}
