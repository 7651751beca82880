import { fileURLToPath } from 'node:url';
import { execa } from 'execa';

const script = fileURLToPath(new URL('statements.py', import.meta.url));

/** What a file of a repository says of another, see statements.py. */
export interface Statement {
  readonly by: string;
  readonly about: string;
  /** bytes; null if it does not say. */
  readonly size: number | null;
  readonly sha256: string;
  readonly depth: 'always' | 'content';
  readonly plain?: string;
  readonly form?: string;
}

/** What Python reads in the repositories of a tree. */
export async function statementsOf(tree: string): Promise<Statement[]> {
  const { stdout } = await execa('python3', [script, tree]);
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Statement);
}

/** Those statements of a tree that are not true, one line each. */
export async function faultsOf(tree: string): Promise<string[]> {
  const { stdout } = await execa('python3', [script, '--faults', tree]);
  return stdout.split('\n').filter((line) => line !== '');
}
