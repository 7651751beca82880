import { constants, lstatSync, realpathSync } from 'node:fs';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { MirrorlatchError } from '../errors.ts';
import { layoutOf } from '../mirror/layout.ts';
import { isExecutable, mayAccessFile } from '../system/file-access.ts';
import { type Guard, type GuardOptions, guardOf } from './guard.ts';

export interface ChooseGuardOptions
  extends Pick<
    GuardOptions,
    'urls' | 'allowUnseen' | 'channel' | 'pin' | 'waitSeconds' | 'sticky' | 'orCurrent'
  > {
  /** Relative to the working directory or absolute. */
  roots: readonly string[];
  /** For PATH. */
  env: NodeJS.ProcessEnv;
  /** Gets why the reader of the mirror is not used, although it is there. */
  onWarning?: ((message: string) => void) | undefined;
}

/**
 * Chooses the guard of a command by what exists now. The mirrors need not exist: they may be mounted
 * later.
 *
 * @throws MirrorlatchError USAGE without any mirror, or for a path that Node cannot represent.
 */
export function chooseGuard({ roots, env, onWarning, ...options }: ChooseGuardOptions): Guard {
  const paths = roots.map(absolute);
  const [first] = paths;
  const program = inPath('mirrorlatch', env) ?? 'mirrorlatch';
  if (first === undefined) {
    if (options.urls?.length) return guardOf({ ...options, roots: [], reader: 'absent', program });
    throw new MirrorlatchError('USAGE', 'no mirror was given', {
      hint: 'Name one with: --mirror /srv/mirror/debian',
    });
  }
  const { reader } = layoutOf(first);
  const state = stateOfReader(reader);
  const stranger = state === 'absent' ? undefined : changeableByOthers(reader);
  if (stranger !== undefined) {
    onWarning?.(
      `another user than you and root can change ${stranger}, so the guard is mirrorlatch run, not ${reader}`,
    );
  }
  return guardOf({
    ...options,
    roots: paths,
    reader: stranger === undefined ? state : 'absent',
    program,
  });
}

/** Keeps symlinks, which may lead elsewhere later, unless a `..` makes their target matter. */
function absolute(root: string): string {
  if (root === '' || root.includes('\uFFFD')) {
    throw new MirrorlatchError(
      'USAGE',
      `${JSON.stringify(root)} cannot name a mirror: it is empty or not UTF-8`,
      { hint: 'Name it by a symlink in UTF-8.' },
    );
  }
  if (!root.split('/').includes('..')) return resolve(root);
  try {
    return realpathSync(root);
  } catch {
    return resolve(root);
  }
}

function stateOfReader(file: string): GuardOptions['reader'] {
  if (mayAccessFile(file, constants.R_OK | constants.X_OK)) return 'executable';
  return mayAccessFile(file, constants.R_OK) ? 'readable' : 'absent';
}

/**
 * The first of a script and the directories above it that neither the caller nor root owns, or to which
 * every user may write. Who has them decides what the script does with the caller's rights.
 */
function changeableByOthers(script: string): string | undefined {
  return [...withParents(script), ...withParents(realpathSync(script))].find((path) => {
    const entry = lstatSync(path);
    const isOpen = (entry.mode & 0o1002) === 0o002 && !entry.isSymbolicLink();
    return isOpen || (entry.uid !== 0 && entry.uid !== process.geteuid?.());
  });
}

function withParents(path: string): string[] {
  const parent = dirname(path);
  return parent === path ? [path] : [path, ...withParents(parent)];
}

/** An absolute path, so that the words work under another PATH, as sudo and cron have it. */
function inPath(program: string, env: NodeJS.ProcessEnv): string | undefined {
  return (env['PATH'] ?? '')
    .split(':')
    .filter(isAbsolute)
    .map((directory) => join(directory, program))
    .find(isExecutable);
}
