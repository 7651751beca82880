import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
} from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import type { Access } from './access.ts';
import type { Client } from './client.ts';
import { marksIn, packageNames } from './generation.ts';

/** `mixed`: the client exited with 0, but has parts of several generations or lacks some. */
export type Outcome = 'ok' | 'failed' | 'mixed';

/** The result of a client's command. */
export interface Result {
  readonly outcome: Outcome;
  /** `undefined` if a signal ended it. */
  readonly exitCode: number | undefined;
  /** How it ended, what it has, and its output, for the message of a failing test. */
  readonly account: string;
}

/** A client with a fresh configuration, package database and installation root. */
export class Installation {
  /** The client starts here, and writes only here. */
  readonly directory: string;
  readonly #client: Client;
  readonly #environment: Readonly<Record<string, string>>;

  /** @param work the parent of its directory. */
  constructor(client: Client, { url, environment }: Access, work: string) {
    this.#client = client;
    this.directory = mkdtempSync(join(work, 'client-'));
    // apt fetches as its own user.
    chmodSync(this.directory, 0o755);
    mkdirSync(join(this.directory, 'home'));
    this.#environment = {
      ...environment,
      ...client.configure(this.directory, `${url}/${client.repository.name}`),
    };
  }

  /** The marks of all generations of which the client has metadata or packages. */
  get generations(): string[] {
    return [...new Set(this.#parts().flatMap(marksIn))];
  }

  /**
   * Runs a command line to its end and judges the result.
   *
   * @throws Error if it cannot be started.
   */
  async run([file = '', ...args]: readonly string[]): Promise<Result> {
    const { all, exitCode, signal, originalMessage } = await execa(file, args, {
      cwd: this.directory,
      all: true,
      stdin: 'ignore',
      reject: false,
      timeout: 120_000,
      extendEnv: false,
      env: {
        PATH: process.env['PATH'],
        LC_ALL: 'C.UTF-8',
        HOME: join(this.directory, 'home'),
        XDG_STATE_HOME: join(this.directory, 'home/state'),
        ...this.#environment,
      },
    });
    if (exitCode === undefined && signal === undefined) {
      throw new Error(`${file} could not be started: ${originalMessage}`);
    }
    const end = signal === undefined ? `exit code ${exitCode}` : signal;
    const has = this.generations.join(', ') || 'nothing';
    return {
      outcome: exitCode !== 0 ? 'failed' : this.#isWhole() ? 'ok' : 'mixed',
      exitCode,
      account: `${[file, ...args].join(' ')}\nended by ${end}, has ${has}\n${all}`,
    };
  }

  remove(): void {
    rmSync(this.directory, { recursive: true });
  }

  #isWhole(): boolean {
    const parts = this.#parts().map(marksIn);
    return this.generations.length === 1 && parts.every((marks) => marks.length === 1);
  }

  /** The texts that must belong to one generation: the metadata, and each package. */
  #parts(): string[] {
    const { metadata, installed } = this.#client;
    const files = packageNames.map((name) => join(this.directory, installed(name)));
    const packages = files.map((file) => (existsSync(file) ? textOf(file) : ''));
    return metadata === undefined
      ? packages
      : [filesBelow(join(this.directory, metadata)).map(textOf).join('\n'), ...packages];
  }
}

function filesBelow(directory: string): string[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

/** Reads a file that may be binary. */
function textOf(file: string): string {
  return readFileSync(file, 'latin1');
}
