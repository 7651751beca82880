import { once } from 'node:events';
import { type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http';
import { buffer } from 'node:stream/consumers';

/** An answer as it came over the wire. */
export interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** The body as text. */
  readonly text: string;
}

/** What differs from a plain GET. */
export interface AskOptions {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** The local address to ask from. */
  readonly from?: string;
}

/**
 * Asks a server for a path as it is written, unlike `fetch`, which mends paths first. No redirect is followed.
 *
 * @param server its address, such as `http://127.0.0.1:40123` or `unix:PATH`, or its port on 127.0.0.1.
 * @param path one character per byte (latin1).
 * @throws the error of the connection if it breaks before the answer is whole.
 */
export async function ask(
  server: string | { readonly port: number },
  path: string,
  { method = 'GET', headers = {}, body, from }: AskOptions = {},
): Promise<Reply> {
  const local = from === undefined ? {} : { localAddress: from };
  const question = request({ ...placeOf(server), ...local, method, path, headers, agent: false });
  question.end(body);
  const [answer] = (await once(question, 'response')) as [IncomingMessage];
  const whole = await buffer(answer);
  const { statusCode = 0, headers: received } = answer;
  return { status: statusCode, headers: received, body: whole, text: whole.toString() };
}

function placeOf(server: string | { readonly port: number }) {
  if (typeof server !== 'string') return { host: '127.0.0.1', port: server.port };
  if (server.startsWith('unix:')) return { socketPath: server.slice('unix:'.length) };
  const { hostname, port } = new URL(server);
  return { host: hostname, port };
}
