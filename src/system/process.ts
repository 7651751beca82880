import { constants as access, accessSync } from 'node:fs';
import { constants } from 'node:os';
import { type Duplex, PassThrough, type Readable } from 'node:stream';
import { execa, type Options } from 'execa';
import { cannotStart, tied } from './child.ts';
import { traceChild } from './debug.ts';
import { ownProgramsLeaveTheTerminal } from './ignored-signals.ts';
import { ownProgram } from './own-program.ts';

/** The number that the first descriptor of `inherit` has in the child. */
export const FIRST_INHERITED = 3;

export interface ChildOptions {
  /** Descriptors that the child and its own children inherit as 3, 4, …: this hands locks on. */
  inherit?: readonly number[];
  /** Ends the child by SIGTERM, and by SIGKILL if it is still there 10 s later. */
  signal?: AbortSignal | undefined;
  cwd?: string;
  /** Added to our own environment. */
  env?: Readonly<Record<string, string>> | undefined;
  /** Its standard input; by default nothing. */
  input?: Uint8Array | undefined;
  /** Called with each chunk of standard output, in order. Without it, the output is collected. */
  onStdout?: (chunk: Buffer) => void;
  /** Instead: called once with standard output, which has to be read to its end, at any pace. */
  onOutput?: (output: Readable) => void;
  onStderr?: (chunk: Buffer) => void;
  /** The child does not outlive this process, see `tied`. */
  endWithParent?: boolean;
  /**
   * Called with our end of one more socket. The child has the other end, as the next descriptor after
   * those of `inherit`, and hands it on to its own children: ours ends with the last of them.
   */
  onChannel?: ((channel: Duplex) => void) | undefined;
}

export interface ChildResult {
  /** The exit status, or 128 + the number of the signal, as in a shell. */
  exitCode: number;
  signal: NodeJS.Signals | undefined;
  stdout: string;
  stderr: string;
}

/**
 * Runs a program of our own, see `ownProgram`, to its end, without a shell and in the C locale. A non-zero exit status is a result,
 * not an error.
 *
 * @throws MirrorlatchError UNAVAILABLE if the program cannot be started.
 */
export async function runProgram(
  program: string,
  args: readonly string[],
  options: ChildOptions = {},
): Promise<ChildResult> {
  const {
    inherit = [],
    signal,
    cwd,
    env,
    input,
    onStdout,
    onOutput,
    onStderr,
    endWithParent = false,
    onChannel,
  } = options;
  const channel = FIRST_INHERITED + inherit.length;
  const own = ownProgram(program);
  const [file, words] = endWithParent ? tied(own, args) : [own, args];
  const child = execa(file, words, {
    stdio: [
      input ?? 'ignore',
      'pipe',
      'pipe',
      ...inherit,
      ...(onChannel ? ['pipe'] : []),
    ] as Options['stdio'],
    env: { ...env, LC_ALL: 'C' },
    encoding: 'buffer',
    buffer: {
      stdout: onStdout === undefined && onOutput === undefined,
      stderr: onStderr === undefined,
      ...(onChannel ? { [`fd${channel}`]: false } : {}),
    },
    stripFinalNewline: false,
    reject: false,
    detached: ownProgramsLeaveTheTerminal,
    forceKillAfterDelay: 10_000,
    cwd: cwd ?? enteredDirectory(),
    ...(signal === undefined ? {} : { cancelSignal: signal }),
  });
  traceChild(child, program, args);
  if (onStdout) child.stdout?.on('data', onStdout);
  // When a child exits, Node throws away what nobody has begun to read. Here somebody has.
  if (onOutput && child.stdout) onOutput(readAtLeisure(child.stdout));
  if (onStderr) child.stderr?.on('data', onStderr);
  const ourEnd = child.stdio[channel] as Duplex | null | undefined;
  if (onChannel && ourEnd) {
    // A write to a child that has ended is no error: its exit status says what happened.
    ourEnd.on('error', () => {});
    child.once('exit', () => ourEnd.end());
    onChannel(ourEnd);
  }
  const result = await child;
  if (result.exitCode === undefined && result.signal === undefined && !result.isCanceled) {
    throw cannotStart(endWithParent ? file : program, result.cause ?? result);
  }
  const endedBy = result.signal as NodeJS.Signals | undefined;
  return {
    exitCode: result.exitCode ?? 128 + (endedBy === undefined ? 15 : constants.signals[endedBy]),
    signal: endedBy,
    stdout: textOf(result.stdout),
    stderr: textOf(result.stderr),
  };
}

/** A stream that may be read when its writer has ended, and closes the pipe when it is destroyed. */
function readAtLeisure(pipe: Readable): Readable {
  const output = pipe.pipe(new PassThrough());
  output.once('close', () => pipe.destroy());
  return output;
}

/**
 * Our own working directory. Where this user may not enter it, as after `su` in the home directory of
 * root, a child could not begin in it, but no relative path leads anywhere either.
 */
function enteredDirectory(): string {
  try {
    accessSync('.', access.X_OK);
    return process.cwd();
  } catch {
    return '/';
  }
}

function textOf(bytes: unknown): string {
  return bytes instanceof Uint8Array ? Buffer.from(bytes).toString('utf8') : '';
}
