import { constants } from 'node:os';

/** Signals to us that are meant for the command that we run, if there is one. */
export const SIGNALS_OF_A_USER = [
  'SIGINT',
  'SIGTERM',
  'SIGHUP',
  'SIGQUIT',
  'SIGUSR1',
  'SIGUSR2',
] as const;

/**
 * Those of them that this process was started to ignore, as nohup(1) and `trap ''` do it. Node resets them at its
 * start, and in its children: the launcher passes on what it has found in SigIgn (proc(5)).
 */
export const ignoredSignals: readonly NodeJS.Signals[] = signalsIn(process.env['ml_ignored']);

delete process.env['ml_ignored'];

function signalsIn(mask = '0'): NodeJS.Signals[] {
  const bits = BigInt(/^[0-9a-f]+$/.test(mask) ? `0x${mask}` : 0);
  return SIGNALS_OF_A_USER.filter((name) => (bits >> BigInt(constants.signals[name] - 1)) & 1n);
}

/** Ignores them again, in this process. */
export function keepIgnoringSignals(): void {
  for (const name of ignoredSignals) process.on(name, () => {});
}

/** The command line of a child that ignores them too, by way of env(1), which leaves its environment alone. */
export function withIgnoredSignals(program: string, args: readonly string[]): [string, string[]] {
  if (ignoredSignals.length === 0) return [program, [...args]];
  // For env, a word with "=" is a variable.
  const words = program.includes('=') ? ['/bin/sh', '-c', 'exec "$0" "$@"', program] : [program];
  const names = ignoredSignals.map((name) => name.slice('SIG'.length)).join(',');
  return ['/usr/bin/env', [`--ignore-signal=${names}`, '--', ...words, ...args]];
}

/**
 * Whether programs of our own are started in a session of their own, where no signal of the terminal reaches them. rsync
 * handles SIGHUP and SIGINT even if it was started to ignore them.
 */
export const ownProgramsLeaveTheTerminal = ignoredSignals.some((name) =>
  ['SIGHUP', 'SIGINT'].includes(name),
);
