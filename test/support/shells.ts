import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import type { Shell } from '../../src/reader/aliases.ts';
import { quoteForFish, quoteForSh } from '../../src/system/quote.ts';
import { missingOf } from './installed.ts';
import { makeScratch } from './scratch.ts';

/** A shell. */
export interface RealShell {
  readonly name: string;
  /** The kind of shell code that it runs. */
  readonly dialect: Shell;
  /** Starts it without the user's start-up files. */
  readonly command: readonly [string, ...string[]];
  quote(word: string): string;
}

const ALL: readonly RealShell[] = [
  { name: 'dash', dialect: 'sh', command: ['dash'], quote: quoteForSh },
  { name: 'busybox', dialect: 'sh', command: ['busybox', 'sh'], quote: quoteForSh },
  { name: 'bash', dialect: 'bash', command: ['bash', '--norc'], quote: quoteForSh },
  {
    name: 'bash --posix',
    dialect: 'sh',
    command: ['bash', '--posix', '--norc'],
    quote: quoteForSh,
  },
  { name: 'zsh', dialect: 'zsh', command: ['zsh', '-f'], quote: quoteForSh },
  {
    name: 'zsh with RC_QUOTES',
    dialect: 'zsh',
    command: ['zsh', '-f', '-o', 'rcquotes'],
    quote: quoteForSh,
  },
  { name: 'fish', dialect: 'fish', command: ['fish', '--no-config'], quote: quoteForFish },
];

/** Those that are installed. */
export const SHELLS = ALL.filter(({ command: [program] }) => missingOf(program).length === 0);

/** The result of a shell; standard output as bytes. */
export interface Session {
  readonly stdout: Buffer;
  readonly stderr: string;
  readonly exitCode: number | undefined;
}

/** Runs a script with `-c`. */
export async function runScript(
  { command }: RealShell,
  script: string,
  env: Readonly<Record<string, string>> = {},
): Promise<Session> {
  return session([...command, '-c', script], env, '/dev/null');
}

/** Feeds lines to an interactive shell, which expands aliases. */
export async function typeInto(
  { command }: RealShell,
  lines: readonly string[],
  env: Readonly<Record<string, string>> = {},
  cwd = '/',
): Promise<Session> {
  // From a file, because Node makes its pipes of sockets, from which fish reads no script.
  const scratch = makeScratch();
  const input = join(scratch.path, 'typed');
  writeFileSync(input, `${[...lines, 'exit'].join('\n')}\n`);
  try {
    return await session([...command, '-i'], env, input, cwd);
  } finally {
    await scratch.remove();
  }
}

/** The line of a start-up file that evaluates another file. */
export function takeIn({ dialect }: RealShell, file: string): string {
  return dialect === 'fish'
    ? `cat ${quoteForFish(file)} | source`
    : `eval "$(cat ${quoteForSh(file)})"`;
}

async function session(
  command: readonly string[],
  env: Readonly<Record<string, string>>,
  input: string,
  cwd = '/',
): Promise<Session> {
  const { stdout, stderr, exitCode } = await execa(
    'sh',
    ['-c', 'exec "$@" <"$0"', input, ...command],
    { reject: false, encoding: 'buffer', stripFinalNewline: false, env, cwd, stdin: 'ignore' },
  );
  return { stdout: Buffer.from(stdout), stderr: Buffer.from(stderr).toString(), exitCode };
}
