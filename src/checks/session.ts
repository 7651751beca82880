import { join } from 'node:path';
import { errnoOf } from '../errors.ts';
import { type Claim, ClaimWriter, nameIn } from './claims.ts';
import { Exceptions } from './exceptions.ts';
import { Findings, OF_CONTENT, UNDERSTANDABLE } from './finding.ts';
import type { Reading } from './hash-threads.ts';
import { type Head, Heads } from './heads.ts';
import { type FoundFile, linesOf, Malformed, TreeFiles, wholeLinesOf } from './tree-files.ts';

/** How a tree is to be checked. */
export interface SessionOptions {
  tree: string;
  /** A directory for files. */
  work: string;
  /** The tree that readers have now; undefined if there is none. */
  base: string | undefined;
  /** The path of the keys that may have signed; empty if signatures are not checked. */
  keyring: string;
  /** Patterns, see `Exceptions`. */
  except: readonly string[];
  /** Packages are read, too, and not only looked at. */
  content: boolean;
  /** Only the content of files is of interest, and not what is missing, malformed or signed by nobody. */
  isOfContentAlone: boolean;
  reading: Reading;
  /** It is known what was left out of the tree on purpose, so that the rest has to be there. */
  isComplete: boolean;
  /** ms since the epoch */
  now: number;
  inherit: readonly number[];
  signal: AbortSignal;
}

/** That of Debian's unstable has 0.2 MB in 2,000 lines; characters. */
const LONGEST_HEAD = 16 * 1024 ** 2;

/** Empty ones need memory, too. */
const MOST_LINES = 500_000;

/** What the kinds of one check say of a tree. */
export class Session {
  readonly options: SessionOptions;
  readonly files: TreeFiles;
  readonly exceptions: Exceptions;
  readonly findings: Findings;
  /** What a person should know of the check, a sentence each. */
  readonly notes = new Set<string>();
  /** What a person should know who sets the check up, a sentence each: it stays so until its settings change. */
  readonly advice = new Set<string>();
  /** Of the repositories that were found. */
  readonly heads: Heads;
  readonly #claims: ClaimWriter;
  #missed = 0;

  /** @param before the heads of the repositories that readers have now. */
  constructor(options: SessionOptions, before: readonly Head[] = []) {
    this.options = options;
    this.heads = new Heads(before);
    this.exceptions = new Exceptions(options.except);
    const only = options.isOfContentAlone ? OF_CONTENT : undefined;
    this.findings = new Findings(join(options.work, 'wrong'), this.exceptions, only);
    this.files = new TreeFiles(options.tree, options);
    this.#claims = new ClaimWriter(this.claimsPath);
  }

  get claimsPath(): string {
    return join(this.options.work, 'claims');
  }

  /** How much was found to be wrong, or to be missed, until now. */
  get complaints(): number {
    return this.findings.count + this.#missed;
  }

  /** Whether signatures are to be checked. Ask only where there could be one. */
  get wantsSignatures(): boolean {
    if (this.options.keyring !== '') return true;
    this.advice.add('signatures are not checked: no keyring is named');
    return false;
  }

  /**
   * Says of the file called `path` in a directory of the tree what it is; it has to be there.
   *
   * @param directory `.` for the top.
   */
  claim(directory: string, path: string, claim: Claim): void {
    const name = nameIn(directory, path);
    if (name === undefined) this.malformed(claim.by, `it names ${JSON.stringify(path)}`);
    else this.#claims.write(name, claim);
  }

  /** Says that a file has to be there, which is a finding unless it was left out on purpose. */
  miss(name: string): void {
    this.#missed += 1;
    this.claim('.', name, { size: undefined, sum: undefined, by: '' });
  }

  malformed(name: string, found: string): void {
    this.findings.add(name, 'malformed', UNDERSTANDABLE, found, name);
  }

  /**
   * Reads a file of the tree, without its compression, some lines at a time. What cannot be read, or is not
   * there, is a finding.
   */
  async readLines(name: string, onLines: (lines: readonly string[]) => void): Promise<void> {
    const fault = await this.read(name, async (content) => {
      for await (const lines of linesOf(content)) onLines(lines);
    });
    if (fault !== undefined) this.malformed(name, fault);
  }

  /**
   * The same for a list of which the repository says what it is: see `Findings.doubt`.
   *
   * @param onText see `wholeLinesOf`.
   * @returns whether it was read to its end.
   */
  async readList(name: string, onText: (text: string) => void): Promise<boolean> {
    let isWhole = false;
    const fault = await this.read(name, async (content) => {
      for await (const text of wholeLinesOf(content)) onText(text);
      isWhole = true;
    });
    if (fault !== undefined) this.findings.doubt(name, fault);
    return isWhole;
  }

  /** All lines of a file that heads a repository, see `readLines`; none if it has more than such a file can have. */
  async readHead(name: string): Promise<string[]> {
    const all: string[] = [];
    let length = 0;
    await this.readLines(name, (lines) => {
      for (const line of lines) {
        all.push(line);
        length += line.length + 1;
      }
      if (length <= LONGEST_HEAD && all.length <= MOST_LINES) return;
      all.length = 0;
      throw new Malformed(
        length > LONGEST_HEAD ? 'it has more than 16 MiB' : `it has more than ${MOST_LINES} lines`,
      );
    });
    return all;
  }

  /**
   * Reads a file of the tree, without its compression. What cannot be read, or is not there, is a finding.
   *
   * @param use may throw Malformed.
   * @returns why it cannot be understood; undefined if it can.
   */
  async read(
    name: string,
    use: (content: AsyncIterable<Buffer>) => Promise<void>,
  ): Promise<string | undefined> {
    const file = this.files.find(name);
    if (typeof file === 'string') {
      this.miss(name);
      return undefined;
    }
    try {
      await use(this.#contentOf(name, file));
    } catch (error) {
      if (error instanceof Malformed) return error.message;
      this.unreadable(name, error);
    }
    return undefined;
  }

  async *#contentOf(name: string, file: FoundFile): AsyncGenerator<Buffer> {
    for await (const chunk of this.files.contentOf(name, file)) {
      this.options.signal.throwIfAborted();
      yield chunk;
    }
  }

  /** Takes an error for a finding if it is about the file, and throws it otherwise. */
  unreadable(name: string, error: unknown): void {
    if (error instanceof Malformed) this.malformed(name, error.message);
    else if (errnoOf(error) === 'EIO') this.findings.add(name, 'unreadable', 'content', 'EIO');
    else throw error;
  }

  /** Ends the claims. */
  close(): void {
    this.#claims.close();
  }
}
