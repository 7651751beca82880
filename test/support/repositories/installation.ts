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
  /** For the message of a failing test: how it ended and what it said. */
  readonly account: string;
}

/** A client with a configuration, a package database and a system of its own, all of them fresh. */
export class Installation {
  readonly #client: Client;
  readonly #state: string;
  readonly #environment: Readonly<Record<string, string>>;

  /** @param work where it makes a directory of its own. */
  constructor(client: Client, mirror: RepositoryMirror, work: string) {
    this.#client = client;
    this.#state = mkdtempSync(join(work, 'client-'));
    // apt reads as a user of its own.
    chmodSync(this.#state, 0o755);
    mkdirSync(join(this.#state, 'home'));
    this.#environment = client.configure(this.#state, repositoryUrl(client, mirror.root));
  }

  /** What an administrator types to update and install. */
  get command(): readonly string[] {
    const { update, install } = this.#client;
    return ['sh', '-c', update === undefined ? install : `${update} && ${install}`];
  }

  /** Runs a command line of this client to its end; nothing of the caller's environment reaches it. */
  async run([file = '', ...args]: readonly string[]): Promise<Result> {
    const { all, exitCode, signal } = await execa(file, args, {
      cwd: this.#state,
      all: true,
      stdin: 'ignore',
      reject: false,
      timeout: 120_000,
      extendEnv: false,
      env: {
        PATH: process.env['PATH'],
        LC_ALL: 'C.UTF-8',
        HOME: join(this.#state, 'home'),
        ...this.#environment,
      },
    });
    const parts = this.#parts().map(marksIn);
    const generations = [...new Set(parts.flat())];
    const isWhole = generations.length === 1 && parts.every((marks) => marks.length === 1);
    const end = signal === undefined ? `exit code ${exitCode}` : signal;
    return {
      outcome: exitCode !== 0 ? 'failed' : isWhole ? 'ok' : 'mixed',
      account: `${[file, ...args].join(' ')}\nended by ${end}, has ${generations.join(', ') || 'nothing'}\n${all}`,
    };
  }

  remove(): void {
    rmSync(this.#state, { recursive: true });
  }

  /** The texts of all that has to be of one generation: the metadata, and each package. */
  #parts(): string[] {
    const { metadata, installed } = this.#client;
    const files = packageNames.map((name) => join(this.#state, installed(name)));
    const packages = files.map((file) => (existsSync(file) ? textOf(file) : ''));
    return metadata === undefined
      ? packages
      : [filesBelow(join(this.#state, metadata)).map(textOf).join('\n'), ...packages];
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
