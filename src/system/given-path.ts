import { lstatSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { errnoOf, MirrorlatchError } from '../errors.ts';
import { ifAllowed, realPathToBe } from './files.ts';
import { userName } from './proc.ts';
import { quoteForSh } from './quote.ts';

/**
 * The real path, see `realPathToBe`, of what a person has named.
 *
 * @throws MirrorlatchError PERMISSION, naming the directory on the way that this user may not enter.
 */
export function givenPath(path: string): string {
  try {
    return realPathToBe(resolve(path));
  } catch (error) {
    throw errnoOf(error) === 'EACCES' ? outOfReach(path, error) : error;
  }
}

/** A path that is not `/` itself: that can always be looked at. */
function outOfReach(path: string, cause: unknown): MirrorlatchError {
  let closed = dirname(resolve(path));
  let found = ifAllowed(() => lstatSync(closed));
  while (found === undefined) {
    closed = dirname(closed);
    found = ifAllowed(() => lstatSync(closed));
  }
  const { uid } = found;
  const ourUid = process.geteuid?.() ?? 0;
  const message = `${userName(ourUid)} may not enter ${closed}, so ${path} is out of reach`;
  if (uid === ourUid)
    return new MirrorlatchError('PERMISSION', message, {
      hint: `Look at who may enter it, and let yourself in: chmod u+x ${quoteForSh(closed)}`,
      cause,
    });
  const owner = { uid, name: userName(uid) };
  return new MirrorlatchError('PERMISSION', message, {
    hint: `Name a directory in one that this user may enter, or run it as the owner of that, ${owner.name}.`,
    cause,
    details: { owner },
  });
}
