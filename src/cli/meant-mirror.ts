import { hasCode, MirrorlatchError } from '../errors.ts';
import { commandThere, mirrorAround } from '../mirror/open.ts';
import { destinationIn } from '../rsync/source.ts';
import { quoteForSh } from '../system/quote.ts';

/**
 * Adds to the error of a path that is no mirror here the command that was meant: the same on the host of
 * the mirror, or for the mirror of which the path is a part.
 */
export function withMeantMirror(
  error: MirrorlatchError,
  words: readonly string[],
): MirrorlatchError {
  const at = words.findIndex((word) => error.message === `there is no mirror in ${word}`);
  if (!hasCode(error, 'NO_MIRROR') || at === -1) return error;
  const hint = commandMeant(words, at);
  if (hint === undefined) return error;
  const { message, cause, details } = error;
  return new MirrorlatchError('NO_MIRROR', message, { hint, cause, details });
}

function commandMeant(words: readonly string[], at: number): string | undefined {
  const word = words[at] ?? '';
  const around = mirrorAround(word);
  if (around !== undefined) {
    const command = ['mirrorlatch', ...words.with(at, around.root)].map(quoteForSh).join(' ');
    return `It is a part of a mirror. Name the mirror itself: ${command}`;
  }
  const destination = destinationIn(word);
  if (destination === undefined || destination === 'server') return undefined;
  return `It is on another host: ${commandThere(destination, words.with(at, destination.root))}`;
}
