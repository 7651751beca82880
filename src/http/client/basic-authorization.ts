import { percentDecoded } from '../percent.ts';

/**
 * The value of a header by which the user that a URL names shows who it is (RFC 7617). A percent sign that escapes nothing stays,
 * as curl has it. Pure.
 *
 * @returns undefined if the URL names no user.
 */
export function basicAuthorization({ username, password }: URL): string | undefined {
  if (username === '') return undefined;
  const user = Buffer.from(percentDecoded(`${username}:${password}`), 'latin1');
  return `Basic ${user.toString('base64')}`;
}
