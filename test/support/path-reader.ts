import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { vi } from 'vitest';

const program = fileURLToPath(new URL('path-reader/reader.mjs', import.meta.url));

/** The account of a `PathReader`. */
interface Account {
  /** How often it read all the files. */
  readonly turns: number;
  /** How often each failure occurred: a missing file, or a mix. */
  readonly missed: Readonly<Record<string, number>>;
  /** Every content that it read. */
  readonly seen: readonly string[];
}

/** A process that keeps reading the files of a directory through one path. */
export interface PathReader {
  /** Ends it and returns its account. */
  leave(): Promise<Account>;
}

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
  await vi.waitFor(
    () => {
      if (!printed.startsWith('reading')) throw new Error('it does not read yet');
    },
    { timeout: 20_000 },
  );
  return {
    leave: async () => {
      subprocess.kill('SIGTERM');
      await subprocess;
      return JSON.parse(printed.split('\n')[1] ?? '') as Account;
    },
  };
}
