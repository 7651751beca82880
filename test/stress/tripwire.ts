import { execFileSync, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const source = fileURLToPath(new URL('tripwire/tripwire.c', import.meta.url));
const bin = fileURLToPath(new URL('../../dist/bin.js', import.meta.url));

/** One system call of a run that changes the disk; its first three facts find it in another run. */
export interface Point {
  /** The names of the processes that lead to the caller, such as `node/rsync/rsync`. */
  readonly chain: string;
  /** Such as `renameat`. */
  readonly call: string;
  /** The how-many-eth such call of the chain, from 1. */
  readonly n: number;
  /** What it is done to, for people; `FROM -> TO` where there are two. */
  readonly path: string;
}

/** What happens at the point, before its call is carried out: see tripwire.c. */
export type Action = 'kill-tree' | 'kill-process' | 'orphan' | 'stop-process' | 'stop-tree';

/** How the traced program ended. */
export interface TracedResult {
  readonly stdout: string;
  readonly stderr: string;
  /** 128 + the signal's number where a signal ended it; 125 where tripwire itself failed. */
  readonly exitCode: number;
  /** Whether the run came to the point. */
  readonly reached: boolean;
}

/** A program that runs under the tripwire. */
export interface TracedRun {
  /** Settles when the point is reached (true), or when all has ended without it (false). */
  readonly reached: Promise<boolean>;
  /** Settles when the last process of the tree has ended. */
  readonly result: Promise<TracedResult>;
  /** Names of the processes of the tree that still live, stopped and held ones included. */
  alive(): string[];
  /** Lets go what is stopped or held. */
  release(): void;
  /** Ends tripwire, and the kernel everything that runs under it. */
  end(): Promise<void>;
}

/** Puts a command line into another that runs it, such as one of `unshare`. */
export type Through = (command: readonly string[]) => readonly string[];

/** What becomes of a run; without `at` it goes to its end. */
interface TracedOptions {
  readonly at?: Point;
  /** What happens there. */
  readonly action?: Action;
  readonly through?: Through;
}

/** Starts programs under the tripwire. */
export interface Tripwire {
  /** Runs `mirrorlatch ARGUMENTS`. */
  start(args: readonly string[], options?: TracedOptions): TracedRun;
  /** Runs `mirrorlatch ARGUMENTS` to an end that has to be good; its points in order. */
  points(args: readonly string[], through?: Through): Promise<readonly Point[]>;
}

/** Compiles tripwire into `directory`, which also takes its logs. */
export function makeTripwire(directory: string): Tripwire {
  const program = join(directory, 'tripwire');
  execFileSync('cc', ['-std=gnu17', '-O1', '-Wall', '-Wextra', '-Werror', '-o', program, source]);
  let runs = 0;
  const run = (
    args: readonly string[],
    { at, action = 'kill-tree', through = (command) => command }: TracedOptions,
    log: string,
  ): TracedRun => {
    const point = at && ['--at', at.chain, at.call, String(at.n), '--then', action];
    const command = through([process.execPath, bin, ...args]);
    return observe(
      spawn(program, ['--log', log, ...(point ?? []), '--', ...command], {
        stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
      }),
    );
  };
  return {
    start: (args, options = {}) => run(args, options, '/dev/null'),
    points: async (args, through) => {
      runs += 1;
      const log = join(directory, `points-${runs}.log`);
      const traced = run(args, through === undefined ? {} : { through }, log);
      const { exitCode, stdout, stderr } = await traced.result;
      if (exitCode !== 0) {
        throw new Error(`${args.join(' ')} ended with ${exitCode}: ${stdout}${stderr}`);
      }
      return parsePoints(readFileSync(log, 'latin1'));
    },
  };
}

function observe(subprocess: ReturnType<typeof spawn>): TracedRun {
  const collect = (index: 1 | 2 | 3) => {
    let text = '';
    subprocess.stdio[index]?.on('data', (chunk: Buffer) => {
      text += chunk.toString('utf8');
    });
    return () => text;
  };
  const [stdout, stderr, report] = [collect(1), collect(2), collect(3)];
  const result = new Promise<TracedResult>((resolve, reject) => {
    subprocess.once('error', reject);
    subprocess.once('close', (code, signal) => {
      resolve({
        stdout: stdout(),
        stderr: stderr(),
        exitCode: code ?? 128 + (signal === null ? 0 : constants.signals[signal]),
        reached: report() !== '',
      });
    });
  });
  const reached = new Promise<boolean>((resolve) => {
    subprocess.stdio[3]?.once('data', () => resolve(true));
    result.then(
      (end) => resolve(end.reached),
      () => resolve(false),
    );
  });
  return {
    reached,
    result,
    alive: () => tracedBy(subprocess.pid),
    release: () => void subprocess.kill('SIGUSR1'),
    end: async () => {
      subprocess.kill('SIGKILL');
      await result;
    },
  };
}

/** By proc(5), /proc/pid/status: an orphan has another parent, but its tracer still. */
function tracedBy(tracer: number | undefined): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      const status = textOf(`/proc/${pid}/status`);
      const isTraced = status.includes(`\nTracerPid:\t${tracer}\n`);
      return isTraced && !/^State:\tZ/m.test(status) ? textOf(`/proc/${pid}/comm`).trimEnd() : [];
    });
}

/** Nothing when the process has ended meanwhile. */
function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function parsePoints(log: string): Point[] {
  return log
    .split('\n')
    .slice(0, -1)
    .map((line) => {
      const [, chain = '', call = '', n = '', path = ''] = line.split('\t');
      return { chain, call, n: Number(n), path };
    });
}

/** A point in words, for messages. */
export function pointText({ chain, call, n, path }: Point): string {
  return `${chain}: ${call} ${n} of ${path}`;
}
