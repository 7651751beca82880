import { percentEncoded } from '../percent.ts';

/**
 * The Location that adds the slash to the URL of a directory. It is an absolute path, because apt takes no
 * relative one, and begins with one slash, because a browser takes `//host/` and `/\host/` for another host.
 *
 * @param url the path of the request as the client sent it, one character per byte (latin1). It may hold
 *   bytes that a header may not.
 */
export function directoryLocation(url: string): string {
  const path = percentEncoded(`${url}/`, /[^\x21-\x7e]|["<>\\^`{|}]/g);
  return path.replace(/^(?:\/|%5c)+/i, '/');
}
