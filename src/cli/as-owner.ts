import { hasCode, MirrorlatchError } from '../errors.ts';
import { commandAs } from '../mirror/locks/ownership.ts';

/** Adds to the error of another user's mirror the command that runs the same as that user. */
export function withOwnersCommand(
  error: MirrorlatchError,
  words: readonly string[],
): MirrorlatchError {
  if (!hasCode(error, 'PERMISSION')) return error;
  const { message, hint, cause, details } = error;
  // On another host this command line would not do.
  if (details.owner === undefined || details.host !== undefined) return error;
  const command = commandAs(details.owner, process.geteuid?.() === 0, words);
  return new MirrorlatchError('PERMISSION', message, {
    hint: `${hint?.replace(/\.$/, '')}: ${command}`,
    cause,
    details,
  });
}
