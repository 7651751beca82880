import { isUtf8 } from 'node:buffer';
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { constants as access, accessSync, readFileSync, statSync } from 'node:fs';
import { constants } from 'node:os';
import { errnoOf, MirrorlatchError } from '../errors.ts';
import { callersPath } from './callers-path.ts';
import { traceChild } from './debug.ts';
import { readTextIfThere } from './files.ts';
import { ignoredSignals, SIGNALS_OF_A_USER, withIgnoredSignals } from './ignored-signals.ts';
import type { JobEnd } from './job.ts';
import { withCallersUmask } from './umask.ts';

export interface ForegroundOptions {
  /** Descriptors that the command and its children inherit as 3, 4, …: this hands locks on. */
  inherit: readonly number[];
  /** Variables to add to its environment; those that are undefined are taken out of it. */
  env: Readonly<Record<string, string | undefined>>;
  /** Ends it and its `family`: by SIGTERM, and by SIGKILL if they are still there 10 s later. */
  signal: AbortSignal;
  /** The processes that it has started, as far as they can be found. */
  family: () => number[];
}

const PASSED_ON = SIGNALS_OF_A_USER.filter((name) => !ignoredSignals.includes(name));

/** A sender may signal us and the command in turn; within this time, both count as one signal. */
const SETTLE_MS = 50;

const PATIENCE_MS = 10_000;

/**
 * Runs a program for the user as if it were this process: with our standard streams, terminal and
 * working directory, and in our process group, so that Ctrl-C, Ctrl-Z and job control reach both. It
 * goes on if we are killed.
 *
 * @param words the program and its arguments, byte for byte.
 * @throws MirrorlatchError COMMAND_NOT_FOUND or COMMAND_NOT_EXECUTABLE.
 */
export async function runInForeground(
  words: readonly Buffer[],
  { inherit, env, signal, family }: ForegroundOptions,
): Promise<JobEnd> {
  const environment = { ...process.env, PATH: callersPath, ...env };
  const [program, args] = withIgnoredSignals(...spawnable(words, env), environment);
  const sentinel = new Sentinel();
  const settling = new Map<NodeJS.Signals, NodeJS.Timeout>();
  let child: ChildProcess | undefined;
  const passOn = (name: NodeJS.Signals): void => {
    if (settling.has(name)) return;
    const decide = (): void => {
      settling.delete(name);
      if (sentinel.got(name)) sentinel.renew();
      else child?.kill(name);
    };
    settling.set(name, setTimeout(decide, SETTLE_MS));
  };
  let impatience: NodeJS.Timeout | undefined;
  const end = (): void => {
    const all = [...(child?.pid === undefined ? [] : [child.pid]), ...family()];
    for (const name of ['SIGTERM', 'SIGCONT'] as const) kill(all, name);
    impatience = setTimeout(() => kill([...all.slice(0, 1), ...family()], 'SIGKILL'), PATIENCE_MS);
  };
  for (const name of PASSED_ON) process.on(name, passOn);
  signal.addEventListener('abort', end);
  try {
    return await new Promise<JobEnd>((resolve, reject) => {
      const options: SpawnOptions = {
        stdio: ['inherit', 'inherit', 'inherit', ...inherit],
        env: environment,
      };
      child = withCallersUmask(() => spawn(program, args, options));
      traceChild(child, String(words[0]), words.slice(1).map(String));
      child.once('exit', (exitCode, endedBy) => resolve({ exitCode, signal: endedBy }));
      child.once('error', reject);
      if (signal.aborted) end();
    });
  } catch (cause) {
    throw notRun(words[0], errnoOf(cause) === 'ENOENT', cause);
  } finally {
    signal.removeEventListener('abort', end);
    clearTimeout(impatience);
    for (const name of PASSED_ON) process.off(name, passOn);
    for (const timer of settling.values()) clearTimeout(timer);
    sentinel.dismiss();
  }
}

/**
 * Finds out in advance whether execvp(3) would fail.
 *
 * @throws MirrorlatchError COMMAND_NOT_FOUND or COMMAND_NOT_EXECUTABLE.
 */
export function checkProgram(word: Buffer): void {
  const directories = (callersPath ?? '/bin:/usr/bin').split(':');
  const files = word.includes('/')
    ? [word]
    : directories.map((path) => Buffer.concat([Buffer.from(`${path || '.'}/`), word]));
  const found = word.length === 0 ? [] : files.filter((file) => canSay(() => statSync(file)));
  const isExecutable = (file: Buffer): boolean =>
    canSay(() => accessSync(file, access.X_OK)) && !statSync(file).isDirectory();
  if (!found.some(isExecutable)) throw notRun(word, found.length === 0);
}

/** A program's name for messages: without its directory, and on one line. */
export function programName([word]: readonly Buffer[]): string {
  const text = onOneLine(word);
  return text.slice(text.lastIndexOf('/') + 1);
}

function onOneLine(word: Buffer = Buffer.alloc(0)): string {
  return word.toString('utf8').replaceAll(/[\p{Cc}\uFFFD]/gu, '?');
}

/**
 * An idle process of our group. A signal that has reached it too was sent to the whole group, as a
 * terminal does, so the command has it already. It is cat(1), which ends when its pipe from us closes.
 */
class Sentinel {
  #process = this.#start();

  got(signal: NodeJS.Signals): boolean {
    const { pid, exitCode, signalCode } = this.#process;
    if (pid === undefined || exitCode !== null || signalCode !== null) return true;
    const status = readTextIfThere(`/proc/${pid}/status`) ?? '';
    const bit = 1n << BigInt(constants.signals[signal] - 1);
    const pending = [...status.matchAll(/^S(?:ig|hd)Pnd:\s*([0-9a-f]+)$/gm)].some(
      ([, mask]) => (BigInt(`0x${mask}`) & bit) !== 0n,
    );
    return pending || !/^State:\s+[^ZX]/m.test(status);
  }

  renew(): void {
    this.dismiss();
    this.#process = this.#start();
  }

  dismiss(): void {
    this.#process.kill('SIGKILL');
  }

  #start(): ChildProcess {
    const sentinel = startSentinel();
    // It may be too young to ignore a signal yet. Dead, it would seem to have got every later one.
    sentinel.once('exit', (_, endedBy) => {
      if (endedBy !== null && ignoredSignals.includes(endedBy)) this.renew();
    });
    return sentinel;
  }
}

function startSentinel(): ChildProcess {
  const sentinel = spawn(...withIgnoredSignals('cat', []), {
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  traceChild(sentinel, 'cat', []);
  // If it cannot be started, no signal is passed on: the command gets none twice.
  sentinel.on('error', () => {});
  sentinel.stdin.on('error', () => {});
  return sentinel;
}

/**
 * Node decodes arguments and the environment as UTF-8 and replaces invalid bytes. If there are any, a
 * shell restores them from octal escapes and then executes the command.
 */
function spawnable(
  words: readonly Buffer[],
  replaced: ForegroundOptions['env'],
): [string, string[]] {
  const variables = ownEnvironment()
    .filter((variable) => !isUtf8(variable))
    .filter((variable) => !(variable.toString('latin1').replace(/=.*/s, '') in replaced));
  if (words.every(isUtf8) && variables.length === 0) {
    const [program = '', ...args] = words.map(String);
    return [program, args];
  }
  const lines: string[] = [];
  const assign = (name: string, bytes: Buffer): void => {
    const octal = [...bytes].map((byte) => `\\${byte.toString(8).padStart(3, '0')}`).join('');
    // A command substitution strips trailing newlines.
    lines.push(`${name}=$(printf '${octal}x')`, `${name}=\${${name}%x}`);
  };
  for (const variable of variables) {
    const equals = variable.indexOf('=');
    const name = variable.toString('latin1', 0, equals);
    if (!/^[A-Za-z_]\w*$/.test(name)) continue;
    assign(name, variable.subarray(equals + 1));
    lines.push(`export ${name}`);
  }
  const refer = words.map((word, index) => {
    if (isUtf8(word)) return `"\${${index + 1}}"`;
    assign(`ml_${index}`, word);
    return `"$ml_${index}"`;
  });
  const script = [...lines, `exec ${refer.join(' ')}`].join('\n');
  return [
    '/bin/sh',
    ['-c', script, 'sh', ...words.map((word) => (isUtf8(word) ? String(word) : ''))],
  ];
}

/** The environment as the caller set it, byte for byte. See `callersPath`. */
function ownEnvironment(): Buffer[] {
  const block = readFileSync('/proc/self/environ', { encoding: 'latin1' });
  const all = block.split('\0');
  const isGiven = all.some((variable) => variable.startsWith('ml_path='));
  return all
    .filter((variable) => !(isGiven && variable.startsWith('PATH=')))
    .map((variable) => Buffer.from(variable.replace(/^ml_path=/, 'PATH='), 'latin1'));
}

function kill(pids: readonly number[], signal: NodeJS.Signals): void {
  for (const pid of pids) {
    // It may have ended meanwhile, or belong to another user.
    canSay(() => process.kill(pid, signal));
  }
}

function canSay(ask: () => unknown): boolean {
  try {
    ask();
    return true;
  } catch {
    return false;
  }
}

function notRun(word: Buffer | undefined, isMissing: boolean, cause?: unknown): MirrorlatchError {
  const shown = JSON.stringify(onOneLine(word));
  return isMissing
    ? new MirrorlatchError('COMMAND_NOT_FOUND', `the command ${shown} was not found`, { cause })
    : new MirrorlatchError('COMMAND_NOT_EXECUTABLE', `the command ${shown} cannot be executed`, {
        cause,
      });
}
