import { asMirrorlatchError } from '../errors.ts';
import { checkKeyring } from '../mirror/settings/keyring.ts';
import type { Configuration, ConfigurationProblem } from './configuration.ts';

/** The keyrings of a configuration that cannot be used, each once where several mirrors share it. */
export function unfitKeyrings({ mirrors }: Configuration): ConfigurationProblem[] {
  const problems = new Map<unknown, ConfigurationProblem>();
  for (const { table, places } of mirrors.values()) {
    const path = table['check-keyring'];
    const place = places.get('check-keyring');
    if (path === undefined || place === undefined) continue;
    try {
      checkKeyring(path);
    } catch (error) {
      const { message, hint = '' } = asMirrorlatchError(error);
      problems.set(place, { place, message, hint });
    }
  }
  return [...problems.values()];
}
