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
export function whenEnded({ request, response }: Exchange, end: () => void): void {
  if (response.closed || request.socket.destroyed) end();
  else response.once('close', end);
}
