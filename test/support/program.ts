import { fileURLToPath } from 'node:url';
import { execa, execaSync } from 'execa';
import { nobody, runsAsRoot, type User } from './privilege.ts';

const bin = fileURLToPath(new URL('../../dist/bin.js', import.meta.url));

/** How the program is started; the defaults are those of the test's own process. */
export interface ProgramOptions {
  readonly cwd?: string;
  /** Added to the test's environment; `undefined` removes a variable. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** The user to run as, which needs root. See `nobodyRunsTheProgram`. */
  readonly user?: User;
  /** The file mode creation mask in octal, such as `000`. */
  readonly umask?: string;
  /** Makes it the leader of its own process group, as a shell starts a job. */
  readonly ownGroup?: boolean;
}

/** The result of a process that has ended. */
export interface ProgramResult {
  readonly command: string;
  readonly stdout: string;
  readonly stderr: string;
  /** `undefined` if a signal ended it. */
  readonly exitCode: number | undefined;
  readonly signal: string | undefined;
  /** Parses the object that `--json` printed; throws with the whole output if it is no JSON. */
  json(): Record<string, unknown>;
}

/** A running program. */
export interface RunningProgram {
  readonly pid: number;
  readonly result: Promise<ProgramResult>;
  kill(signal: NodeJS.Signals): void;
  /** Its standard error so far. */
  saidSoFar(): string;
}

/** True if `nobody` can execute Node and read the built program, as in no private home. */
export const nobodyRunsTheProgram =
  runsAsRoot &&
  execaSync(process.execPath, ['-e', 'fs.accessSync(process.argv[1], 4)', bin], {
    ...nobody,
    cwd: '/',
    reject: false,
    env: { HOME: '/' },
  }).exitCode === 0;

/** Starts `mirrorlatch ARGUMENTS`. */
export function startProgram(
  args: readonly string[],
  options: ProgramOptions = {},
): RunningProgram {
  const node = [process.execPath, bin, ...args];
  const [file = '', ...rest] =
    options.umask === undefined
      ? node
      : ['sh', '-c', `umask ${options.umask} && exec "$@"`, 'sh', ...node];
  const subprocess = execa(file, rest, {
    reject: false,
    stdin: 'ignore',
    stripFinalNewline: false,
    maxBuffer: 256 * 1024 * 1024,
    detached: options.ownGroup ?? false,
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.env === undefined ? {} : { env: options.env }),
    ...(options.user === undefined ? {} : { ...options.user, cwd: options.cwd ?? '/' }),
  });
  let said = '';
  subprocess.stderr.on('data', (chunk: Buffer | string) => {
    said += chunk.toString();
  });
  const command = ['mirrorlatch', ...args].join(' ');
  if (subprocess.pid === undefined) throw new Error(`${command} could not be started`);
  return {
    pid: subprocess.pid,
    kill: (signal) => {
      subprocess.kill(signal);
    },
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

/** Runs `mirrorlatch ARGUMENTS` to its end; does not throw if it fails. */
export function runProgram(
  args: readonly string[],
  options: ProgramOptions = {},
): Promise<ProgramResult> {
  return startProgram(args, options).result;
}

/** Runs `mirrorlatch ARGUMENTS --json` and returns the printed object; throws if it fails. */
export async function runForJson(
  args: readonly string[],
  options: ProgramOptions = {},
): Promise<Record<string, unknown>> {
  const [own, rsync] = splitAtDoubleDash(args);
  const result = await runProgram([...own, '--json', ...rsync], options);
  if (result.exitCode !== 0) throw new Error(transcript(result));
  return result.json();
}

/** Describes a run for the message of a failing test. */
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
