import { posix } from 'node:path';
import type { Session } from '../session.ts';
import { faultOfSignature } from '../signature.ts';

/**
 * Checks a Release or InRelease by its signature, as far as that is wanted. An InRelease with lines that are not
 * signed is none for apt in any case (SplitClearSignedFile in its gpgv.cc), whatever gpgv(1) thinks of it.
 *
 * @param lines its own.
 */
export async function checkSigned(
  name: string,
  lines: readonly string[],
  session: Session,
): Promise<void> {
  if (posix.basename(name) === 'InRelease') await checkInRelease(name, lines, session);
  else await checkRelease(name, session);
}

async function checkInRelease(
  name: string,
  lines: readonly string[],
  session: Session,
): Promise<void> {
  const isSigned = lines.some((line) => MESSAGE.test(line));
  if (isSigned && !isAllSigned(lines)) {
    session.malformed(name, 'it has lines that are not signed');
    return;
  }
  const file = session.files.find(name);
  if (!session.wantsSignatures || typeof file === 'string') return;
  const fault = await faultOfSignature([file], session);
  if (fault !== undefined) session.findings.add(name, 'signature', EXPECTED, fault, name);
}

async function checkRelease(name: string, session: Session): Promise<void> {
  const file = session.files.find(name);
  if (!session.wantsSignatures || typeof file === 'string') return;
  const beside = `${name}.gpg`;
  const signature = session.files.find(beside);
  const hasInRelease = session.files.isThere(posix.join(posix.dirname(name), 'InRelease'));
  if (typeof signature === 'object') {
    const fault = await faultOfSignature([signature, file], session);
    if (fault !== undefined) session.findings.add(beside, 'signature', EXPECTED, fault, beside);
    else if (!hasInRelease) await checkArmor(beside, session);
  } else if (!hasInRelease)
    session.findings.add(name, 'signature', EXPECTED, 'neither Release.gpg nor InRelease', name);
}

const EXPECTED = 'a signature by a key of the keyring';

/** Clients without an InRelease take no signature in binary form, or with anything around it. */
async function checkArmor(name: string, session: Session): Promise<void> {
  const lines = await session.readHead(name);
  if (lines.length > 0 && !isSignature(lines))
    session.malformed(name, 'it is no signature in ASCII armor alone');
}

const MESSAGE = /^-----BEGIN PGP SIGNED MESSAGE-----\s*$/;
const BEGIN = /^-----BEGIN PGP SIGNATURE-----\s*$/;
const END = /^-----END PGP SIGNATURE-----\s*$/;

/** Whether a text signed in clear has nothing before it, and nothing but its signatures after it. */
function isAllSigned(lines: readonly string[]): boolean {
  const signature = lines.findIndex((line) => BEGIN.test(line));
  return MESSAGE.test(lines[0] ?? '') && signature !== -1 && isSignature(lines.slice(signature));
}

/** Whether all lines belong to one or more signatures in ASCII armor. */
function isSignature(lines: readonly string[]): boolean {
  let isWithin = false;
  for (const line of lines) {
    if (BEGIN.test(line)) isWithin = true;
    else if (!isWithin) return false;
    else if (END.test(line)) isWithin = false;
  }
  return lines.length > 0 && !isWithin;
}
