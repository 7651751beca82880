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
    // What is written while the connection is being closed, Node drops without a word.
    const goAway = (): void => resolve(false);
    response.once('close', goAway);
    response.write(bytes, (error) => {
      response.off('close', goAway);
      resolve(error === null || error === undefined);
    });
  });
}
