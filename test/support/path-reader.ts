import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { expect } from 'vitest';
import { eventually } from './eventually.ts';

const program = fileURLToPath(new URL('path-reader/reader.mjs', import.meta.url));

/** What a process that read through one path has to tell. */
interface Account {
  /** How often it missed a file, or met a mix, by what it was. */
  readonly missed: Readonly<Record<string, number>>;
  /** Every content that it met. */
  readonly seen: readonly string[];
}

/** A process that reads through one path without a pause. */
export interface PathReader {
  /** How often, at least, it has read all the files three times until now. */
  turns(): number;
  /** Waits until it has read them all once more. */
  reads(): Promise<void>;
  leave(): Promise<Account>;
}

const TURNS_A_DOT = 20;

/** Starts it, and gives it back when it reads; all the files hold the same. */
export async function startPathReader(
  directory: string,
  files: readonly string[],
): Promise<PathReader> {
  const subprocess = execa(process.execPath, [program, directory, ...files], { stdin: 'ignore' });
  let printed = '';
  subprocess.stdout.on('data', (chunk: Buffer | string) => {
    printed += chunk.toString();
  });
  await eventually(() => {
    if (!printed.startsWith('.')) throw new Error('it does not read yet');
  });
  const turns = () => TURNS_A_DOT * (printed.split('.').length - 1);
  return {
    turns,
    reads: async () => {
      const enough = turns() + 2 * TURNS_A_DOT;
      await eventually(() => expect(turns()).toBeGreaterThanOrEqual(enough));
    },
    leave: async () => {
      subprocess.kill('SIGTERM');
      await subprocess;
      return JSON.parse(printed.split('\n').at(-2) ?? '') as Account;
    },
  };
}
