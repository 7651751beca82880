import { execa } from 'execa';
import type { FindingKind } from '../../../src/checks/finding.ts';
import { isSignedIndex } from './statements.ts';

/** How a damaged tree is checked. */
export interface Circumstances {
  readonly content: boolean;
  /** Signatures count. */
  readonly isSigned: boolean;
  /** What a mirror has of the repository by its rules; undefined if nobody knows what was left out. */
  readonly chosen: ReadonlySet<string> | undefined;
  /** It is chosen by sizes, too, which not every statement has. */
  readonly isChosenBySize: boolean;
  /** The tree that readers have. */
  readonly base: string | undefined;
}

/** Something that has to be found. */
interface Wanted {
  /** One of these is enough: an index has several forms. */
  readonly names: readonly string[];
  readonly kinds: ReadonlySet<FindingKind>;
}

/** What is wrong with a damaged tree. */
export interface Judgement {
  readonly wanted: readonly Wanted[];
  /** Files that say what they have never said, so that nobody can say what of it counts. */
  readonly unreliable: ReadonlySet<string>;
}

/** Gathers what has to be found. */
export class Wants {
  readonly #byName = new Map<string, Wanted>();

  get all(): readonly Wanted[] {
    return [...this.#byName.values()];
  }

  add(names: readonly string[], ...kinds: FindingKind[]): void {
    const key = names.join('\0');
    const before = this.#byName.get(key)?.kinds ?? [];
    this.#byName.set(key, { names, kinds: new Set([...before, ...kinds]) });
  }
}

/** How a text that was changed is found depends on where. */
export const ANY = ['signature', 'malformed', 'expired'] as const;

/** What programs have said of signatures, by the SHA-256 of all: most files are as they were. */
const answers = new Map<string, boolean>();

/** Whether a signature is good. @param files the signature and what it signs, or both in one. */
export async function isSignedBy(
  keyring: string,
  files: readonly { path: string; sha256: string }[],
): Promise<boolean> {
  const question = [keyring, ...files.map(({ sha256 }) => sha256)].join(' ');
  const paths = files.map(({ path }) => path);
  const ask = keyring.endsWith('.rsa.pub') ? isSignedIndex : isGoodSignature;
  const answer = answers.get(question) ?? (await ask(keyring, ...paths));
  answers.set(question, answer);
  return answer;
}

/**
 * Asks gpgv(1). As for apt, a good signature counts, whatever is wrong with the armor around it, for which gpgv
 * ends with another code.
 */
async function isGoodSignature(keyring: string, ...paths: string[]): Promise<boolean> {
  const binary = keyring.replace(/\.asc$/, '.gpg');
  const words = ['--status-fd', '1', '--keyring', binary, ...paths];
  const { stdout } = await execa('gpgv', words, { reject: false });
  return /\[GNUPG:\] GOODSIG /.test(stdout) && !/\[GNUPG:\] BADSIG /.test(stdout);
}
