import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';
import { sendPlace } from '../../../src/http/files/files.ts';
import { createServerInTurn } from '../../../src/http/pipelining.ts';

/** A server that does nothing but to serve one tree. */
export interface FileServer {
  readonly port: number;
  /** `http://ADDRESS:PORT`, without a slash at its end. */
  readonly url: string;
  /** What `sendPlace` threw. */
  readonly failures: unknown[];
}

/**
 * Serves a tree at `/` until the end of the running test; what it lacks is answered with 404.
 *
 * @param others out of which the same URLs were sent at other times.
 * @param isFrozen whether it is a published snapshot.
 */
export async function serveTree(
  tree: string,
  cacheControl = 'no-cache',
  others: readonly string[] = [],
  isFrozen = true,
): Promise<FileServer> {
  const failures: unknown[] = [];
  const server = createServerInTurn({}, 1, async (request, response) => {
    try {
      const otherTrees = () => others;
      const client = () => String(request.socket.remoteAddress);
      const snapshot = { tree, snapshotId: 'this-one', isFrozen, otherTrees };
      const place = { ...snapshot, cacheControl, client, ...pathOf(request) };
      if ((await sendPlace(request, response, place)) === 'sent') return;
      response.writeHead(404).end();
    } catch (error) {
      failures.push(error);
      if (!response.headersSent) response.writeHead(500).end();
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  const { port } = server.address() as AddressInfo;
  return { port, url: `http://127.0.0.1:${port}`, failures };
}

function pathOf(request: IncomingMessage): { url: string; name: Buffer } {
  const [url = ''] = (request.url ?? '').split('?');
  const bytes = url
    .slice(1)
    .replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return { url, name: Buffer.from(bytes, 'latin1') };
}
