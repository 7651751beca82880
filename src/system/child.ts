import { errnoOf, MirrorlatchError } from '../errors.ts';

/**
 * The command line of a child that does not outlive this process: when this process ends, however it
 * ends, the kernel sends the child SIGTERM (PR_SET_PDEATHSIG, prctl(2), by way of setpriv(1)).
 */
export function tied(program: string, args: readonly string[]): [string, string[]] {
  return ['setpriv', ['--pdeathsig', 'TERM', '--', program, ...args]];
}

/** The error of a program that could not be started at all. */
export function cannotStart(program: string, cause: unknown): MirrorlatchError {
  const errno = errnoOf(cause);
  if (errno !== 'ENOENT') {
    const why = errno === undefined ? '' : `: ${errno}`;
    return new MirrorlatchError('UNAVAILABLE', `the program ${program} cannot be started${why}`, {
      cause,
    });
  }
  return new MirrorlatchError('UNAVAILABLE', `the program ${program} is not installed`, {
    hint: howToInstall(program),
    cause,
  });
}

/** The hint for a program that is not installed. */
export function howToInstall(program: string): string {
  return `Install it, for example with: apt-get install ${PACKAGES[program] ?? program}`;
}

/** Debian's packages, for programs that have another name. */
const PACKAGES: Record<string, string> = {
  btrfs: 'btrfs-progs',
  cp: 'coreutils',
  find: 'findutils',
  flock: 'util-linux',
  setpriv: 'util-linux',
  sort: 'coreutils',
  sync: 'coreutils',
  touch: 'coreutils',
  unzck: 'zchunk',
  xz: 'xz-utils',
};
