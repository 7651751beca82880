import { constants, renameSync, writeFileSync } from 'node:fs';
import { type FileHandle, open, rm } from 'node:fs/promises';
import { asMirrorlatchError, errnoOf, MirrorlatchError } from '../../errors.ts';

/** What follows where the state cannot be kept. */
export const FORGETFUL = 'a restart will forget the runs of clients';

/** How soon a change is written; ms. */
const LOOK_MS = 1_000;

/** Making the text takes no larger share of the time, unless the rest between two writes would be longer than this; ms. */
const SHARE = 0.01;
const LONGEST_REST_MS = 5_000;

/** A longer text is none of ours; bytes. */
const LONGEST = 256 * 1024 * 1024;

export interface StateFileOptions {
  readonly path: string;
  /** What there is to write, in pieces. @param isEnded nothing will change any more. */
  readonly text: (isEnded: boolean) => Iterable<string>;
  /** Another number whenever that has changed. */
  readonly changes: () => number;
  /** Told once of each failure, until it works again. */
  readonly onWarning: (message: string) => void;
}

/**
 * A file that holds the state of this process for the next one. It is written by a rename, so that it is always whole,
 * soon after each change, and the less often the more there is. What cannot wait is added to it in between. It is good
 * for one boot of the host, so nothing waits for a disk.
 */
export class StateFile {
  readonly #options: StateFileOptions;
  readonly #look: NodeJS.Timeout;
  /** The file in its place, to which more is added. */
  #file: FileHandle | undefined;
  /** What was added since the writing of the next file began; undefined while none is written. */
  #added: string[] | undefined;
  #written = 0;
  #writing: Promise<void> | undefined;
  #restsUntil = 0;
  #isBroken = false;

  private constructor(options: StateFileOptions) {
    this.#options = options;
    this.#look = setInterval(() => this.#writeIfChanged(), LOOK_MS);
  }

  /** Writes for the first time, and from then on after each change. */
  static async open(options: StateFileOptions): Promise<StateFile> {
    const file = new StateFile(options);
    await file.#write(false);
    return file;
  }

  /** Adds to the text, before it returns: what a kill of this process must not lose. */
  add(text: string): void {
    this.#added?.push(text);
    if (this.#file === undefined) return;
    try {
      // Not writeSync(), which may write less than it was given.
      writeFileSync(this.#file.fd, text);
    } catch (error) {
      this.#warn(error);
      // Half of the text may be there, and nothing may follow that.
      void this.#closeFile();
    }
  }

  /** Writes for the last time. */
  async close(): Promise<void> {
    clearInterval(this.#look);
    await this.#writing;
    await this.#write(true);
    await this.#closeFile();
  }

  #writeIfChanged(): void {
    const isTime = this.#writing === undefined && performance.now() >= this.#restsUntil;
    if (!isTime || this.#options.changes() === this.#written) return;
    this.#writing = this.#write(false).finally(() => {
      this.#writing = undefined;
    });
  }

  async #write(isEnded: boolean): Promise<void> {
    const { path, changes } = this.#options;
    const before = changes();
    const temporary = `${path}.new`;
    const added: string[] = [];
    this.#added = added;
    let file: FileHandle | undefined;
    try {
      await rm(temporary, { force: true });
      file = await open(temporary, 'wx', 0o600);
      await this.#writeText(file, isEnded);
      writeFileSync(file.fd, added.join(''));
      renameSync(temporary, path);
      const earlier = this.#file;
      this.#file = file;
      await close(earlier);
      this.#written = before;
      this.#isBroken = false;
    } catch (error) {
      await close(file);
      // What is added to the earlier file would only make that longer and longer.
      await this.#closeFile();
      await rm(temporary, { force: true }).catch(() => {});
      this.#warn(error);
    } finally {
      this.#added = undefined;
    }
  }

  async #closeFile(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await close(file);
  }

  #warn(error: unknown): void {
    if (!this.#isBroken) this.#options.onWarning(asMirrorlatchError(error, FORGETFUL).message);
    this.#isBroken = true;
  }

  /** Other work gets its turn between two pieces. */
  async #writeText(file: FileHandle, isEnded: boolean): Promise<void> {
    let begun = performance.now();
    let busyMs = 0;
    const pieces = this.#options.text(isEnded)[Symbol.iterator]();
    for (;;) {
      const { value, done } = pieces.next();
      busyMs += performance.now() - begun;
      if (done) break;
      await file.appendFile(value);
      begun = performance.now();
    }
    this.#restsUntil = performance.now() + Math.min(busyMs / SHARE, LONGEST_REST_MS);
  }
}

/** What a disk says so late is of no use to anybody: the next writing says it again. */
async function close(file: FileHandle | undefined): Promise<void> {
  await file?.close().catch(() => {});
}

/**
 * Reads what a process before has written. A symlink or a fifo in its place is not followed.
 *
 * @returns undefined when there is none.
 * @throws MirrorlatchError IO when it is no file of ours; the error of the system call.
 */
export async function readStateFile(path: string): Promise<string | undefined> {
  let file: FileHandle;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const stats = await file.stat();
    if (stats.isFile() && stats.size <= LONGEST) return await file.readFile('utf8');
    throw new MirrorlatchError('IO', `${path} is no file of mirrorlatch`);
  } finally {
    await file.close();
  }
}
