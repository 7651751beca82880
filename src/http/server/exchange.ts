import type { IncomingMessage, ServerResponse } from 'node:http';

/** A request, and the answer to it. */
export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Whether the request came by a unix socket. */
  readonly isUnix: boolean;
  /** Whether nginx in front will send the file itself. */
  readonly isForNginx?: boolean;
}

export function headerOf({ request: { headers } }: Exchange, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value.join() : value;
}

/** Calls `end` once, when an answer has been sent or its client has gone, also if that has happened already. */
export function whenEnded({ response }: Exchange, end: () => void): void {
  const { socket } = response.req;
  if (response.closed || socket.destroyed) {
    end();
    return;
  }
  // An answer that waits for an earlier one of its connection hears nothing of that connection's end. Any other is told of
  // it by a listener of the socket, so that both events come, whatever has been taken off by then.
  let hasEnded = false;
  const endOnce = (): void => {
    if (hasEnded) return;
    hasEnded = true;
    response.off('close', endOnce);
    socket.off('close', endOnce);
    end();
  };
  response.once('close', endOnce);
  // As many answers of one connection as its client likes.
  socket.setMaxListeners(0);
  socket.once('close', endOnce);
}
