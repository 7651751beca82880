import type { IncomingMessage, ServerResponse } from 'node:http';

const MONTHS = 'Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec'.split(' ');

/**
 * A line of the combined log format, which the tools for web servers' logs read: the common one of CERN's httpd, and
 * Referer and User-Agent.
 *
 * @param address of the client. @param time when the answer was begun, in UTC.
 */
export function logLine(
  { method, url, httpVersion, headers }: IncomingMessage,
  { statusCode }: Pick<ServerResponse, 'statusCode'>,
  { address, time, bytes }: { address: string; time: Date; bytes: number },
): string {
  const request = `${method} ${url} HTTP/${httpVersion}`;
  const words = [
    address,
    '-',
    '-',
    `[${logTime(time)}]`,
    quoted(request),
    statusCode,
    bytes === 0 ? '-' : bytes,
    quoted(headers.referer),
    quoted(headers['user-agent']),
  ];
  return `${words.join(' ')}\n`;
}

/** `27/Nov/2026:11:43:08 +0000` */
function logTime(time: Date): string {
  const [date = '', clock = ''] = time.toISOString().split(/[T.]/);
  const [year, month, day] = date.split('-');
  return `${day}/${MONTHS[Number(month) - 1]}/${year}:${clock} +0000`;
}

/** As Apache does it: what a client has sent can neither end the line nor the word. */
function quoted(words = '-'): string {
  const shown = words.replaceAll(/[\p{Cc}"\\]|\P{ASCII}/gu, (character) =>
    [...Buffer.from(character)].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join(''),
  );
  return `"${shown}"`;
}
