import { execa, execaSync, type Options } from 'execa';
import { onTestFinished } from 'vitest';
import { nobody, runsAsRoot, type User } from './privilege.ts';
import { bin, launcher } from './project.ts';

/** How the program is started; everything left out is as in the test's own process. */
export interface ProgramOptions {
  readonly cwd?: string;
  /** Added to the test's environment; `undefined` takes a variable out of it. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Runs as this user, which needs root. See `nobodyRunsTheProgram`. */
  readonly user?: User;
  /** The file mode creation mask, octal such as `000`. */
  readonly umask?: string;
  /** A prefix of the whole command line, such as `unshare --mount`. */
  readonly through?: readonly string[];
  /** By the launcher, as users start it, instead of by Node. */
  readonly byLauncher?: boolean;
  /** Leads a process group of its own, as a shell starts it at a terminal. */
  readonly ownGroup?: boolean;
}

/** What is left of a process that has ended. */
export interface ProgramResult {
  readonly command: string;
  readonly stdout: string;
  readonly stderr: string;
  /** `undefined` when a signal ended it. */
  readonly exitCode: number | undefined;
  readonly signal: string | undefined;
  /** The object that `--json` printed; throws with the whole output when stdout is none. */
  json(): Record<string, unknown>;
}

/** A started program. */
export interface RunningProgram {
  readonly pid: number;
  readonly result: Promise<ProgramResult>;
  kill(signal: NodeJS.Signals): void;
  /** Its standard output so far. */
  printedSoFar(): string;
  /** Its standard error so far. */
  saidSoFar(): string;
}

/** True when `nobody` can read the built program and execute Node: not so in a private home. */
export const nobodyRunsTheProgram =
  runsAsRoot &&
  execaSync(process.execPath, ['-e', 'fs.accessSync(process.argv[1], 4)', bin], {
    ...nobody,
    cwd: '/',
    reject: false,
    env: { HOME: '/' },
  }).exitCode === 0;

/** Starts `mirrorlatch ARGUMENTS` as a process of its own and gives it back while it runs. */
export function startProgram(
  args: readonly string[],
  options: ProgramOptions = {},
): RunningProgram {
  const { through = [] } = options;
  const node = [...(options.byLauncher ? [launcher] : [process.execPath, bin]), ...args];
  const words =
    options.umask === undefined
      ? [...through, ...node]
      : [...through, 'sh', '-c', `umask ${options.umask} && exec "$@"`, 'sh', ...node];
  return startProcess(words, {
    command: ['mirrorlatch', ...args].join(' '),
    maxBuffer: 256 * 1024 * 1024,
    detached: options.ownGroup ?? false,
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.env === undefined ? {} : { env: options.env }),
    ...(options.user === undefined ? {} : { ...options.user, cwd: options.cwd ?? '/' }),
  });
}

type ProcessOptions = Pick<Options, 'cwd' | 'env' | 'uid' | 'gid' | 'detached' | 'maxBuffer'> & {
  command?: string;
};

/** Starts any command line; `command` is what to call it in messages. */
export function startProcess(
  words: readonly string[],
  { command = words.join(' '), ...options }: ProcessOptions = {},
): RunningProgram {
  const [file = '', ...args] = words;
  const subprocess = execa(file, args, {
    ...options,
    reject: false,
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
    stripFinalNewline: false,
  });
  let printed = '';
  let said = '';
  subprocess.stdout.on('data', (chunk: Buffer | string) => {
    printed += chunk.toString();
  });
  subprocess.stderr.on('data', (chunk: Buffer | string) => {
    said += chunk.toString();
  });
  if (subprocess.pid === undefined) throw new Error(`${command} could not be started`);
  return {
    pid: subprocess.pid,
    kill: (signal) => {
      subprocess.kill(signal);
    },
    printedSoFar: () => printed,
    saidSoFar: () => said,
    result: subprocess.then(({ stdout, stderr, exitCode, signal }) => ({
      command,
      stdout,
      stderr,
      exitCode,
      signal,
      json: () => parseObject(command, stdout, stderr),
    })),
  };
}

/**
 * Ends the program with the running test, and waits until it is gone: one that still tidies up
 * writes into the scratch directory that is being removed.
 */
export function endWithTest(program: RunningProgram, signal: NodeJS.Signals = 'SIGKILL'): void {
  onTestFinished(async () => {
    program.kill(signal);
    await program.result;
  });
}

/** Runs `mirrorlatch ARGUMENTS` to its end, whatever that is. */
export function runProgram(
  args: readonly string[],
  options: ProgramOptions = {},
): Promise<ProgramResult> {
  return startProgram(args, options).result;
}

/** Runs `mirrorlatch ARGUMENTS --json` that has to end with 0, and returns the object printed. */
export async function runForJson(
  args: readonly string[],
  options: ProgramOptions = {},
): Promise<Record<string, unknown>> {
  const [own, rsync] = splitAtDoubleDash(args);
  const result = await runProgram([...own, '--json', ...rsync], options);
  if (result.exitCode !== 0) throw new Error(transcript(result));
  return result.json();
}

/** Everything about a run, for the message of a failing test. */
export function transcript(result: ProgramResult): string {
  const end = result.signal ?? `exit code ${result.exitCode}`;
  return `${result.command}\nended by ${end}\nstdout: ${result.stdout}\nstderr: ${result.stderr}`;
}

function splitAtDoubleDash(args: readonly string[]): [readonly string[], readonly string[]] {
  const dashes = args.indexOf('--');
  return dashes === -1 ? [args, []] : [args.slice(0, dashes), args.slice(dashes)];
}

function parseObject(command: string, stdout: string, stderr: string): Record<string, unknown> {
  try {
    return JSON.parse(stdout) as Record<string, unknown>;
  } catch (cause) {
    throw new Error(`${command} printed no JSON: ${stdout}\nstderr: ${stderr}`, { cause });
  }
}
