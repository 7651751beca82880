import { spawnSync } from 'node:child_process';
import { constants } from 'node:os';
import { MirrorlatchError, NOTHING_PUBLISHED } from '../errors.ts';
import { ignoredSignals } from '../system/ignored-signals.ts';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * Aborts on the first SIGINT, SIGTERM or SIGHUP, so that rsync is ended, the lock released and
 * staging kept. A repeated signal ends the process at once. A signal that was ignored at the start stays ignored.
 *
 * @param arePassedOn whether signals are passed on to a child at this moment. Then a repeated signal
 *   is left to the child.
 */
export function abortOnSignals(arePassedOn: () => boolean = () => false): AbortSignal {
  const controller = new AbortController();
  for (const signal of SIGNALS.filter((name) => !ignoredSignals.includes(name))) {
    // The listener stays until the second signal: signal-exit, a dependency of execa and
    // proper-lockfile, ends the process if it finds no other listener.
    const listener = () => {
      if (controller.signal.reason?.code === signal && !arePassedOn()) {
        process.off(signal, listener);
        process.kill(process.pid, signal);
        return;
      }
      controller.abort(
        new MirrorlatchError(signal, `interrupted by ${signal}${NOTHING_PUBLISHED}`, {
          hint: 'What was transferred is kept, and the next sync continues with it.',
        }),
      );
    };
    process.on(signal, listener);
  }
  return controller.signal;
}

/**
 * What work comes to that changes nothing; undefined if one of these signals ended it, which needs no message.
 *
 * @param setExitCode see `CommandContext`.
 */
export async function unlessInterrupted<Result>(
  work: Promise<Result>,
  signal: AbortSignal,
  setExitCode: (code: number) => void,
): Promise<Result | undefined> {
  try {
    return await work;
  } catch (error) {
    if (error !== signal.reason || !(error instanceof MirrorlatchError)) throw error;
    setExitCode(error.exitCode);
    return undefined;
  }
}

/** Signals that dump core (signal(7)). The command has dumped its own; ours would be useless. */
const WITH_CORE: readonly NodeJS.Signals[] = [
  'SIGQUIT',
  'SIGILL',
  'SIGTRAP',
  'SIGABRT',
  'SIGBUS',
  'SIGFPE',
  'SIGSEGV',
  'SIGXCPU',
  'SIGXFSZ',
  'SIGSYS',
];

/**
 * Ends this process by a signal, with the signal's default action.
 *
 * @returns the shell's exit code for that signal, in case the process is still running.
 */
export function dieBy(signal: NodeJS.Signals): number {
  if (WITH_CORE.includes(signal)) spawnSync('prlimit', ['--core=0', `--pid=${process.pid}`]);
  if (signal !== 'SIGKILL') {
    process.removeAllListeners(signal);
    // Removing the last listener also removes Node's own handler, which SIGPIPE, SIGUSR1 and others
    // have.
    const listener = (): void => {};
    process.on(signal, listener);
    process.off(signal, listener);
  }
  process.kill(process.pid, signal);
  return 128 + constants.signals[signal];
}
