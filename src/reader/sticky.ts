import { createHash } from 'node:crypto';
import { mkdirSync, realpathSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { asMirrorlatchError, MirrorlatchError } from '../errors.ts';
import { readTextIfThere } from '../system/files.ts';

/**
 * Where this user's sticky pins lie: `$XDG_STATE_HOME` (XDG Base Directory Specification), which is
 * `~/.local/state` by default, and /var/lib for root.
 */
export function stickyDirectory(env: NodeJS.ProcessEnv, isRoot: boolean): string {
  const given = env['XDG_STATE_HOME'];
  // The specification: a path that is not absolute is to be ignored.
  if (given?.startsWith('/')) return join(given, 'mirrorlatch', 'sticky');
  return isRoot
    ? '/var/lib/mirrorlatch/sticky'
    : join(homedir(), '.local', 'state', 'mirrorlatch', 'sticky');
}

/**
 * The file that remembers, under a name, which snapshot of a mirror was pinned: the reader writes
 * the id into it.
 *
 * @throws MirrorlatchError USAGE when no file can be named so, NO_MIRROR when there is no mirror.
 */
export function stickyFile(directory: string, name: string, root: string): string {
  if (!/^[A-Za-z0-9_+][A-Za-z0-9_.+-]{0,99}$/.test(name)) {
    throw new MirrorlatchError(
      'USAGE',
      `${JSON.stringify(name)} is no name for a pin: letters, digits and _ . + - are`,
      { hint: 'Name it after what reads the mirror, such as: --sticky apt' },
    );
  }
  return join(
    directory,
    `${name}-${createHash('sha256').update(realRoot(root)).digest('hex').slice(0, 16)}`,
  );
}

/** Makes the directory of a file that is to be remembered in. */
export function prepareSticky(file: string): void {
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  } catch (error) {
    throw asMirrorlatchError(error, 'the snapshot cannot be remembered');
  }
}

/** The id that was remembered; undefined when none was. */
export function rememberedId(file: string): string | undefined {
  try {
    return readTextIfThere(file)?.trim() || undefined;
  } catch (error) {
    throw asMirrorlatchError(error, 'what was remembered cannot be read');
  }
}

function realRoot(root: string): string {
  try {
    return realpathSync(root);
  } catch (error) {
    throw new MirrorlatchError('NO_MIRROR', `there is no mirror in ${root}`, { cause: error });
  }
}
