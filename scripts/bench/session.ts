import { execFile, execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync } from 'node:fs';
import { cpus, loadavg, totalmem } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { promisify } from 'node:util';

/**
 * Runs a bench in a temporary directory below `work`, which is removed at the end. SIGINT, SIGTERM
 * and SIGHUP abort the bench, so the directory is removed then too.
 */
export async function inDirectory(
  work: string,
  bench: (directory: string, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const interrupt = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => interrupt.abort(new Error(`ended by ${name}`)));
  }
  const directory = mkdtempSync(join(work, 'mirrorlatch-bench-'));
  try {
    await bench(directory, interrupt.signal);
  } finally {
    await remove(directory);
  }
}

/** Runs `main`; an error becomes one line on standard error and exit code 1. */
export async function reportFailure(main: () => Promise<void>): Promise<void> {
  try {
    await main();
  } catch (error) {
    say(`bench: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = 1;
  }
}

/** @throws Error that names the Debian package of the first missing program. */
export function needPrograms(packages: Readonly<Record<string, string>>): void {
  for (const [program, packageName] of Object.entries(packages)) {
    if (!isInstalled(program))
      throw new Error(`${program} is not installed: apt-get install ${packageName}`);
  }
}

export function isInstalled(program: string): boolean {
  return spawnSync('sh', ['-c', 'command -v "$1"', 'sh', program]).status === 0;
}

/** Describes the machine on which the figures were measured. */
export function machine(work: string) {
  return {
    date: new Date().toISOString(),
    processors: cpus().map(({ model }) => model),
    memoryBytes: totalmem(),
    kernel: readFileSync('/proc/sys/kernel/osrelease', 'utf8').trim(),
    node: process.version,
    filesystem: execFileSync('stat', ['-f', '-c', '%T', work], { encoding: 'utf8' }).trim(),
    load: loadavg(),
  };
}

/** Unmounts what is mounted in it first. rm(1) is faster than Node, and lets signals be handled meanwhile. */
export async function remove(path: string): Promise<void> {
  for (const mount of mountsBelow(path)) await unmount(mount);
  await promisify(execFile)('rm', ['-rf', '--', path]);
}

/** What an aborted run has left may still be ending there. */
async function unmount(point: string): Promise<void> {
  for (let attempt = 0; attempt < 50; attempt++) {
    if (spawnSync('umount', ['--', point], { stdio: 'ignore' }).status === 0) return;
    await setTimeout(100);
  }
  await promisify(execFile)('umount', ['--lazy', '--', point]);
}

/** The mount points below `path`, the last one first. */
function mountsBelow(path: string): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((point) => point.startsWith(`${path}/`))
    .reverse();
}

export function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
