import { spawnSync } from 'node:child_process';
import { constants } from 'node:os';
import { MirrorlatchError } from '../errors.ts';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * Aborts on the first of these signals, so that rsync is ended, the lock released and staging kept.
 * The second one of a kind ends the process at once, as without mirrorlatch.
 *
 * @param arePassedOn whether signals are somebody else's now, who may take any number of them.
 */
export function abortOnSignals(arePassedOn: () => boolean = () => false): AbortSignal {
  const controller = new AbortController();
  for (const signal of SIGNALS) {
    // It stays until the second one: signal-exit, which execa and proper-lockfile bring, ends the
    // process itself when it finds no other listener.
    const listener = () => {
      if (controller.signal.reason?.code === signal && !arePassedOn()) {
        process.off(signal, listener);
        process.kill(process.pid, signal);
        return;
      }
      controller.abort(
        new MirrorlatchError(signal, `interrupted by ${signal}; nothing was published`, {
          hint: 'What was transferred is kept: the next sync goes on from it.',
        }),
      );
    };
    process.on(signal, listener);
  }
  return controller.signal;
}

/** Those that leave a core (signal(7)): a command that left its own wants none of ours. */
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
 * Ends this process as the signal ends one that knows nothing of it.
 *
 * @returns the exit code that says the same, should the process still be there.
 */
export function dieBy(signal: NodeJS.Signals): number {
  if (WITH_CORE.includes(signal)) spawnSync('prlimit', ['--core=0', `--pid=${process.pid}`]);
  if (signal !== 'SIGKILL') {
    process.removeAllListeners(signal);
    // The last listener takes Node's own handler with it, which SIGPIPE, SIGUSR1 and others have.
    const listener = (): void => {};
    process.on(signal, listener);
    process.off(signal, listener);
  }
  process.kill(process.pid, signal);
  return 128 + constants.signals[signal];
}
