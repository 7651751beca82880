import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { expect } from 'vitest';
import { eventually } from './eventually.ts';

const program = fileURLToPath(new URL('path-reader/reader.mjs', import.meta.url));

/** The account of a `PathReader`. */
interface Account {
  /** How often each failure occurred: a missing file, or a mix. */
  readonly missed: Readonly<Record<string, number>>;
  /** Every content that it read. */
  readonly seen: readonly string[];
}

/** A process that keeps reading the files of a directory through one path. */
export interface PathReader {
  /** How often, at least, it has read all the files three times until now. */
  turns(): number;
  /** Waits until it has read them all once more. */
  reads(): Promise<void>;
  leave(): Promise<Account>;
}

const TURNS_A_DOT = 20;

/** Starts a reader, and resolves when it reads. All the files must have the same content. */
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
