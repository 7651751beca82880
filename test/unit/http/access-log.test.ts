import type { IncomingMessage } from 'node:http';
import { expect, test } from 'vitest';
import { logLine } from '../../../src/http/server/access-log.ts';

const answered = { address: '192.0.2.1', time: new Date('2026-11-27T01:02:03.456Z'), bytes: 5 };
const request = (fields: object) =>
  ({ method: 'GET', url: '/', httpVersion: '1.1', headers: {}, ...fields }) as IncomingMessage;

test('a line of the access log has the combined format', () => {
  const headers = { referer: 'http://a/', 'user-agent': 'Debian APT' };
  expect(logLine(request({ headers }), { statusCode: 200 }, answered)).toBe(
    '192.0.2.1 - - [27/Nov/2026:01:02:03 +0000] "GET / HTTP/1.1" 200 5 "http://a/" "Debian APT"\n',
  );
});

test('what a client sends can neither end the line nor the word', () => {
  const headers = { 'user-agent': 'a"b\\c\nd\u00e9\u{1f600}' };
  const line = logLine(request({ headers }), { statusCode: 404 }, { ...answered, bytes: 0 });
  expect(line).toContain(String.raw`404 - "-" "a\x22b\x5cc\x0ad\xc3\xa9\xf0\x9f\x98\x80"`);
  expect(line.split('\n')).toHaveLength(2);
});
