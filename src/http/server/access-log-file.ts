import { closeSync, constants, fchownSync, fstatSync, openSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { asMirrorlatchError, errnoOf, hasCode, MirrorlatchError } from '../../errors.ts';
import { lstatIfThere } from '../../system/files.ts';
import { type Account, asUser } from '../../system/privileges.ts';
import { quoteForSh } from '../../system/quote.ts';

/** A pipe that nobody reads must not stop the server, neither now nor later. */
const { O_APPEND, O_CREAT, O_NOCTTY, O_NOFOLLOW, O_NONBLOCK, O_WRONLY } = constants;
const FLAGS = O_WRONLY | O_APPEND | O_CREAT | O_NOCTTY | O_NONBLOCK;
const MODE = 0o640;

/** How often to look whether the file was moved away; ms. What is written until then goes with it. */
const LOOK_MS = 1_000;

/** How often to tell how many lines were lost, once it can be written again; ms. */
const TELL_MS = 5_000;

const REMOVED =
  'the access log was removed while it was written, so that lines of the last second may be lost. logrotate needs delaycompress to keep them.';

/** A full pipe is tried again after this time; ms. */
const RETRY_MS = 100;

/** So much may wait for the reader of a pipe; bytes. */
const MOST_WAITING = 1024 * 1024;

/**
 * A log to which lines are appended. What finds no room is lost, on a full disk or in a pipe that is not read, and
 * counted. A file that logrotate(8) has moved away is made anew.
 */
export class AccessLogFile {
  readonly #path: string | undefined;
  readonly #onWarning: (message: string) => void;
  readonly #timers: readonly NodeJS.Timeout[];
  #retry: NodeJS.Timeout | undefined;
  #descriptor: number;
  /** What is to be written, one character per byte. */
  #waiting = '';
  #isScheduled = false;
  /** The last byte that was written does not end a line. */
  #isLineBegun = false;
  /** The last write went well. */
  #isWorking = true;
  /** Something was written since the last look. */
  #hasWritten = false;
  /** The file was moved away and cannot be made anew, or nobody knows: that was said. */
  #isMovedForGood = false;
  /** Lines, since the warning that some are. */
  #lost = 0;

  /**
   * @param target a path, or a descriptor. A pipe should not block (open(2), O_NONBLOCK).
   * @param onWarning told when lines begin to be lost, and of their number when it works again.
   * @param user whom this process becomes later, if it is root.
   * @throws MirrorlatchError if it cannot be opened.
   */
  constructor(target: string | number, onWarning: (message: string) => void, user?: Account) {
    this.#path = typeof target === 'string' ? target : undefined;
    this.#onWarning = onWarning;
    if (typeof target === 'number') this.#descriptor = target;
    else if (user === undefined || process.geteuid?.() !== 0) this.#descriptor = openLog(target);
    else this.#descriptor = openLogFor(user, target, onWarning);
    const look = (): void => {
      this.#reopenIfMoved();
      this.#hasWritten = false;
    };
    const tell = (): void => {
      if (this.#isWorking) this.#tellLost();
    };
    this.#timers = [setInterval(look, LOOK_MS), setInterval(tell, TELL_MS)];
  }

  /** Appends a line in ASCII; those of one turn of the event loop together. */
  write(line: string): void {
    if (this.#waiting.length + line.length > MOST_WAITING) {
      this.#lose(1, 'nobody reads it');
      return;
    }
    this.#waiting += line;
    if (this.#isScheduled || this.#retry !== undefined) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#flush();
    });
  }

  close(): void {
    for (const timer of this.#timers) clearInterval(timer);
    this.#flush();
    clearTimeout(this.#retry);
    this.#lost += linesIn(this.#waiting);
    this.#tellLost();
    if (this.#path !== undefined) closeSync(this.#descriptor);
  }

  #flush(): void {
    try {
      while (this.#waiting !== '') {
        const length = writeSync(this.#descriptor, this.#waiting, null, 'latin1');
        this.#hasWritten = true;
        this.#isLineBegun = this.#waiting[length - 1] !== '\n';
        this.#waiting = this.#waiting.slice(length);
      }
      this.#isWorking = true;
    } catch (error) {
      this.#isWorking = false;
      if (errnoOf(error) === 'EAGAIN') this.#tryAgainLater();
      else this.#dropWaiting(error);
    }
  }

  #tryAgainLater(): void {
    this.#retry ??= setTimeout(() => {
      this.#retry = undefined;
      this.#flush();
    }, RETRY_MS);
  }

  /** All but the rest of a line that was begun. */
  #dropWaiting(error: unknown): void {
    const rest = this.#restOfLine();
    const lost = linesIn(this.#waiting.slice(rest.length));
    this.#waiting = rest;
    this.#lose(lost, whatIsWrong(error));
  }

  #restOfLine(): string {
    return this.#isLineBegun ? this.#waiting.slice(0, this.#waiting.indexOf('\n') + 1) : '';
  }

  #lose(lines: number, why: string): void {
    if (this.#lost === 0 && lines > 0) {
      this.#onWarning(`the access log cannot be written: ${why}`);
    }
    this.#lost += lines;
  }

  #tellLost(): void {
    if (this.#lost === 0) return;
    this.#onWarning(`lines of the access log that were lost: ${this.#lost}`);
    this.#lost = 0;
  }

  #reopenIfMoved(): void {
    const path = this.#path;
    if (path === undefined) return;
    try {
      if (this.#isStillAt(path)) return;
    } catch (error) {
      this.#warnOfMove(`whether the access log was moved cannot be seen: ${whatIsWrong(error)}`);
      return;
    }
    try {
      const descriptor = openLog(path);
      // gzip(1) removes what it has compressed, and has not read what came too late.
      const isRemoved = fstatSync(this.#descriptor).nlink === 0;
      if (isRemoved && this.#hasWritten) this.#onWarning(REMOVED);
      closeSync(this.#descriptor);
      this.#descriptor = descriptor;
      this.#waiting = this.#waiting.slice(this.#restOfLine().length);
      this.#isLineBegun = false;
      this.#isMovedForGood = false;
    } catch (error) {
      this.#warnOfMove(`the access log was moved, and goes on there: ${whatIsWrong(error)}`);
    }
  }

  #isStillAt(path: string): boolean {
    const written = fstatSync(this.#descriptor, { bigint: true });
    return lstatIfThere(path)?.ino === written.ino;
  }

  #warnOfMove(message: string): void {
    if (!this.#isMovedForGood) this.#onWarning(message);
    this.#isMovedForGood = true;
  }
}

function linesIn(text: string): number {
  return text.split('\n').length - 1;
}

/**
 * Opens the log while this process is root, so that the user that it becomes can make it anew, and logrotate(8) as
 * that user can read it. Where that user may write, root does not: a symlink there would lead it anywhere.
 *
 * @throws MirrorlatchError
 */
function openLogFor(user: Account, path: string, onWarning: (message: string) => void): number {
  try {
    return asUser(user, () => openLog(path));
  } catch (error) {
    if (!hasCode(error, 'PERMISSION')) throw error;
  }
  const isNew = lstatIfThere(path) === undefined;
  const descriptor = openLog(path, FLAGS | O_NOFOLLOW);
  if (isNew) {
    fchownSync(descriptor, user.uid, user.gid);
  } else if (fstatSync(descriptor).isFile()) {
    const mend = `chown ${quoteForSh(user.name)} ${quoteForSh(path)}`;
    onWarning(
      `the access log belongs to another user than ${user.name}, who cannot open it again once logrotate has moved it: ${mend}`,
    );
  }
  return descriptor;
}

/** @throws MirrorlatchError */
function openLog(path: string, flags = FLAGS): number {
  try {
    return openSync(path, flags, MODE);
  } catch (cause) {
    const name = JSON.stringify(path);
    switch (errnoOf(cause)) {
      case 'ENOENT':
      case 'ENOTDIR':
        throw new MirrorlatchError('USAGE', `there is no directory for the access log ${name}`, {
          hint: `Make it first: mkdir -p ${quoteForSh(dirname(path))}`,
          cause,
        });
      case 'EISDIR':
        throw new MirrorlatchError('USAGE', `the access log ${name} is a directory`, {
          hint: `Name a file, such as: --access-log ${quoteForSh(join(path, 'access.log'))}`,
          cause,
        });
      case 'ELOOP':
        throw new MirrorlatchError(
          'USAGE',
          `the access log ${name} is a symlink that the server's user may not follow`,
          { hint: 'Name the file itself, or - for standard output.', cause },
        );
      case 'ENXIO':
        throw new MirrorlatchError('UNAVAILABLE', `nobody reads the pipe ${name} for the log`, {
          hint: 'Start first the program that reads it.',
          cause,
        });
      default:
        throw asMirrorlatchError(cause, `the access log ${name} cannot be opened`);
    }
  }
}

function whatIsWrong(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
