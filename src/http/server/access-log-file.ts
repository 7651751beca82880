import { closeSync, fstatSync, openSync, writeSync } from 'node:fs';
import { lstatIfThere } from '../../system/files.ts';

const MODE = 0o640;

/** How often to look whether the file was moved away; ms. */
const LOOK_MS = 5_000;

/**
 * A log to which lines are appended. A full disk costs the lines that find no room; a file that logrotate(8) has moved
 * away is made anew.
 */
export class AccessLogFile {
  readonly #path: string | undefined;
  readonly #onWarning: (message: string) => void;
  readonly #look: NodeJS.Timeout;
  #descriptor: number;
  #lines: string[] = [];
  #isBroken = false;

  /**
   * @param target a path, or a descriptor.
   * @param onWarning told once of each failure, until it works again.
   * @throws the error of the system call if it cannot be opened.
   */
  constructor(target: string | number, onWarning: (message: string) => void) {
    this.#path = typeof target === 'string' ? target : undefined;
    this.#descriptor = typeof target === 'string' ? openSync(target, 'a', MODE) : target;
    this.#onWarning = onWarning;
    this.#look = setInterval(() => this.#reopenIfMoved(), LOOK_MS);
  }

  /** Appends a line; those of one turn of the event loop together. */
  write(line: string): void {
    if (this.#lines.push(line) === 1) setImmediate(() => this.#flush());
  }

  close(): void {
    clearInterval(this.#look);
    this.#flush();
    if (this.#path !== undefined) closeSync(this.#descriptor);
  }

  #flush(): void {
    const text = this.#lines.join('');
    this.#lines = [];
    if (text !== '') this.#try(() => writeSync(this.#descriptor, text));
  }

  #reopenIfMoved(): void {
    const path = this.#path;
    if (path === undefined) return;
    const named = lstatIfThere(path);
    if (named?.ino === fstatSync(this.#descriptor, { bigint: true }).ino) return;
    this.#try(() => {
      const descriptor = openSync(path, 'a', MODE);
      closeSync(this.#descriptor);
      this.#descriptor = descriptor;
    });
  }

  #try(act: () => void): void {
    try {
      act();
      this.#isBroken = false;
    } catch (error) {
      if (!this.#isBroken) this.#onWarning(`the access log cannot be written: ${String(error)}`);
      this.#isBroken = true;
    }
  }
}
