import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { openNewFile } from '../system/files.ts';

const BUFFER_SIZE = 64 * 1024;

/** Writes NUL-terminated names to a file that only its owner can read. */
export class NameWriter {
  readonly #descriptor: number;
  #buffer = '';
  #isEmpty = true;

  /** @param how whether the file is a new one, or has names already. */
  constructor(path: string, how: 'new' | 'append' = 'new') {
    this.#descriptor = how === 'new' ? openNewFile(path, 0o600) : openSync(path, 'a');
  }

  get isEmpty(): boolean {
    return this.#isEmpty;
  }

  /** @param name one character per byte (latin1). */
  write(name: string): void {
    this.#isEmpty = false;
    this.#buffer += `${name}\0`;
    if (this.#buffer.length >= BUFFER_SIZE) this.#flush();
  }

  close(): void {
    this.#flush();
    closeSync(this.#descriptor);
  }

  #flush(): void {
    const bytes = Buffer.from(this.#buffer, 'latin1');
    for (let written = 0; written < bytes.length; ) {
      written += writeSync(this.#descriptor, bytes, written);
    }
    this.#buffer = '';
  }
}

/** The names in such a file, one character per byte (latin1). */
export function* readNames(path: string): Generator<string> {
  const descriptor = openSync(path, 'r');
  try {
    const buffer = Buffer.alloc(BUFFER_SIZE);
    const splitter = new NameSplitter();
    for (let read = readSync(descriptor, buffer); read > 0; read = readSync(descriptor, buffer)) {
      yield* splitter.split(buffer.subarray(0, read));
    }
  } finally {
    closeSync(descriptor);
  }
}

/** Splits what comes piece by piece at each NUL. */
export class NameSplitter {
  #rest = '';

  split(chunk: Buffer): string[] {
    const names = (this.#rest + chunk.toString('latin1')).split('\0');
    this.#rest = names.pop() ?? '';
    return names;
  }
}
