import { MirrorlatchError } from '../errors.ts';
import { type DuplexChild, startDuplexChild } from '../system/duplex-child.ts';
import { FIRST_INHERITED } from '../system/process.ts';
import {
  type NamedOption,
  optionValue,
  parseRsyncOptions,
  splitOptions,
  throwTogether,
} from './options.ts';
import { splitShell } from './remote-shell.ts';
import type { Source } from './source.ts';

/**
 * The pushing host runs an rsync daemon with one module for one connection. The rsync on the
 * mirror's host pulls from it as from any other daemon, through a socket that the caller connects
 * to the pushing host.
 *
 * It is a daemon and not `rsync --server --sender`, because a daemon obeys its own configuration:
 * the other side can read this one tree and ask for nothing else.
 */
const MODULE = 'source';

/**
 * The source that rsync reads through its channel. The host name resolves nowhere (RFC 2606).
 *
 * @param name what the pushing host calls the source, for reports.
 */
export function pushedSource(name: string): Source {
  return { kind: 'pushed', argument: `pusher.invalid::${MODULE}/`, name };
}

/**
 * The options that connect rsync to its channel, the first descriptor after the inherited ones (see
 * `ChildOptions`): a remote shell (rsync(1), CONNECTING TO AN RSYNC DAEMON) that starts no program,
 * but copies between rsync and the channel.
 *
 * The `cat` that rsync waits for ends with the server, the other one with rsync. Neither keeps the
 * writer's lock, because neither writes to the mirror.
 *
 * @param inherited how many descriptors rsync inherits before the channel.
 */
export function relayOptions(inherited: number): string[] {
  const channel = FIRST_INHERITED + inherited;
  const spare = channel + 1;
  const locks = Array.from({ length: inherited }, (_, at) => `${FIRST_INHERITED + at}>&-`);
  const script = [
    // A background command would get an empty standard input from the shell.
    `exec ${spare}<&0 ${locks.join(' ')}`,
    `cat <&${spare} >&${channel} ${spare}<&- ${channel}<&- & exec cat <&${channel} ${spare}<&- ${channel}<&-`,
  ].join('; ');
  // Without --blocking-io the shell gets a non-blocking pipe, and cat(1) loses what does not fit.
  return [`--rsh=sh -c "${script}"`, '--blocking-io'];
}

/**
 * Starts an rsync daemon that serves a tree for one connection, on its standard input and output.
 *
 * @param path absolute, without symlinks.
 * @param options the user's rsync options. The daemon refuses to follow symlinks unless an option
 *   asks for it.
 */
export function serveSource(path: string, options: readonly string[]): DuplexChild {
  return startDuplexChild('sh', ['-c', SERVER, 'sh', configurationFor(options)], {
    [PATH_VARIABLE]: path,
  });
}

/**
 * Starts the daemon with its configuration, `$1`, in a pipe: a file would stay behind when this
 * process is killed.
 */
const SERVER = `exec rsync --server --daemon --config=/dev/fd/3 . 3<<END
$1
END
`;

/** rsyncd.conf(5) has no quoting, but takes the value of an environment variable literally. */
const PATH_VARIABLE = 'MIRRORLATCH_PUSHED';

const FOLLOWS_LINKS = ['copy-links', 'copy-dirlinks', 'copy-unsafe-links'];

function configurationFor(options: readonly string[]): string {
  const given = new Set(parseRsyncOptions(options).named.map(({ name }) => name));
  const refused = FOLLOWS_LINKS.filter((name) => !given.has(name));
  return [
    'use chroot = no',
    // Munging protects a module that is written to; this one is only read.
    'munge symlinks = no',
    'read only = yes',
    'list = no',
    'reverse lookup = no',
    'log file = /dev/null',
    // A daemon started by root would otherwise run as nobody.
    ...(process.getuid?.() === 0 ? ['uid = 0', 'gid = 0'] : []),
    ...(refused.length > 0 ? [`refuse options = ${refused.join(' ')}`] : []),
    `[${MODULE}]`,
    `path = %${PATH_VARIABLE}%`,
    '',
  ].join('\n');
}

/** Options that name a file, a program or an address on the host where rsync runs. */
const BOUND_TO_HOST = new Set([
  'address',
  'contimeout',
  'early-input',
  'exclude-from',
  'include-from',
  'log-file',
  'password-file',
  'port',
  'remote-option',
  'rsh',
  'rsync-path',
  'sockopts',
]);

export interface DividedOptions {
  /** The words of the user's remote shell, if one was given. */
  remoteShell: readonly string[] | undefined;
  /** The options for the rsync on the mirror's host. */
  options: readonly string[];
}

/**
 * Divides the user's rsync options between the two hosts of a push.
 *
 * @throws MirrorlatchError USAGE for options that are bound to one host.
 */
export function dividePushOptions(given: readonly string[]): DividedOptions {
  parseRsyncOptions(given);
  // Which of them rsync does not get, the other host knows and tells.
  const named = splitOptions(given);
  const shell = named.findLast(({ name }) => name === 'rsh');
  const others = named.filter(({ name }) => name !== 'rsh');
  throwTogether(others.flatMap(refusalOfBound));
  return {
    remoteShell: shell && splitShell(optionValue(shell.words)),
    options: others.flatMap(({ words }) => words),
  };
}

/**
 * Checks the options that a pushing host asks for.
 *
 * @throws MirrorlatchError USAGE for options that are bound to one host.
 */
export function checkPushedOptions(given: readonly string[]): void {
  throwTogether(parseRsyncOptions(given).named.flatMap(refusalOfBound));
}

function refusalOfBound({ name, words }: Pick<NamedOption, 'name' | 'words'>): MirrorlatchError[] {
  // `merge FILE` and `. FILE` (rsync(1), FILTER RULES).
  const isMerge = name === 'filter' && /^\s*(merge|\.)/i.test(optionValue(words));
  if (!BOUND_TO_HOST.has(name) && !isMerge) return [];
  const problem = `rsync's option ${words[0]} cannot be used in a push: it is bound to one host, and rsync runs on the other`;
  const hint =
    'Give patterns with --exclude and --include, and set up the connection in ssh_config.';
  return [new MirrorlatchError('USAGE', problem, { hint })];
}
