import { randomUUID } from 'node:crypto';
import { closeSync, constants, fstatSync, openSync, unlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { MirrorlatchError } from '../../errors.ts';
import { lstatIfThere } from '../../system/files.ts';
import { refuseOtherThanDirectory } from '../../system/own-files.ts';
import { userName } from '../../system/proc.ts';
import { quoteForSh } from '../../system/quote.ts';
import { isShared } from '../../system/shared-filesystem.ts';
import type { Layout } from '../layout.ts';

/**
 * Refuses to change another user's mirror, as root too: what root makes there, the user could neither
 * remove nor share by hard links any more (proc(5), protected_hardlinks).
 *
 * Nor may others exchange what lies in ROOT, because a writer then changes and removes what they put
 * there (I13).
 *
 * @throws MirrorlatchError PERMISSION, naming the owner; CONFIGURATION when `.mirrorlatch` is no
 *   directory.
 */
export function refuseOtherOwner(layout: Layout): void {
  refuseOwnersExcept(layout, []);
}

/**
 * Refuses to run what another user's mirror remembers, such as the programs that options of rsync name.
 * Root could run them as anybody, anyway.
 *
 * @throws MirrorlatchError as `refuseOtherOwner`.
 */
export function refuseOtherOwnersOptions(layout: Layout): void {
  refuseOwnersExcept(layout, [0n]);
}

/** The name of the user that a mirror belongs to; undefined if there is none. */
export function ownerOf({ state }: Layout): string | undefined {
  const found = lstatIfThere(state);
  return found === undefined ? undefined : userName(Number(found.uid));
}

function refuseOwnersExcept(layout: Layout, trusted: readonly bigint[]): void {
  const { root, state } = layout;
  refuseOtherThanDirectory(state);
  const found = lstatIfThere(state);
  if (found === undefined) return;
  if (!trusted.includes(found.uid)) refuseOwner(root, state, Number(found.uid));
  refuseUnsafeRoot(layout);
}

/**
 * Refuses a mirror of which others could exchange what lies in ROOT.
 *
 * @throws MirrorlatchError PERMISSION
 */
export function refuseUnsafeRoot({ root, state }: Layout): void {
  const [ofState, ofRoot] = [lstatIfThere(state), lstatIfThere(root)];
  if (ofState === undefined || ofRoot === undefined) return;
  if (![0n, ofState.uid].includes(ofRoot.uid)) {
    const [owner, other] = [ofState, ofRoot].map(({ uid }) => userName(Number(uid)));
    throw new MirrorlatchError(
      'PERMISSION',
      `${root} belongs to the user ${other}, but the mirror belongs to ${owner}`,
      {
        hint: `As root, give it to its owner: chown ${quoteForSh(owner ?? '')} ${quoteForSh(root)}`,
      },
    );
  }
  refuseWorldWritable(root, ofRoot.mode);
}

/**
 * Refuses to make a mirror in another user's directory, for the same reason. What belongs to root is
 * safe from all others.
 *
 * @throws MirrorlatchError PERMISSION, naming the owner.
 */
export function refuseOtherOwnersRoot(root: string): void {
  const found = lstatIfThere(root);
  if (found === undefined) {
    if (process.geteuid?.() === 0) refuseOtherOwnersDirectory(dirname(root));
    return;
  }
  if (found.uid !== 0n) refuseOwner(root, root, Number(found.uid));
  refuseWorldWritable(root, found.mode);
}

/** A new mirror of root in a user's directory would belong to nobody who is at home there. */
function refuseOtherOwnersDirectory(directory: string): void {
  const found = lstatIfThere(directory);
  if (found === undefined) refuseOtherOwnersDirectory(dirname(directory));
  else if (found.uid !== 0n) refuseOwner(directory, directory, Number(found.uid));
}

/** In such a directory any user may put something else in the place of what a writer removes. */
function refuseWorldWritable(root: string, mode: bigint): void {
  const isSticky = (mode & 0o1000n) !== 0n;
  if ((mode & 0o002n) === 0n || isSticky) return;
  throw new MirrorlatchError(
    'PERMISSION',
    `${root} is writable by every user, who could exchange what is in it`,
    { hint: `Take that from the others with: chmod o-w ${quoteForSh(root)}` },
  );
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
