import type { IncomingMessage, ServerResponse } from 'node:http';

/**
 * Writes a part of a body, and waits until the kernel has taken all of it. So a slow client makes its
 * own response wait, and a buffer can be used again.
 *
 * @returns false if the client has gone away.
 */
export async function writeBody(
  { socket }: IncomingMessage,
  response: ServerResponse,
  bytes: Buffer | string,
): Promise<boolean> {
  if (socket.destroyed || response.destroyed) return false;
  return new Promise((resolve) => {
    response.write(bytes, (error) => resolve(error === null || error === undefined));
  });
}
