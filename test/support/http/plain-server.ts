import { once } from 'node:events';
import { createReadStream, statSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo, createServer as createTcpServer, type Server } from 'node:net';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

export interface PlainServer {
  readonly port: number;
  /** `http://ADDRESS:PORT`, without a slash at its end. */
  readonly url: string;
  /** The method and target of each request, in order. */
  readonly requests: string[];
}

/** Answers a request by itself, and returns true, or leaves it to the files. */
type Answer = (request: IncomingMessage, response: ServerResponse) => boolean;

/**
 * Serves the files of a directory until the end of the running test, as any web server does: it resolves `current` anew for
 * each request, and knows nothing of pins.
 */
export async function servePlainly(
  root: string,
  answer: Answer = () => false,
): Promise<PlainServer> {
  const requests: string[] = [];
  const server = createServer((request, response) => {
    const { method = '', url = '' } = request;
    requests.push(`${method} ${url}`);
    if (answer(request, response)) return;
    // As a proxy, it is each server.
    const path = url.replace(/^http:\/\/[^/]*/, '').replace(/\?.*/, '');
    const file = join(root, decodeURIComponent(path));
    const status = statSync(file, { throwIfNoEntry: false });
    if (method !== 'GET' && method !== 'HEAD') response.writeHead(405).end();
    else if (status === undefined) response.writeHead(404).end();
    else if (!status.isFile()) response.writeHead(200).end();
    else {
      response.writeHead(200, { 'Content-Length': status.size });
      if (method === 'HEAD') response.end();
      else createReadStream(file).pipe(response);
    }
  });
  const port = await listening(server);
  onTestFinished(() => server.closeAllConnections());
  return { port, url: `http://127.0.0.1:${port}`, requests };
}

/** Sends back what it gets, after a greeting, until the end of the running test. */
export async function echo(greeting: string): Promise<{ readonly port: number }> {
  const server = createTcpServer((socket) => {
    socket.on('error', () => {});
    socket.write(greeting);
    socket.pipe(socket);
    onTestFinished(() => {
      socket.destroy();
    });
  });
  return { port: await listening(server) };
}

async function listening(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.close();
  });
  return (server.address() as AddressInfo).port;
}
