import { closeSync, constants, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { asMirrorlatchError } from '../errors.ts';
import { checkKeyring, readKeyring } from '../mirror/settings/keyring.ts';
import type { CheckChoice, CheckPolicy } from '../mirror/settings/policy.ts';
import { programsInPath } from '../system/own-program.ts';
import { runProgram } from '../system/process.ts';
import type { Session } from './session.ts';
import { type FoundFile, lacking } from './tree-files.ts';

/** The kinds whose signatures are of OpenPGP. */
const OF_OPENPGP: readonly CheckChoice[] = ['auto', 'apt', 'rpm-md', 'arch'];

/**
 * Finds before anything is transferred that signatures could not be checked.
 *
 * @throws MirrorlatchError CONFIGURATION when the keys cannot be read, UNAVAILABLE without gpgv(1).
 */
export function refuseUnverifiable({
  keyring,
  kinds,
}: Pick<CheckPolicy, 'keyring' | 'kinds'>): void {
  if (keyring === '') return;
  const { isOfOpenPgp } = checkKeyring(keyring);
  const isByGpgv = isOfOpenPgp && kinds.some((kind) => OF_OPENPGP.includes(kind));
  if (isByGpgv && programsInPath('gpgv').length === 0) throw lacking('gpgv');
}

/**
 * Why a signature does not make a text trustworthy; undefined if it does. As for apt, one good signature will
 * do, unless another is bad: the keys of some may be unknown.
 *
 * @param files the signature and what it signs, or one text with its signature in it.
 * @throws MirrorlatchError CONFIGURATION when the keys cannot be read, UNAVAILABLE without gpgv(1).
 */
export async function faultOfSignature(
  files: readonly [FoundFile, ...FoundFile[]],
  { options }: Session,
): Promise<string | undefined> {
  const keyring = binaryKeyring(options.keyring, options.work);
  const descriptors = files.map(({ path }) =>
    openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK),
  );
  try {
    const { inherit, signal } = options;
    const names = descriptors.map((_, at) => `/dev/fd/${at + FIRST}`);
    const args = ['--status-fd', '1', '--keyring', keyring, '--', ...names];
    const how = { inherit: [...descriptors, ...inherit], signal };
    const { stdout, stderr } = await runProgram('gpgv', args, how).catch((error: unknown) => {
      throw asMirrorlatchError(error).code === 'UNAVAILABLE' ? lacking('gpgv') : error;
    });
    signal.throwIfAborted();
    const has = (word: string) => stdout.includes(`[GNUPG:] ${word} `);
    if (has('GOODSIG') && !has('BADSIG')) return undefined;
    if (has('BADSIG')) return 'a signature that is not of this text';
    const [, expired] = /EXPKEYSIG (\w+)/.exec(stdout) ?? [];
    if (expired !== undefined)
      return `a signature by the key ${expired}, which has expired in the keyring`;
    const [, revoked] = /REVKEYSIG (\w+)/.exec(stdout) ?? [];
    if (revoked !== undefined)
      return `a signature by the key ${revoked}, which was revoked in the keyring`;
    const [, key] = /NO_PUBKEY (\w+)/.exec(stdout) ?? [];
    if (key !== undefined)
      return `a signature by the key ${key} alone, which is not in the keyring`;
    return stderr.trim().split('\n').at(-1) || 'no signature';
  } finally {
    descriptors.forEach(closeSync);
  }
}

/** The first descriptor that a child inherits. */
const FIRST = 3;

/** gpgv(1) reads keys in their binary form alone. @returns the path of that. */
function binaryKeyring(path: string, work: string): string {
  const text = readKeyring(path).toString('latin1');
  if (!text.includes('-----BEGIN PGP PUBLIC KEY BLOCK-----')) return path;
  const blocks = text.split('-----BEGIN PGP PUBLIC KEY BLOCK-----').slice(1).map(dearmored);
  const binary = join(work, 'keyring.gpg');
  writeFileSync(binary, Buffer.concat(blocks));
  return binary;
}

/** One block of ASCII armor without its headers and its sum (RFC 9580, forming ASCII armor). */
function dearmored(block: string): Buffer {
  const lines = block.split(/\r?\n/);
  const start = lines.findIndex((line, at) => at > 0 && line.trim() === '');
  const end = lines.findIndex((line) => line.startsWith('=') || line.startsWith('-----END'));
  return Buffer.from(lines.slice(start + 1, end).join(''), 'base64');
}
