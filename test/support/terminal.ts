import { readFileSync, readlinkSync } from 'node:fs';
import { execa } from 'execa';
import { expect, onTestFinished } from 'vitest';
import { quoteForSh } from '../../src/system/quote.ts';

/** A command on its own terminal (a pty). */
export interface Terminal {
  /** The output since the last call of `type`, including escape sequences. */
  shownSince(): string;
  type(text: string): void;
  /** Waits until the output since the last call of `type` matches. */
  shows(text: string | RegExp): Promise<void>;
  /** Changes its width, as a user does who resizes the window. */
  resize(columns: number): Promise<void>;
  /** Closes it, as a lost connection does: what has it open gets SIGHUP, and can use it no more. */
  hangUp(): Promise<void>;
  /** Resolves to the exit code when the command ends. */
  readonly exitCode: Promise<number | undefined>;
}

/** Starts a command on a new terminal, by script(1). */
export function openTerminal(
  words: readonly string[],
  options: {
    cwd?: string;
    env?: Readonly<Record<string, string | undefined>>;
    columns?: number;
  } = {},
): Terminal {
  const width = options.columns === undefined ? '' : `stty cols ${options.columns}; `;
  const subprocess = execa(
    'script',
    [
      '--quiet',
      '--return',
      '--command',
      `${width}exec ${words.map(quoteForSh).join(' ')}`,
      '/dev/null',
    ],
    {
      reject: false,
      stdin: 'pipe',
      cwd: options.cwd ?? '/',
      // script(1) runs the command with SHELL.
      env: { TERM: 'xterm', ...options.env, SHELL: '/bin/sh' },
    },
  );
  let shown = '';
  let typedAt = 0;
  subprocess.stdout.on('data', (chunk: Buffer | string) => {
    shown += chunk.toString();
  });
  onTestFinished(async () => {
    subprocess.kill('SIGKILL');
    await subprocess;
  });
  const shownSince = () => shown.slice(typedAt);
  return {
    shownSince,
    type: (text) => {
      typedAt = shown.length;
      subprocess.stdin.write(text);
    },
    shows: async (text) => {
      const expectation = expect.poll(shownSince);
      await (typeof text === 'string' ? expectation.toContain(text) : expectation.toMatch(text));
    },
    resize: async (columns) => {
      const [child = ''] = childrenOf(subprocess.pid);
      const device = readlinkSync(`/proc/${child}/fd/0`);
      await execa('stty', ['-F', device, 'cols', String(columns)]);
    },
    hangUp: async () => {
      subprocess.kill('SIGKILL');
      await subprocess;
    },
    exitCode: subprocess.then(({ exitCode }) => exitCode),
  };
}

function childrenOf(pid: number | undefined): string[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
}
