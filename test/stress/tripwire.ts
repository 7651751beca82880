import { execFileSync, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bin } from '../support/project.ts';

const source = fileURLToPath(new URL('tripwire/tripwire.c', import.meta.url));

/** A system call that changes the disk. `chain`, `call` and `n` identify it in another run. */
export interface Point {
  /** The process names from the root to the caller, such as `mirrorlatch/rsync/rsync`. */
  readonly chain: string;
  /** The name of the call, such as `renameat`. */
  readonly call: string;
  /** Counts such calls of the chain, from 1. */
  readonly n: number;
  /** The path, for messages; `FROM -> TO` if there are two. */
  readonly path: string;
}

/** What happens at the point before its call is executed: see tripwire.c. */
export type Action = 'kill-tree' | 'kill-process' | 'orphan' | 'stop-process' | 'stop-tree';

/** How the traced program ended. */
export interface TracedResult {
  readonly stdout: string;
  readonly stderr: string;
  /** 128 plus the number of the signal that ended it; 125 if tripwire itself failed. */
  readonly exitCode: number;
  /** Whether the run reached the point. */
  readonly reached: boolean;
}

/** A program that runs under the tripwire. */
export interface TracedRun {
  /** Resolves to true when the point is reached, to false when the run ends without reaching it. */
  readonly reached: Promise<boolean>;
  /** Resolves when the last process of the tree has ended. */
  readonly result: Promise<TracedResult>;
  /** The names of the live processes of the tree, including stopped and held ones. */
  alive(): string[];
  /** Continues stopped and held processes. */
  release(): void;
  /** Kills tripwire, whereupon the kernel kills everything that runs under it. */
  end(): Promise<void>;
}

/** Wraps a command line in another one that runs it, such as `unshare`. */
export type Through = (command: readonly string[]) => readonly string[];

/** Where to act on a run, and how; without `at` it runs to its end. */
interface TracedOptions {
  readonly at?: Point;
  /** Default: `kill-tree`. */
  readonly action?: Action;
  readonly through?: Through;
}

/** Starts programs under the tripwire. */
export interface Tripwire {
  /** Runs `mirrorlatch ARGUMENTS`. */
  start(args: readonly string[], options?: TracedOptions): TracedRun;
  /** Runs `mirrorlatch ARGUMENTS` to its end; returns its points in order. Throws if it fails. */
  points(args: readonly string[], through?: Through): Promise<readonly Point[]>;
}

/** Compiles tripwire into `directory`, which also gets its logs. */
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

/** Finds processes by TracerPid in /proc/pid/status (proc(5)), which orphans keep. */
function tracedBy(tracer: number | undefined): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      const status = textOf(`/proc/${pid}/status`);
      const isTraced = status.includes(`\nTracerPid:\t${tracer}\n`);
      return isTraced && !/^State:\tZ/m.test(status) ? textOf(`/proc/${pid}/comm`).trimEnd() : [];
    });
}

/** The text of a file, empty if the process has ended meanwhile. */
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

/** Describes a point in messages. */
export function pointText({ chain, call, n, path }: Point): string {
  return `${chain}: ${call} ${n} of ${path}`;
}
