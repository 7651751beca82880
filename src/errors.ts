/**
 * What went wrong, as one word a script can switch on, with the exit code each one ends in.
 * The numbers are those of sysexits(3); 130, 143 and 129 are the shell's 128 + signal.
 */
export const EXIT_CODES = {
  /** `diff --exit-code` found a difference. */
  DIFFERENT: 1,
  USAGE: 64,
  SHRUNKEN_SOURCE: 65,
  /** What the user's own rules exclude would be deleted from a tree that no sync has made. */
  EXCLUDED_LOSS: 65,
  /** A tree is not as it was published, or what was recorded of that is damaged. */
  DAMAGED: 65,
  /** A tree is not what its repository says, or the user's own check says no. */
  CHECK_FAILED: 65,
  NO_MIRROR: 66,
  NO_SOURCE: 66,
  UNAVAILABLE: 69,
  /** `status` found something that needs attention. */
  UNHEALTHY: 69,
  INTERNAL: 70,
  IO: 74,
  NO_SPACE: 74,
  BUSY: 75,
  /** A person holds the mirror at one snapshot. */
  HELD: 75,
  LOCK_LOST: 75,
  PERMISSION: 77,
  CONFIGURATION: 78,
  /** What was run for the user failed by itself. */
  COMMAND_FAILED: 69,
  /** A hook of the configuration failed, so that nothing was done. */
  HOOK_FAILED: 69,
  COMMAND_NOT_EXECUTABLE: 126,
  COMMAND_NOT_FOUND: 127,
  SIGHUP: 129,
  SIGINT: 130,
  SIGTERM: 143,
} as const;

/**
 * What a command that runs another ends in when it was itself that failed, so that the other's own
 * codes can be told from it: env(1), timeout(1). Only a wait in vain keeps its own code, 75, and so
 * does a command that cannot be started.
 */
export const GUARD_FAILED = 125;

export type ErrorCode = keyof typeof EXIT_CODES;

/** Facts for `--json` that an error of any code may carry. */
interface CommonDetails {
  /** How rsync ended, and the last lines that it said. */
  rsync?: { exitCode: number; said: string[] };
  /** The file that holds all that rsync said. */
  log?: string;
  /** The other host of a push. */
  host?: string;
  exitCode?: number;
}

/** Facts that belong to one code. */
interface DetailsByCode {
  SHRUNKEN_SOURCE: {
    /** The shares of files and bytes that would vanish, 0 to 1, of the tree or of a directory. */
    shrinkage?: { files: number; bytes: number; directory?: string };
  };
  BUSY: {
    /** A `LockState`: which process keeps the lock from us. */
    lock?: { kind: string };
  };
  UNAVAILABLE: {
    /** What a command left running. */
    processes?: readonly { pid: number; name: string }[];
  };
  PERMISSION: {
    /** The user that may do it. */
    owner?: { uid: number; name: string };
  };
  CONFIGURATION: {
    /** The file that is in the way. */
    path?: string;
  };
  DAMAGED: {
    /** The record that is damaged. */
    path?: string;
  };
  CHECK_FAILED: {
    /** What was found, the first of it: see `CheckFinding`. */
    findings?: readonly {
      name: string;
      nameBytes?: string;
      kind: string;
      expected: string;
      found: string;
      by: string;
    }[];
    /** All that was found. */
    count?: number;
    /** The tree was right until the hook before its publication changed it. */
    isOfHook?: true;
    /** The command said nothing within its time, and nothing else was found. */
    tookTooLong?: true;
  };
  COMMAND_FAILED: {
    end: { exitCode: number | null; signal: NodeJS.Signals | null };
    /** What the command was to fill. */
    tree: string;
  };
}

export type DetailsOf<Code extends ErrorCode> = CommonDetails &
  (Code extends keyof DetailsByCode ? DetailsByCode[Code] : unknown);

export interface ErrorOptions<Code extends ErrorCode> {
  /** The way out: a sentence, with the command that helps if there is one. */
  hint?: string | undefined;
  cause?: unknown;
  details?: DetailsOf<Code>;
}

/** Every failure that mirrorlatch foresees. The message names the thing; `hint` names the way out. */
export class MirrorlatchError<Code extends ErrorCode = ErrorCode> extends Error {
  override readonly name = 'MirrorlatchError';
  readonly code: Code;
  readonly hint: string | undefined;
  readonly details: DetailsOf<Code>;

  constructor(code: Code, message: string, { hint, cause, details }: ErrorOptions<Code> = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.hint = hint;
    this.details = details ?? ({} as DetailsOf<Code>);
  }

  get exitCode(): number {
    return EXIT_CODES[this.code];
  }
}

/** Narrows an error to one code, and so its details to those of that code. */
export function hasCode<Code extends ErrorCode>(
  error: unknown,
  code: Code,
): error is MirrorlatchError<Code> {
  return error instanceof MirrorlatchError && error.code === code;
}

/** A hint that another sentence can follow: the command at the end of one has no full stop of its own. */
export function asSentence(hint = ''): string {
  return /(^|[.?!])$/.test(hint) ? hint : `${hint}.`;
}

/** Ends the message of a failure that left readers what they had. In place, that may not be true. */
export const NOTHING_PUBLISHED = '; nothing was published';

/** The way out of a full disk for a program that keeps nothing there. */
export const FREE_SPACE = 'Free space or inodes on that disk, or raise the quota.';

/** The `errno` name of a failed system call (`ENOENT`, …), or undefined for any other value. */
export function errnoOf(error: unknown): string | undefined {
  return error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
}

/**
 * Turns a failed system call into the family: what was being done, to what, and why it failed.
 * Errors that are of the family already pass unchanged.
 */
export function asMirrorlatchError(
  error: unknown,
  doing = 'an unforeseen failure',
): MirrorlatchError {
  if (error instanceof MirrorlatchError) return error;
  const { path, syscall } = (error ?? {}) as NodeJS.ErrnoException;
  if (syscall === 'uv_cwd') {
    return new MirrorlatchError('IO', 'the working directory does not exist any more', {
      hint: 'Go to another one first, such as: cd /',
      cause: error,
    });
  }
  const at = path === undefined ? '' : ` (${path})`;
  switch (errnoOf(error)) {
    case 'EACCES':
    case 'EPERM':
      return new MirrorlatchError('PERMISSION', `${doing}: permission denied${at}`, {
        hint: isRootsOwn(error)
          ? 'Root may do that, unless it is immutable: look with lsattr -d, and take that away with chattr -i.'
          : 'Run it as a user who may do that; for a mirror, its owner.',
        cause: error,
      });
    case 'EROFS':
      return new MirrorlatchError('PERMISSION', `${doing}: the filesystem is read-only${at}`, {
        hint: 'Mount it writable, or run this on the host that keeps the mirror.',
        cause: error,
      });
    case 'ENOSPC':
    case 'EDQUOT':
      return new MirrorlatchError('NO_SPACE', `${doing}: no space or no quota left${at}`, {
        hint: FREE_SPACE,
        cause: error,
      });
    case undefined:
      return new MirrorlatchError('INTERNAL', `${doing}: ${messageOf(error)}`, { cause: error });
    default:
      return new MirrorlatchError('IO', `${doing}: ${messageOf(error)}`, { cause: error });
  }
}

/** Whether it is nobody's permission that is lacking. */
function isRootsOwn(error: unknown): boolean {
  return errnoOf(error) === 'EPERM' && process.geteuid?.() === 0;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
