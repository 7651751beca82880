import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';

const script = fileURLToPath(new URL('statements.py', import.meta.url));

/** What a file of a repository says of another, see statements.py. */
export interface Statement {
  readonly by: string;
  readonly about: string;
  /** bytes; null if it does not say. */
  readonly size: number | null;
  /** ALGORITHM:HEX; null if it does not say. */
  readonly sum: string | null;
  readonly depth: 'always' | 'content' | 'signed';
  readonly plain?: string;
  readonly form?: string;
  /** One of these is as good. */
  readonly others?: readonly string[];
  /** It need be there only if this is, now or for readers. */
  readonly place?: string | null;
  /** It need not be there. */
  readonly optional?: boolean;
}

/** That a list cannot be read, and why. */
export interface Fault {
  readonly by: string;
  readonly fault: string;
}

/** What Python reads in the repositories of a tree. */
export async function statementsOf(tree: string): Promise<Statement[]> {
  return (await linesOf(tree)).map((line) => JSON.parse(line) as Statement);
}

/** What Python reads in some files of a tree that may be damaged. */
export async function statementsIn(
  tree: string,
  names: readonly string[],
): Promise<(Statement | Fault)[]> {
  const lines = names.length === 0 ? [] : await linesOf('--of', tree, ...names);
  return lines.map((line) => JSON.parse(line) as Statement | Fault);
}

/** Those statements of a tree that are not true, one line each. */
export async function faultsOf(tree: string): Promise<string[]> {
  return await linesOf('--faults', tree);
}

async function linesOf(...words: string[]): Promise<string[]> {
  const { stdout } = await execa('python3', ['-B', script, ...words]);
  return stdout.split('\n').filter((line) => line !== '');
}

const ofTars = fileURLToPath(new URL('tar_lists.py', import.meta.url));

/** What Python has said of packages, by their SHA-256: most of them are as they were. */
const known = new Map<string, string>();

/** The checksum of a file by the same algorithm as another. */
export async function sumLike(
  sum: string,
  { path, sha256 }: { path: string; sha256: string },
): Promise<string> {
  const [algorithm = ''] = sum.split(':');
  if (algorithm !== 'apk')
    return `${algorithm}:${createHash(algorithm).update(readFileSync(path)).digest('hex')}`;
  const before = known.get(sha256);
  if (before !== undefined) return before;
  const { stdout } = await execa('python3', ['-B', ofTars, '--sum', path]);
  known.set(sha256, `apk:${stdout}`);
  return `apk:${stdout}`;
}

/** Whether a key in PEM form has signed an index of apk. */
export async function isSignedIndex(key: string, path = ''): Promise<boolean> {
  const words = ['-B', ofTars, '--signed', key, path];
  const { exitCode } = await execa('python3', words, { reject: false });
  return exitCode === 0;
}
