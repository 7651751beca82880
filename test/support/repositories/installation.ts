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
import { type Client, repositoryUrl } from './client.ts';
import { marksIn, packageNames } from './generation.ts';
import type { RepositoryMirror } from './mirror.ts';

/** `mixed`: the client ended with 0, and what it has is not all of one generation. */
export type Outcome = 'ok' | 'failed' | 'mixed';

/** What a client came to. */
export interface Result {
  readonly outcome: Outcome;
  /** `undefined` when a signal ended it. */
  readonly exitCode: number | undefined;
  /** For the message of a failing test: how it ended, what it has, and what it said. */
  readonly account: string;
}

/** A client with a configuration, a package database and a system of its own, all of them fresh. */
export class Installation {
  /** Where the client is started, and all that it writes to. */
  readonly directory: string;
  readonly #client: Client;
  readonly #environment: Readonly<Record<string, string>>;

  /** @param work where it makes its directory. */
  constructor(client: Client, mirror: RepositoryMirror, work: string) {
    this.#client = client;
    this.directory = mkdtempSync(join(work, 'client-'));
    // apt reads as a user of its own.
    chmodSync(this.directory, 0o755);
    mkdirSync(join(this.directory, 'home'));
    this.#environment = client.configure(this.directory, repositoryUrl(client, mirror.root));
  }

  /** The marks of all generations that the client has anything of, metadata or packages. */
  get generations(): string[] {
    return [...new Set(this.#parts().flatMap(marksIn))];
  }

  /**
   * Runs a command line to its end, as this client's administrator, and judges what it came to.
   *
   * @throws Error when it cannot be started.
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

  /** The texts of all that is to be of one generation: the metadata, and each package. */
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

/** Of a file that may be binary. */
function textOf(file: string): string {
  return readFileSync(file, 'latin1');
}
