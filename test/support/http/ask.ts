import { once } from 'node:events';
import { type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http';
import { buffer } from 'node:stream/consumers';

/** An answer as it came over the wire. */
export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** What differs from a plain GET. */
export interface Question {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/**
 * Asks a server for a path as it is written, unlike `fetch`, which mends paths first.
 *
 * @param path one character per byte (latin1).
 * @throws the error of the connection if it breaks before the answer is whole.
 */
export async function ask(
  { port }: { readonly port: number },
  path: string,
  { method = 'GET', headers = {} }: Question = {},
): Promise<Answer> {
  const question = request({ host: '127.0.0.1', port, path, method, headers, agent: false }).end();
  const [answer] = (await once(question, 'response')) as [IncomingMessage];
  return {
    status: answer.statusCode ?? 0,
    headers: answer.headers,
    body: await buffer(answer),
  };
}
