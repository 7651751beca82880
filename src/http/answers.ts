import type { OutgoingHttpHeaders, ServerResponse } from 'node:http';

/** An answer that is made in memory. */
export interface Answer {
  readonly status: number;
  readonly headers: OutgoingHttpHeaders;
  readonly body: string | Buffer;
}

/** A client that comes too early may come back after so many seconds. */
export const RETRY_AFTER = { 'Retry-After': '30' };

export const NO_CACHE = 'no-cache';

/** A short text for people; the way out belongs into it. */
export function text(status: number, words: string, headers: OutgoingHttpHeaders = {}): Answer {
  return {
    status,
    headers: {
      'Content-Type': 'text/plain; charset=utf-8',
      'Cache-Control': 'no-store',
      ...headers,
    },
    body: words === '' ? '' : `${words}\n`,
  };
}

export function json(status: number, value: unknown, headers: OutgoingHttpHeaders = {}): Answer {
  return {
    status,
    headers: { 'Content-Type': 'application/json', 'Cache-Control': 'no-store', ...headers },
    body: `${JSON.stringify(value)}\n`,
  };
}

export function send(response: ServerResponse, { status, headers, body }: Answer): void {
  const bytes = typeof body === 'string' ? Buffer.from(body) : body;
  // RFC 9110, 8.6: none with 204. Set by itself, it can be read afterwards, for the log.
  if (status !== 204) response.setHeader('Content-Length', bytes.length);
  response.writeHead(status, headers);
  response.end(status === 204 || response.req.method === 'HEAD' ? undefined : bytes);
}

export function redirect(location: string): Answer {
  return text(302, 'It is elsewhere.', { Location: location });
}

export function nothingThere(headers: OutgoingHttpHeaders = {}): Answer {
  return text(404, 'There is nothing here.', { 'Cache-Control': NO_CACHE, ...headers });
}

/** A path of several slashes at its beginning would name another host. */
export function withSlash(target: string): Answer {
  const [, path = '', query = ''] = /^([^?#]*)(.*)$/s.exec(target) ?? [];
  const headers: OutgoingHttpHeaders = { Location: `${path.replace(/^\/+/, '/')}/${query}` };
  return text(301, 'The path needs a slash at its end.', headers);
}
