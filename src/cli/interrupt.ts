import { MirrorlatchError } from '../errors.ts';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * Aborts on the first of these signals, so that rsync is ended, the lock released and staging kept.
 * The second one of a kind ends the process at once, as without mirrorlatch.
 */
export function abortOnSignals(): AbortSignal {
  const controller = new AbortController();
  for (const signal of SIGNALS) {
    // It stays until the second one: signal-exit, which execa and proper-lockfile bring, ends the
    // process itself when it finds no other listener.
    const listener = () => {
      if (controller.signal.reason?.code === signal) {
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
