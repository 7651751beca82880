import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { asMirrorlatchError, MirrorlatchError } from '../errors.ts';
import { ifAllowed, ifThere, readTextIfThere } from '../system/files.ts';
import { userName } from '../system/proc.ts';
import { quoteForSh } from '../system/quote.ts';

/** Where the configuration of all users is. */
const SYSTEM_DIRECTORY = '/etc/mirrorlatch';

export interface ConfigurationFile {
  readonly file: string;
  readonly text: string;
}

/** The environment, as far as it says where files are. */
type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The files of the configuration, of which a later one overrides an earlier: that of all users, then the
 * user's own; each with the files beside it in `conf.d`.
 *
 * @param given the only file, if the command line or `MIRRORLATCH_CONFIG` names one.
 * @throws MirrorlatchError CONFIGURATION for a file that another user may change, or a given one that is
 *   missing; PERMISSION; IO.
 */
export function configurationFiles(
  given: string | undefined,
  env: Environment,
): ConfigurationFile[] {
  if (given !== undefined) return [readGiven(given)];
  return [SYSTEM_DIRECTORY, ...usersDirectory(env)].flatMap((directory) =>
    [join(directory, 'config.toml'), ...drops(join(directory, 'conf.d'))].flatMap((file) => {
      const text = readTrusted(file);
      return text === undefined ? [] : [{ file, text }];
    }),
  );
}

/** By the XDG Base Directory Specification. */
function usersDirectory({ XDG_CONFIG_HOME: given, HOME: home }: Environment): string[] {
  const base = given?.startsWith('/') ? given : home?.startsWith('/') && join(home, '.config');
  if (!base) return [];
  const directory = join(base, 'mirrorlatch');
  // sudo(8) may leave HOME as it was: what another user wrote there is not root's, nor root's another's.
  const owner = ifAllowed(() => ifThere(() => statSync(directory)))?.uid;
  return owner === process.geteuid?.() ? [directory] : [];
}

function drops(directory: string): string[] {
  const names = ifThere(() => readdirSync(directory)) ?? [];
  return names
    .filter((name) => name.endsWith('.toml') && !name.startsWith('.'))
    .sort()
    .map((name) => join(directory, name));
}

function readGiven(file: string): ConfigurationFile {
  const text = readTrusted(file);
  if (text !== undefined) return { file, text };
  throw new MirrorlatchError('CONFIGURATION', `there is no configuration in ${file}`, {
    hint: `Check the path. To see what would be read without --config: mirrorlatch config check`,
  });
}

/** What is in the file makes us run commands: nobody else may have written it. */
function readTrusted(file: string): string | undefined {
  try {
    const found = ifThere(() => statSync(file));
    if (found === undefined) return undefined;
    const us = process.geteuid?.() ?? 0;
    if (found.uid !== 0 && found.uid !== us) {
      throw unsafe(file, `belongs to ${userName(found.uid)}`, `chown ${userName(us)}`);
    }
    if ((found.mode & 0o002) !== 0) throw unsafe(file, 'may be changed by every user', 'chmod o-w');
    return readTextIfThere(file);
  } catch (error) {
    throw asMirrorlatchError(error, `the configuration ${file} cannot be read`);
  }
}

function unsafe(file: string, why: string, mend: string): MirrorlatchError {
  return new MirrorlatchError('CONFIGURATION', `the configuration ${file} ${why}`, {
    hint: `It decides what is run, so it is not read. Mend that with: ${mend} ${quoteForSh(file)}`,
    details: { path: file },
  });
}
