import { createHash, timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';

/** What a request for a sync is answered with. */
type Answer = readonly [status: number, body: Readonly<Record<string, unknown>>];

/**
 * A server that takes wishes for syncs: `POST /NAME` with `Authorization: Bearer TOKEN` is answered with 202
 * as soon as the sync is on its way.
 *
 * @param names the mirrors that may be wished.
 * @param start begins a sync, and does not wait for its end.
 */
export function triggerServer(
  token: string,
  names: ReadonlySet<string>,
  start: (name: string) => void,
): Server {
  const expected = digest(token);
  const answerTo = ({ method, url = '', headers }: IncomingMessage): Answer => {
    // The same for a mirror that is there and one that is not.
    const given = digest((headers.authorization ?? '').replace(/^bearer +/i, ''));
    if (!timingSafeEqual(given, expected)) return [401, { error: 'the token is missing or wrong' }];
    const name = url.replace(/^\//, '').replace(/[/?].*$/, '');
    if (!names.has(name)) return [404, { error: 'there is no such mirror' }];
    if (method !== 'POST') return [405, { error: 'a sync is wished by POST' }];
    start(name);
    return [202, { mirror: name }];
  };
  const server = createServer(
    {
      requestTimeout: 10_000,
      headersTimeout: 10_000,
      // By default, the limits count only every half minute.
      connectionsCheckingInterval: 1_000,
      keepAliveTimeout: 1_000,
    },
    (request: IncomingMessage, response: ServerResponse) => {
      // What a webhook says of itself is of no interest.
      request.resume();
      const [status, body] = answerTo(request);
      const text = `${JSON.stringify(body)}\n`;
      response
        .writeHead(status, {
          'Content-Type': 'application/json',
          'Content-Length': Buffer.byteLength(text),
          ...(status === 401 ? { 'WWW-Authenticate': 'Bearer' } : {}),
          ...(status === 405 ? { Allow: 'POST' } : {}),
          Connection: 'close',
        })
        .end(text);
    },
  );
  server.maxConnections = 64;
  return server;
}

/** Of one length, for a comparison that takes one time. */
function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
