import { createPublicKey, createVerify, type KeyObject } from 'node:crypto';
import { readKeyring, unfitKeyring } from '../../mirror/settings/keyring.ts';
import type { Session } from '../session.ts';
import type { FoundFile } from '../tree-files.ts';
import { filesIn, partsIn } from './parts.ts';

/** As abuild-sign and apk-tools name them: `.SIGN.RSA256.NAME`. */
const DIGESTS: Readonly<Record<string, string>> = {
  RSA: 'sha1',
  RSA256: 'sha256',
  RSA512: 'sha512',
  DSA: 'sha1',
};

/** How far signatures may go, and how many of them are tried; bytes. */
const HEAD = 256 * 1024;
const MOST_SIGNATURES = 16;

interface Signature {
  digest: string;
  bytes: Buffer;
}

/**
 * Why the signature of an index does not make it trustworthy; undefined if it does. One that any of the keys has
 * made will do.
 *
 * @throws MirrorlatchError CONFIGURATION when the keys cannot be read.
 */
export async function faultOfIndex(
  file: FoundFile,
  { files, options: { keyring, signal } }: Session,
): Promise<string | undefined> {
  const keys = publicKeysIn(keyring);
  if (keys.length === 0) return 'no key in PEM form in the keyring';
  const { signatures, end } = await signaturesOf(files.startOf(file, HEAD));
  if (signatures.length === 0) return 'no signature';
  const trials = signatures.flatMap(({ digest, bytes }) =>
    keys.map((key) => ({ key, bytes, verifier: createVerify(digest) })),
  );
  let position = 0;
  for await (const chunk of files.bytesOf(file) as AsyncIterable<Buffer>) {
    signal.throwIfAborted();
    const signed = chunk.subarray(Math.max(0, end - position));
    for (const { verifier } of trials) verifier.update(signed);
    position += chunk.length;
  }
  const isGood = trials.some(({ key, bytes, verifier }) => verifier.verify(key, bytes));
  return isGood ? undefined : 'a signature by no key of the keyring, or not of this index';
}

function publicKeysIn(path: string): KeyObject[] {
  const pems = readKeyring(path)
    .toString('latin1')
    .match(/-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----/gs);
  try {
    return (pems ?? []).map((pem) => createPublicKey(pem));
  } catch (error) {
    throw unfitKeyring(path, error);
  }
}

/** The signatures at the start of an index, and where what they sign begins. */
async function signaturesOf(head: Buffer): Promise<{ signatures: Signature[]; end: number }> {
  const signatures: Signature[] = [];
  const parts = partsIn(head).filter(({ isSignature }) => isSignature);
  for (const part of parts) {
    for await (const member of filesIn(part)) {
      const [, type = ''] = /^\.SIGN\.(\w+)\./.exec(member.name) ?? [];
      const digest = DIGESTS[type];
      if (digest === undefined || signatures.length === MOST_SIGNATURES) continue;
      const pieces: Buffer[] = [];
      for await (const piece of member.content) pieces.push(piece);
      signatures.push({ digest, bytes: Buffer.concat(pieces) });
    }
  }
  return { signatures, end: parts.at(-1)?.end ?? 0 };
}
