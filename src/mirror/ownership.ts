import { randomUUID } from 'node:crypto';
import { closeSync, constants, fstatSync, openSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { MirrorlatchError } from '../errors.ts';
import { lstatIfThere } from '../system/files.ts';
import { refuseOtherThanDirectory } from '../system/own-files.ts';
import { userName } from '../system/proc.ts';
import { quoteForSh } from '../system/quote.ts';
import { isShared } from '../system/shared-filesystem.ts';
import type { Layout } from './layout.ts';

/**
 * Refuses to change another user's mirror, as root too: what root makes there, the user could neither
 * remove nor share by hard links any more (proc(5), protected_hardlinks).
 *
 * @throws MirrorlatchError PERMISSION, naming the owner; CONFIGURATION when `.mirrorlatch` is no
 *   directory.
 */
export function refuseOtherOwner({ root, state }: Layout): void {
  refuseOtherThanDirectory(state);
  const found = lstatIfThere(state);
  if (found !== undefined) refuseOwner(root, state, Number(found.uid));
}

/**
 * Refuses to make a mirror as root in another user's directory, for the same reason.
 *
 * @throws MirrorlatchError PERMISSION, naming the owner.
 */
export function refuseOtherOwnersRoot(root: string): void {
  const found = lstatIfThere(root);
  if (found !== undefined && process.geteuid?.() === 0) refuseOwner(root, root, Number(found.uid));
}

function refuseOwner(root: string, directory: string, uid: number): void {
  const ourUid = process.geteuid?.();
  if (ourUid === undefined || ourUid === uid) return;
  // A file server may map ids, and root's in particular (exports(5), root_squash and all_squash).
  if (isShared(directory) && ownerOfNewFiles(directory) === uid) return;
  const owner = { uid, name: userName(uid) };
  throw new MirrorlatchError(
    'PERMISSION',
    `permission denied: ${root} belongs to ${owner.name}, and this is ${userName(ourUid)}`,
    { hint: `Run it as the user that owns the mirror, ${owner.name}.`, details: { owner } },
  );
}

/**
 * The command line that runs `mirrorlatch` as another user.
 *
 * @param isRoot whether it is root that would run it.
 */
export function commandAs(
  { uid, name }: { uid: number; name: string },
  isRoot: boolean,
  words: readonly string[],
): string {
  const command = ['mirrorlatch', ...words].map(quoteForSh).join(' ');
  if (uid === 0) return `sudo ${command}`;
  const hasName = name !== String(uid);
  if (!isRoot) return `sudo -u ${quoteForSh(hasName ? name : `#${uid}`)} ${command}`;
  // runuser(1) knows names only.
  if (hasName) return `runuser -u ${quoteForSh(name)} -- ${command}`;
  return `setpriv --reuid ${uid} --regid ${uid} --clear-groups ${command}`;
}

/** The user to whom this process's new files belong; undefined if it cannot make any. */
function ownerOfNewFiles(directory: string): number | undefined {
  const probe = join(directory, `.owner.${randomUUID()}`);
  const { O_CREAT, O_EXCL, O_WRONLY } = constants;
  try {
    const descriptor = openSync(probe, O_CREAT | O_EXCL | O_WRONLY, 0o600);
    try {
      return fstatSync(descriptor).uid;
    } finally {
      closeSync(descriptor);
      unlinkSync(probe);
    }
  } catch {
    return undefined;
  }
}
