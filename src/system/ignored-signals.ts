import { spawnSync } from 'node:child_process';
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

/**
 * The command line of a child that ignores them too, and keeps its environment: by way of env(1), or of a shell where
 * env has no --ignore-signal, as before coreutils 8.31 and in BusyBox.
 */
export function withIgnoredSignals(
  program: string,
  args: readonly string[],
  environment: Readonly<NodeJS.ProcessEnv> = process.env,
): [string, string[]] {
  if (ignoredSignals.length === 0) return [program, [...args]];
  // For env, a word with "=" is a variable.
  const words = program.includes('=')
    ? ['/bin/sh', '-c', 'exec "$0" "$@"', program, ...args]
    : [program, ...args];
  const names = ignoredSignals.map((name) => name.slice('SIG'.length));
  envCanIgnore ??=
    spawnSync(ENV, ['--ignore-signal=HUP', 'true'], { stdio: 'ignore' }).status === 0;
  if (envCanIgnore) return [ENV, [`--ignore-signal=${names.join()}`, '--', ...words]];
  const script = `trap '' ${names.join(' ')}; exec "$0" "$@"`;
  return ['/bin/sh', ['-c', script, ENV, ...lostInShell(environment), ...words]];
}

const ENV = '/usr/bin/env';

let envCanIgnore: boolean | undefined;

/** Variables that one shell or another sets by itself. */
const SET_BY_SHELLS = ['IFS', 'OLDPWD', 'OPTIND', 'PPID', 'PWD', 'SHLVL', '_'];

/** The arguments for env(1) that give a program its environment back after a shell. */
function lostInShell(environment: Readonly<NodeJS.ProcessEnv>): string[] {
  const unset = SET_BY_SHELLS.filter((name) => environment[name] === undefined);
  const isLost = (name: string): boolean =>
    SET_BY_SHELLS.includes(name) || !/^[A-Za-z_]\w*$/.test(name);
  return [
    ...unset.flatMap((name) => ['-u', name]),
    '--',
    ...Object.entries(environment).flatMap(([name, value]) =>
      name !== '' && value !== undefined && isLost(name) ? [`${name}=${value}`] : [],
    ),
  ];
}

const ofTheTerminal = ignoredSignals.filter((name) => ['SIGHUP', 'SIGINT'].includes(name));

/**
 * Whether programs of our own are started in a session of their own, where no signal of the terminal reaches them. rsync
 * handles SIGHUP and SIGINT even if it was started to ignore them.
 */
export const ownProgramsLeaveTheTerminal = ofTheTerminal.length > 0;

/** Why they cannot ask for a password or a host key, for hints; undefined if they can. */
export const whyTheyCannotAsk = ownProgramsLeaveTheTerminal
  ? `Started to ignore ${ofTheTerminal.join(' and ')}, as by nohup, mirrorlatch gives its programs no terminal to ask at`
  : undefined;
