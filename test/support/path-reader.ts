import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { eventually } from './eventually.ts';

const program = fileURLToPath(new URL('path-reader/reader.mjs', import.meta.url));

/** What a process that read through one path has to tell. */
interface Account {
  /** How often it read all the files three times. */
  readonly turns: number;
  /** How often it missed a file, or met a mix, by what it was. */
  readonly missed: Readonly<Record<string, number>>;
  /** Every content that it met. */
  readonly seen: readonly string[];
}

/** A process that reads through one path without a pause. */
export interface PathReader {
  leave(): Promise<Account>;
}

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
    if (!printed.startsWith('reading')) throw new Error('it does not read yet');
  });
  return {
    leave: async () => {
      subprocess.kill('SIGTERM');
      await subprocess;
      return JSON.parse(printed.split('\n')[1] ?? '') as Account;
    },
  };
}
