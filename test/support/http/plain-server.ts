import { once } from 'node:events';
import { createReadStream, existsSync, readFileSync, statSync, symlinkSync } from 'node:fs';
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type ServerResponse,
} from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { type AddressInfo, createServer as createTcpServer, type Server } from 'node:net';
import { extname, join } from 'node:path';
import { execa } from 'execa';
import { onTestFinished } from 'vitest';

export interface PlainServer {
  readonly port: number;
  /** `http://ADDRESS:PORT`, without a slash at its end. */
  readonly url: string;
  /** The method and target of each request, in order. */
  readonly requests: string[];
}

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html',
  '.json': 'application/json',
};

/** Answers a request by itself, and returns true, or leaves it to the files. */
type Answer = (request: IncomingMessage, response: ServerResponse) => boolean;

/**
 * Serves the files of a directory until the end of the running test, as any web server does: it resolves `current` anew for
 * each request, and knows nothing of pins.
 */
export async function servePlainly(
  root: string,
  answer: Answer = () => false,
  certificate?: Certificate,
): Promise<PlainServer> {
  const requests: string[] = [];
  const serve: RequestListener = (request, response) => {
    const { method = '', url = '' } = request;
    requests.push(`${method} ${url}`);
    if (answer(request, response)) return;
    // As a proxy, it is each server.
    const path = url.replace(/^http:\/\/[^/]*/, '').replace(/\?.*/, '');
    const place = join(root, decodeURIComponent(path));
    const indexes = ['index.html', 'index.json'].map((name) => join(place, name));
    const file = indexes.find((index) => existsSync(index)) ?? place;
    const status = statSync(file, { throwIfNoEntry: false });
    if (method !== 'GET' && method !== 'HEAD') response.writeHead(405).end();
    else if (status === undefined) response.writeHead(404).end();
    else if (!status.isFile()) response.writeHead(200).end();
    else {
      const type = TYPES[extname(file)] ?? 'application/octet-stream';
      response.writeHead(200, { 'Content-Type': type, 'Content-Length': status.size });
      if (method === 'HEAD') response.end();
      else createReadStream(file).pipe(response);
    }
  };
  const server =
    certificate === undefined ? createServer(serve) : createSecureServer(certificate, serve);
  const port = await listening(server);
  onTestFinished(() => server.closeAllConnections());
  const scheme = certificate === undefined ? 'http' : 'https';
  return { port, url: `${scheme}://127.0.0.1:${port}`, requests };
}

/** What a server with https: proves itself by. */
interface Certificate {
  readonly key: Buffer;
  readonly cert: Buffer;
  /** The path of `cert`, for clients. */
  readonly file: string;
}

/** Makes a certificate for 127.0.0.1 that nobody has signed. @param directory where its files are put. */
export async function makeCertificate(directory: string): Promise<Certificate> {
  const [key, file] = [join(directory, 'key.pem'), join(directory, 'cert.pem')];
  const words =
    'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=mirror';
  const names = ['-addext', 'subjectAltName=IP:127.0.0.1'];
  await execa('openssl', [...words.split(' '), ...names, '-keyout', key, '-out', file]);
  // Some clients look for it under a hash.
  const { stdout: hash } = await execa('openssl', ['x509', '-hash', '-noout', '-in', file]);
  symlinkSync(file, join(directory, `${hash}.0`));
  return { key: readFileSync(key), cert: readFileSync(file), file };
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
