import { hasCode, MirrorlatchError } from '../errors.ts';
import { commandThere } from '../mirror/open.ts';
import { destinationIn } from '../rsync/source.ts';

/** Adds to the error of a mirror on another host the command that does the same there. */
export function withCommandOnItsHost(
  error: MirrorlatchError,
  words: readonly string[],
): MirrorlatchError {
  const at = words.findIndex((word) => error.message === `there is no mirror in ${word}`);
  if (!hasCode(error, 'NO_MIRROR') || at === -1) return error;
  const destination = destinationIn(words[at] ?? '');
  if (destination === undefined || destination === 'server') return error;
  const { message, cause, details } = error;
  return new MirrorlatchError('NO_MIRROR', message, {
    hint: `It is on another host: ${commandThere(destination, words.with(at, destination.root))}`,
    cause,
    details,
  });
}
