import { isUtf8 } from 'node:buffer';
import { readdirSync, readFileSync, type Stats, statSync } from 'node:fs';
import { join } from 'node:path';
import { asMirrorlatchError, MirrorlatchError } from '../errors.ts';
import { ifAllowed, ifThere, lstatIfThere, unlessLoop } from '../system/files.ts';
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

/** Is told why a file cannot be used. One that returns leaves it out. */
export type OnUnusable = (error: MirrorlatchError) => void;

export const refuseUnusable: OnUnusable = (error) => {
  throw error;
};

/**
 * The files of the configuration, of which a later one overrides an earlier: that of all users, then the
 * user's own; each with the files beside it in `conf.d`.
 *
 * @param given the only file, if the command line or `MIRRORLATCH_CONFIG` names one.
 * @param onUnusable by default throws.
 * @throws MirrorlatchError CONFIGURATION for a file that another user may change, that is no text, a symlink
 *   that leads nowhere, something else in place of a directory, or a given one that is missing; PERMISSION; IO.
 */
export function configurationFiles(
  given: string | undefined,
  env: Environment,
  onUnusable = refuseUnusable,
): ConfigurationFile[] {
  const usable = (file: string, read: () => string | undefined): ConfigurationFile[] => {
    try {
      const text = read();
      return text === undefined ? [] : [{ file, text }];
    } catch (error) {
      onUnusable(asMirrorlatchError(error, `the configuration ${file} cannot be read`));
      return [];
    }
  };
  if (given !== undefined) return usable(given, () => readGiven(given));
  const directories = [SYSTEM_DIRECTORY, ...usersDirectory(env)];
  return directories.filter(directoriesOnly(onUnusable)).flatMap((directory) => {
    const main = join(directory, 'config.toml');
    return [
      ...usable(main, () => readTrusted(main)),
      ...drops(join(directory, 'conf.d'), onUnusable).flatMap((file) =>
        usable(file, () => readTrusted(file)),
      ),
    ];
  });
}

/** The file that a user writes first: root that of all users, others their own. */
export function firstFile(env: Environment): string {
  const [own] = process.geteuid?.() === 0 ? [] : basesOf(env);
  return join(own === undefined ? SYSTEM_DIRECTORY : join(own, 'mirrorlatch'), 'config.toml');
}

/** By the XDG Base Directory Specification. */
function basesOf({ XDG_CONFIG_HOME: given, HOME: home }: Environment): string[] {
  if (given?.startsWith('/')) return [given];
  return home?.startsWith('/') ? [join(home, '.config')] : [];
}

function usersDirectory(env: Environment): string[] {
  const [base] = basesOf(env);
  if (base === undefined) return [];
  const directory = join(base, 'mirrorlatch');
  // sudo(8) may leave HOME as it was: what another user wrote there is not root's, nor root's another's.
  const owner = ifAllowed(() => ifThere(() => unlessLoop(() => statSync(directory))))?.uid;
  return owner === process.geteuid?.() ? [directory] : [];
}

function drops(directory: string, onUnusable: OnUnusable): string[] {
  try {
    const names = isDirectoryThere(directory) ? readdirSync(directory) : [];
    return names
      .filter((name) => name.endsWith('.toml') && !name.startsWith('.'))
      .sort()
      .map((name) => join(directory, name));
  } catch (error) {
    onUnusable(asMirrorlatchError(error, `the configuration ${directory} cannot be read`));
    return [];
  }
}

/** Whether a path leads to a directory; what else is there is unusable. */
function directoriesOnly(onUnusable: OnUnusable): (path: string) => boolean {
  return (path) => {
    try {
      return isDirectoryThere(path);
    } catch (error) {
      onUnusable(asMirrorlatchError(error, `the configuration ${path} cannot be read`));
      return false;
    }
  };
}

/** @throws MirrorlatchError CONFIGURATION for something else of that name, in which nobody would look for files. */
function isDirectoryThere(path: string): boolean {
  const found = foundAt(path);
  if (found === undefined || found.isDirectory()) return found !== undefined;
  throw new MirrorlatchError('CONFIGURATION', `the configuration ${path} is not a directory`, {
    hint: 'Move it away: the files of the configuration are in a directory of that name.',
    details: { path },
  });
}

/**
 * What a path leads to; undefined if nothing has that name.
 *
 * @throws MirrorlatchError CONFIGURATION for a symlink that leads nowhere: what it named counted once.
 */
function foundAt(path: string): Stats | undefined {
  const link = lstatIfThere(path);
  if (link === undefined) return undefined;
  const found = link.isSymbolicLink()
    ? ifThere(() => unlessLoop(() => statSync(path)))
    : statSync(path);
  if (found !== undefined) return found;
  throw new MirrorlatchError('CONFIGURATION', `the configuration ${path} leads nowhere`, {
    hint: `Mend what it leads to, or remove the symlink: rm ${quoteForSh(path)}`,
    details: { path },
  });
}

function readGiven(file: string): string {
  const text = readTrusted(file);
  if (text !== undefined) return text;
  throw new MirrorlatchError('CONFIGURATION', `there is no configuration in ${file}`, {
    hint: `Check the path. To see what would be read without --config: mirrorlatch config check`,
  });
}

/** What is in the file makes us run commands: nobody else may have written it. */
function readTrusted(file: string): string | undefined {
  const found = foundAt(file);
  if (found === undefined) return undefined;
  if (!found.isFile()) {
    // A pipe is empty when a command looks again.
    throw new MirrorlatchError('CONFIGURATION', `the configuration ${file} is not a file`, {
      hint: 'Give the path of a file that stays.',
      details: { path: file },
    });
  }
  const us = process.geteuid?.() ?? 0;
  if (found.uid !== 0 && found.uid !== us) {
    throw unsafe(file, `belongs to ${userName(found.uid)}`, `chown ${userName(us)}`);
  }
  if ((found.mode & 0o002) !== 0) throw unsafe(file, 'may be changed by every user', 'chmod o-w');
  const bytes = ifThere(() => readFileSync(file));
  if (bytes === undefined) return undefined;
  // What stands for bytes that are no text would be part of another path.
  if (!isUtf8(bytes)) {
    throw new MirrorlatchError('CONFIGURATION', `the configuration ${file} is not in UTF-8`, {
      hint: `Find the lines: grep -naxv '.*' ${quoteForSh(file)}`,
      details: { path: file },
    });
  }
  // Some editors begin a file with a mark of its encoding, which is no TOML.
  return bytes.toString('utf8').replace(/^\uFEFF/, '');
}

function unsafe(file: string, why: string, mend: string): MirrorlatchError {
  return new MirrorlatchError('CONFIGURATION', `the configuration ${file} ${why}`, {
    hint: `It decides what is run, so it is not read. Mend that with: ${mend} ${quoteForSh(file)}`,
    details: { path: file },
  });
}
