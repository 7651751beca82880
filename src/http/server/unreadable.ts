import { accessSync, constants } from 'node:fs';
import { errnoOf, hasCode, MirrorlatchError } from '../../errors.ts';
import { userName } from '../../system/proc.ts';
import type { ServedMirror } from '../pins/served-mirror.ts';

/** Another path that may not be read is named after this time; ms. */
const PAUSE_MS = 60_000;

/** @throws MirrorlatchError PERMISSION when this user cannot enter the mirror. */
export function refuseUnreadable({ root }: ServedMirror): void {
  try {
    accessSync(root, constants.R_OK | constants.X_OK);
  } catch (cause) {
    throw new MirrorlatchError('PERMISSION', `the user ${ownName()} may not enter ${root}`, {
      hint: `Let everyone enter it and the directories above it (chmod a+rx), or name a user who may: --user`,
      cause,
    });
  }
}

/**
 * Why a request has failed by what this user may not read, if that is the cause; the mirrors may have been closed to it since
 * the start. A sentence, with the way out.
 */
export function whyForbidden(error: unknown, mirrors: readonly ServedMirror[]): string | undefined {
  if (errnoOf(error) !== 'EACCES' && !hasCode(error, 'PERMISSION')) return undefined;
  for (const mirror of mirrors) {
    try {
      refuseUnreadable(mirror);
    } catch (refusal) {
      if (hasCode(refusal, 'PERMISSION')) return `${refusal.message}. ${refusal.hint}`;
    }
  }
  return `the user ${ownName()} may not read a mirror: ${(error as Error).message}`;
}

/**
 * Makes what warns of a path that clients get 403 for, because this user may not read it. Clients may ask for many such paths,
 * so only one a minute is named.
 */
export function unreadableWarner(onWarning: (message: string) => void): (path: Buffer) => void {
  let warnedAt = Number.NEGATIVE_INFINITY;
  return (path) => {
    const now = performance.now();
    if (now - warnedAt < PAUSE_MS) return;
    warnedAt = now;
    // The end of the path may be a client's.
    const shown = JSON.stringify(path.toString());
    onWarning(
      `the user ${ownName()} may not read ${shown}, so clients get 403. Name a user who may (--user), or publish with modes for everyone, such as --chmod=a+rX`,
    );
  };
}

function ownName(): string {
  return userName(process.geteuid?.() ?? 0);
}
