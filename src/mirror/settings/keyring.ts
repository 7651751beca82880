import { readFileSync, statSync } from 'node:fs';
import { MirrorlatchError } from '../../errors.ts';
import { quoteForSh } from '../../system/quote.ts';

/**
 * The keys that may have signed what a check reads.
 *
 * @throws MirrorlatchError CONFIGURATION when they cannot be read.
 */
export function readKeyring(path: string): Buffer {
  try {
    if (!statSync(path).isFile()) throw new Error('it is no regular file');
    return readFileSync(path);
  } catch (error) {
    throw unfitKeyring(path, error);
  }
}

/**
 * Checks that a file has any keys, in ASCII armor or binary form for OpenPGP or in PEM form for apk, so that a mistyped path is found before anything is transferred.
 *
 * @returns whether any is of OpenPGP, so that it takes gpgv(1).
 * @throws MirrorlatchError CONFIGURATION
 */
export function checkKeyring(path: string): { isOfOpenPgp: boolean } {
  const content = readKeyring(path);
  const isOfOpenPgp =
    content.includes('-----BEGIN PGP PUBLIC KEY BLOCK-----') || isBinaryKeyring(content);
  if (isOfOpenPgp || content.includes('-----BEGIN PUBLIC KEY-----')) return { isOfOpenPgp };
  throw new MirrorlatchError('CONFIGURATION', `the keyring ${path} has no public key`, {
    hint: `Look at what it is with: file ${quoteForSh(path)}`,
  });
}

export function unfitKeyring(path: string, cause: unknown): MirrorlatchError {
  return new MirrorlatchError('CONFIGURATION', `the keyring ${path} cannot be read`, {
    hint: `Look at it with: ls -l ${quoteForSh(path)}`,
    cause,
  });
}

/** The tags of packets with which a keyring may begin: a public key, a marker, a trust packet (RFC 9580, packet tags). */
const FIRST_TAGS = [6, 10, 12];

/** A keyring of OpenPGP packets, or a keybox of GnuPG, which gpgv(1) reads as well. */
function isBinaryKeyring(content: Buffer): boolean {
  if (content.toString('latin1', 8, 12) === 'KBXf') return true;
  const [first = 0] = content;
  const isNewFormat = (first & 0x40) !== 0;
  return (
    (first & 0x80) !== 0 && FIRST_TAGS.includes(isNewFormat ? first & 0x3f : (first >> 2) & 0x0f)
  );
}
