import { createHash } from 'node:crypto';
import { realpathSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { asMirrorlatchError, MirrorlatchError } from '../errors.ts';
import { makeDirectories, makeDirectory, readTextIfThere, writeWhole } from '../system/files.ts';

/**
 * The directory of this user's sticky pins: below `$XDG_STATE_HOME` (XDG Base Directory
 * Specification), by default `~/.local/state`, or /var/lib for root.
 */
export function stickyDirectory(env: NodeJS.ProcessEnv, isRoot: boolean): string {
  const given = env['XDG_STATE_HOME'];
  // The specification says to ignore relative paths.
  if (given?.startsWith('/')) return join(given, 'mirrorlatch', 'sticky');
  return isRoot
    ? '/var/lib/mirrorlatch/sticky'
    : join(homedir(), '.local', 'state', 'mirrorlatch', 'sticky');
}

/**
 * The path of the file in which the reader remembers, under a name, the id of the pinned snapshot. What a channel
 * named is remembered apart from what was current: the one is no successor of the other.
 *
 * @throws MirrorlatchError USAGE for an unusable name, NO_MIRROR if `root` does not exist.
 */
export function stickyFile(
  directory: string,
  name: string,
  root: string,
  channel?: string | undefined,
): string {
  const real = realRoot(root);
  return fileFor(directory, name, channel === undefined ? real : `${real}\n${channel}`);
}

/** The same for a mirror that is named by the URL of its `current`. */
export function stickyFileOfUrl(directory: string, name: string, url: URL): string {
  return fileFor(directory, name, url.href);
}

function fileFor(directory: string, name: string, mirror: string): string {
  if (!/^[A-Za-z0-9_+][A-Za-z0-9_.+-]{0,99}$/.test(name)) {
    throw new MirrorlatchError(
      'USAGE',
      `${JSON.stringify(name)} cannot name a pin: only letters, digits and _ . + - are allowed`,
      { hint: 'Name it after the program that reads the mirror, for example: --sticky apt' },
    );
  }
  return join(
    directory,
    `${name}-${createHash('sha256').update(mirror).digest('hex').slice(0, 16)}`,
  );
}

/** Remembers the id of the snapshot that a command by URL has; for a path, the reader does that. */
export function remember(file: string, id: string): void {
  prepareSticky(file);
  try {
    writeWhole(file, `${id}\n`, 0o600);
  } catch (error) {
    throw asMirrorlatchError(error, 'the snapshot cannot be remembered');
  }
}

/** Makes the directory of a `stickyFile`. */
export function prepareSticky(file: string): void {
  try {
    makeDirectories(dirname(file), (path) => makeDirectory(path, 0o700));
  } catch (error) {
    throw asMirrorlatchError(error, 'the snapshot cannot be remembered');
  }
}

/** The remembered id; undefined if there is none. */
export function rememberedId(file: string): string | undefined {
  try {
    return readTextIfThere(file)?.trim() || undefined;
  } catch (error) {
    throw asMirrorlatchError(error, 'the remembered snapshot cannot be read');
  }
}

function realRoot(root: string): string {
  try {
    return realpathSync(root);
  } catch (error) {
    throw new MirrorlatchError('NO_MIRROR', `there is no mirror in ${root}`, { cause: error });
  }
}
