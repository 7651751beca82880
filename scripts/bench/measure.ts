import { spawn } from 'node:child_process';
import { closeSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { join } from 'node:path';

/** A program to measure. */
export interface Command {
  readonly file: string;
  readonly args: readonly string[];
}

/** The cost of one run. Times in milliseconds, memory in bytes. */
export interface Measurement {
  readonly wallMs: number;
  /** CPU time of the whole process tree, as is `systemMs`. */
  readonly userMs: number;
  readonly systemMs: number;
  /** Peak memory of the largest process of each name, sampled every 50 ms. */
  readonly peakBytes: Readonly<Record<string, number>>;
  /** Load average of the machine over one minute at the start. */
  readonly load: number;
  readonly stdout: string;
}

/**
 * Runs a command to its end and measures it.
 *
 * @param scratch a directory for temporary files
 * @throws Error with the command's output if it failed; the reason of `signal` if it was aborted
 */
export async function measure(
  command: Command,
  scratch: string,
  signal: AbortSignal,
): Promise<Measurement> {
  const stdoutPath = join(scratch, 'stdout');
  const stderrPath = join(scratch, 'stderr');
  const timesPath = join(scratch, 'times');
  const stdout = openSync(stdoutPath, 'w');
  const stderr = openSync(stderrPath, 'w');
  const [load = 0] = loadavg();
  const begun = performance.now();
  // The second line of `times` is the CPU time of the shell's ended descendants (POSIX sh).
  const script = 'times=$1; shift; "$@"; code=$?; times >"$times"; exit "$code"';
  const child = spawn('sh', ['-c', script, 'sh', timesPath, command.file, ...command.args], {
    stdio: ['ignore', stdout, stderr],
    detached: true,
  });
  const peakBytes: Record<string, number> = {};
  const watch = setInterval(() => notePeaks(child.pid, peakBytes), 50);
  const end = () => {
    if (child.pid !== undefined) process.kill(-child.pid);
  };
  signal.addEventListener('abort', end);
  try {
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', resolve);
    });
    const wallMs = performance.now() - begun;
    signal.throwIfAborted();
    if (code !== 0) {
      const said = `${readFileSync(stdoutPath, 'utf8').slice(-2000)}${readFileSync(stderrPath, 'utf8').slice(-2000)}`;
      throw new Error(`${command.file} ${command.args.join(' ')}\nended with ${code}:\n${said}`);
    }
    const [userMs, systemMs] = readTimes(readFileSync(timesPath, 'utf8'));
    return { wallMs, userMs, systemMs, peakBytes, load, stdout: readFileSync(stdoutPath, 'utf8') };
  } finally {
    clearInterval(watch);
    signal.removeEventListener('abort', end);
    closeSync(stdout);
    closeSync(stderr);
  }
}

/** Reads the second line, such as `0m1.250000s 0m0.310000s`, in milliseconds. */
function readTimes(times: string): [number, number] {
  const [user, system] = [...times.matchAll(/(\d+)m([\d.]+)s/g)]
    .slice(2)
    .map(([, minutes, seconds]) => (Number(minutes) * 60 + Number(seconds)) * 1000);
  if (user === undefined || system === undefined) throw new Error(`no times in ${times}`);
  return [user, system];
}

/** Raises `peaks` to the high-water marks (VmHWM) of `pid` and the processes below it. */
function notePeaks(pid: number | undefined, peaks: Record<string, number>): void {
  if (pid === undefined) return;
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    const name = /^Name:\s*(.+)$/m.exec(status)?.[1] ?? '';
    const bytes = Number(/^VmHWM:\s*(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024;
    peaks[name] = Math.max(peaks[name] ?? 0, bytes);
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      const children = readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8');
      for (const child of children.split(' ').filter(Boolean)) notePeaks(Number(child), peaks);
    }
  } catch {
    // The process has ended; its peak up to the previous sample is known.
  }
}

/**
 * Makes a Node program write its own exact high-water mark as it exits: nothing is sampled, and its
 * child processes do not count.
 */
export class OwnPeak {
  readonly #hook: string;
  readonly #figure: string;

  constructor(scratch: string) {
    this.#hook = join(scratch, 'own-peak.cjs');
    this.#figure = join(scratch, 'own-peak');
    writeFileSync(
      this.#hook,
      `const { readFileSync, writeFileSync } = require('node:fs');
      process.on('exit', () => {
        const status = readFileSync('/proc/self/status', 'utf8');
        writeFileSync(${JSON.stringify(this.#figure)}, /^VmHWM:\\s*(\\d+)/m.exec(status)[1]);
      });`,
    );
  }

  /** The command that starts `program` with the hook. */
  command(program: string, args: readonly string[]): Command {
    const options = `NODE_OPTIONS=--require ${JSON.stringify(this.#hook)}`;
    return { file: 'env', args: [options, program, ...args] };
  }

  /** The peak memory of the last run, in bytes. */
  take(): number {
    const bytes = Number(readFileSync(this.#figure, 'utf8')) * 1024;
    rmSync(this.#figure);
    return bytes;
  }
}
