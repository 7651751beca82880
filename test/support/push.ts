import { chmodSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ProgramResult } from './program.ts';
import { type ProgramOptions, type RunningProgram, runProgram, startProgram } from './program.ts';
import { bin } from './project.ts';
import type { SmallMirror } from './small-mirror.ts';
import type { SshDaemon } from './sshd.ts';

/** The value of `--remote-program` in the tests, which do not install the program. */
export const remoteProgram = `${process.execPath} '${bin}'`;

/** Deviations from an ordinary push. */
export interface PushTestOptions {
  /** Default: `HOST:ROOT`. */
  readonly destination?: string;
  /** Options of mirrorlatch. */
  readonly words?: readonly string[];
  /** Options of rsync. */
  readonly rsync?: readonly string[];
  /** Default: the daemon's own. */
  readonly remoteShell?: string;
  readonly program?: ProgramOptions;
}

/**
 * Starts a push of a small mirror's source to its root over real ssh.
 */
export function startPush(
  sshd: SshDaemon,
  { source, root }: SmallMirror,
  options: PushTestOptions = {},
): RunningProgram {
  const { destination = `${sshd.host}:${root}`, words = [], rsync = [] } = options;
  const shell = options.remoteShell ?? sshd.remoteShell;
  return startProgram(
    [
      'sync',
      source,
      destination,
      ...(words.includes('--remote-program') ? [] : ['--remote-program', remoteProgram]),
      ...words,
      '--',
      '-e',
      shell,
      ...rsync,
    ],
    options.program,
  );
}

/** Runs such a push to its end. */
export function runPush(
  sshd: SshDaemon,
  mirror: SmallMirror,
  options: PushTestOptions = {},
): Promise<ProgramResult> {
  return startPush(sshd, mirror, options).result;
}

/** A remote shell that counts the bytes that it sends to the other host. */
export function countingShell(
  sshd: SshDaemon,
  directory: string,
): { readonly shell: string; sent(): number } {
  const path = join(directory, 'counting-shell');
  const log = `${path}.sent`;
  writeFileSync(log, '');
  writeFileSync(path, `#!/bin/sh\ntee -a '${log}' | ${sshd.remoteShell} "$@"\n`);
  chmodSync(path, 0o755);
  return { shell: path, sent: () => statSync(log).size };
}

/** The pids of all running pushes to one ROOT. */
export interface PushProcesses {
  /** The processes of `mirrorlatch receive`. */
  readonly receivers: readonly number[];
  /** The processes of sshd for the sessions. */
  readonly sessions: readonly number[];
  /** The processes of ssh(1). */
  readonly clients: readonly number[];
}

/** Finds these processes by their command lines and their parents. */
export function pushProcesses(root: string): PushProcesses {
  const named = processes().filter(({ words }) => words.some((word) => word.includes(root)));
  const receivers = named.filter(({ words }) => words[2] === 'receive').map(({ pid }) => pid);
  const clients = named.filter(({ words }) => words[0] === 'ssh').map(({ pid }) => pid);
  return { receivers, clients, sessions: receivers.flatMap(sessionAbove) };
}

/** The status of a mirror, whatever the exit code, which is not 0 after an interrupted sync. */
export async function statusOf(root: string): Promise<Record<string, unknown>> {
  return (await runProgram(['status', root, '--json'])).json();
}

function sessionAbove(pid: number): number[] {
  for (let above = parentOf(pid); above > 1; above = parentOf(above)) {
    if (commandOf(above).startsWith('sshd: ')) return [above];
  }
  return [];
}

function processes(): { pid: number; words: string[] }[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => ({ pid: Number(name), words: commandOf(Number(name)).split('\0') }));
}

function commandOf(pid: number): string {
  return ifRunning(() => readFileSync(`/proc/${pid}/cmdline`, 'utf8')) ?? '';
}

function parentOf(pid: number): number {
  const status = ifRunning(() => readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(/^PPid:\s*(\d+)$/m.exec(status ?? '')?.[1] ?? 0);
}

function ifRunning<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch {
    return undefined;
  }
}
