import type { Readable } from 'node:stream';
import { type ChildOptions, type ChildResult, runProgram } from './process.ts';

/**
 * Why a search is not whole, if it is more than what this user may not look into, or has vanished meanwhile.
 *
 * @param result of `find`.
 */
export function failureOf({ exitCode, stderr }: Pick<ChildResult, 'exitCode' | 'stderr'>) {
  const lines = stderr
    .split('\n')
    .filter((line) => !/(^|: Permission denied|: No such file or directory)$/.test(line));
  return exitCode === 0 ? undefined : lines[0];
}

/** How many directories a search could not look into, because this user may not. @param result of `find`. */
export function countForbidden({ stderr }: Pick<ChildResult, 'stderr'>): number {
  return stderr.split('\n').filter((line) => line.endsWith(': Permission denied')).length;
}

/**
 * Runs find(1), and hands on what it prints, split at each NUL, one character per byte (latin1): names need
 * not be valid UTF-8, nor fit into memory all at once.
 *
 * @param args paths and an expression whose output ends with NUL.
 */
export async function find(
  args: readonly string[],
  options: Pick<ChildOptions, 'inherit' | 'signal'>,
  onRecord: (record: string) => void,
): Promise<Pick<ChildResult, 'exitCode' | 'stderr'>> {
  let rest = '';
  const onStdout = (chunk: Buffer): void => {
    const records = (rest + chunk.toString('latin1')).split('\0');
    rest = records.pop() ?? '';
    for (const record of records) onRecord(record);
  };
  return await runProgram('find', args, { ...options, onStdout });
}

/** Runs find(1) likewise, but what it prints is read at the pace of its reader. @param onOutput called once, at once. */
export async function findSlowly(
  args: readonly string[],
  options: Pick<ChildOptions, 'signal' | 'cwd'>,
  onOutput: (output: Readable) => void,
): Promise<Pick<ChildResult, 'exitCode' | 'stderr'>> {
  return await runProgram('find', args, { ...options, onOutput });
}
