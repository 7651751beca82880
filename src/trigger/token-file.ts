import { statSync } from 'node:fs';
import { asMirrorlatchError, MirrorlatchError } from '../errors.ts';
import { ifThere, readTextIfThere } from '../system/files.ts';
import { quoteForSh } from '../system/quote.ts';

/** A shorter one could be guessed. */
const SHORTEST = 16;

/**
 * The secret in a file: its first line.
 *
 * @throws MirrorlatchError CONFIGURATION for what is no file, or one that others may read, or a secret that could be
 *   guessed; PERMISSION.
 */
export function readToken(file: string): string {
  try {
    const found = ifThere(() => statSync(file));
    const make = `(umask 077; head -c 24 /dev/urandom | base64 >${quoteForSh(file)})`;
    if (found === undefined)
      throw new MirrorlatchError('CONFIGURATION', `there is no token in ${file}`, {
        hint: `Make one: ${make}`,
      });
    if (!found.isFile())
      throw new MirrorlatchError('CONFIGURATION', `${file} is not a file with a token`, {
        hint: 'Give the path of a file whose first line is the token.',
        details: { path: file },
      });
    if ((found.mode & 0o077) !== 0 || ![0, process.geteuid?.()].includes(found.uid))
      throw new MirrorlatchError('CONFIGURATION', `other users may read the token in ${file}`, {
        hint: `Make another: rm ${quoteForSh(file)}; ${make}`,
        details: { path: file },
      });
    const [token = ''] = (readTextIfThere(file) ?? '').split('\n');
    if (/^[!-~]+$/.test(token) && token.length >= SHORTEST) return token;
    throw new MirrorlatchError(
      'CONFIGURATION',
      `the first line of ${file} is no token of at least ${SHORTEST} characters without spaces`,
      { hint: `Make another: ${make}`, details: { path: file } },
    );
  } catch (error) {
    throw asMirrorlatchError(error, `the token ${file} cannot be read`);
  }
}
