import { MirrorlatchError } from '../../errors.ts';
import { isChannelName, TAKEN_NAMES } from '../settings/policy.ts';

/**
 * Checks the name that a user gave a channel.
 *
 * @throws MirrorlatchError USAGE when `text` cannot name one.
 */
export function parseChannelName(text: string): string {
  if (isChannelName(text)) return text;
  throw new MirrorlatchError('USAGE', `${JSON.stringify(text)} cannot name a channel`, {
    hint: `Use 1 to 64 small letters, digits and . _ - that begin with a letter or a digit and do not end in .json. Reserved are: ${TAKEN_NAMES.join(', ')}.`,
  });
}
