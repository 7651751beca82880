import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MirrorlatchError } from '../errors.ts';
import { type DuplexChild, startDuplexChild } from '../system/duplex-child.ts';
import { FIRST_INHERITED } from '../system/process.ts';
import { parseRsyncOptions } from './options.ts';
import type { Source } from './source.ts';

/**
 * A source that another host pushes is an rsync server of that host's own, with one module, for one
 * connection: the rsync beside the mirror pulls from it as from any other, and reaches it through a
 * socket that whoever started it joins with the other host.
 *
 * A server, and not `rsync --server --sender`, because it obeys what its own configuration says:
 * the other side is given this one tree to read, and can ask for nothing else.
 */
const MODULE = 'source';

/**
 * The host's name is one that no network knows (RFC 2606): rsync reaches it by its channel alone.
 *
 * @param name what the host that pushes calls it, for reports.
 */
export function pushedSource(name: string): Source {
  return { kind: 'pushed', argument: `pusher.invalid::${MODULE}/`, name };
}

/**
 * Lets rsync find the server at the other end of its channel, the first descriptor behind those
 * that it inherits (see `ChildOptions`): a remote shell (rsync(1), CONNECTING TO AN RSYNC DAEMON)
 * that starts nothing, but joins what rsync gives it with the channel.
 *
 * The `cat` that rsync waits for ends when the server does, the other one when rsync does. Neither
 * keeps the writer's lock: they write to no mirror.
 */
export function relayOptions(inherited: number): string[] {
  const channel = FIRST_INHERITED + inherited;
  const spare = channel + 1;
  const locks = Array.from({ length: inherited }, (_, at) => `${FIRST_INHERITED + at}>&-`);
  const script = [
    // The shell would give a command in the background an empty standard input.
    `exec ${spare}<&0 ${locks.join(' ')}`,
    `cat <&${spare} >&${channel} ${spare}<&- ${channel}<&- & exec cat <&${channel} ${spare}<&- ${channel}<&-`,
  ].join('; ');
  // Else rsync gives its shell a pipe that does not block, and cat(1) loses what does not fit.
  return [`--rsh=sh -c "${script}"`, '--blocking-io'];
}

/**
 * Starts the server of a tree, which speaks on its standard input and output, for one connection.
 *
 * @param path absolute, without symlinks.
 * @param options the user's own for rsync: those that follow symlinks are refused by the server
 *   unless they are among these.
 */
export function serveSource(path: string, options: readonly string[]): DuplexChild {
  const directory = mkdtempSync(join(tmpdir(), 'mirrorlatch-push-'));
  const configuration = join(directory, 'rsyncd.conf');
  writeFileSync(configuration, configurationFor(options));
  const server = startDuplexChild(
    'rsync',
    ['--server', '--daemon', `--config=${configuration}`, '.'],
    { [PATH_VARIABLE]: path },
  );
  const clear = (): void => rmSync(directory, { recursive: true, force: true });
  server.ended.then(clear, clear);
  return server;
}

/** rsyncd.conf(5) has no quotes: what stands in a variable is taken as it is. */
const PATH_VARIABLE = 'MIRRORLATCH_PUSHED';

const FOLLOWS_LINKS = ['copy-links', 'copy-dirlinks', 'copy-unsafe-links'];

function configurationFor(options: readonly string[]): string {
  const given = new Set(parseRsyncOptions(options).named.map(({ name }) => name));
  const refused = FOLLOWS_LINKS.filter((name) => !given.has(name));
  return [
    'use chroot = no',
    // Nothing is written here: links are sent as they are.
    'munge symlinks = no',
    'read only = yes',
    'list = no',
    'reverse lookup = no',
    'log file = /dev/null',
    // Else a server that root has started becomes nobody.
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

export interface PushOptions {
  /** The words of the remote shell that the user wants, if any. */
  remoteShell: readonly string[] | undefined;
  /** What goes to the rsync beside the mirror. */
  options: readonly string[];
}

/**
 * Divides the user's options for rsync between the two hosts of a push.
 *
 * @throws MirrorlatchError USAGE for one that would mean something else on the other host.
 */
export function dividePushOptions(given: readonly string[]): PushOptions {
  const { named } = parseRsyncOptions(given);
  const shell = named.findLast(({ name }) => name === 'rsh');
  const others = named.filter(({ name }) => name !== 'rsh');
  for (const { name, words } of others) refuseBound(name, words);
  return {
    remoteShell: shell && splitShell(optionValue(shell.words)),
    options: others.flatMap(({ words }) => words),
  };
}

/** @throws MirrorlatchError USAGE when another host must not have a say in one of the options. */
export function checkPushedOptions(given: readonly string[]): void {
  for (const { name, words } of parseRsyncOptions(given).named) refuseBound(name, words);
}

function refuseBound(name: string, words: readonly string[]): void {
  // `merge FILE` and `. FILE` (rsync(1), FILTER RULES).
  const isMerge = name === 'filter' && /^\s*(merge|\.)/i.test(optionValue(words));
  if (!BOUND_TO_HOST.has(name) && !isMerge) return;
  throw new MirrorlatchError(
    'USAGE',
    `rsync's option ${words[0]} cannot be used in a push: it means something of one host, and rsync runs on the other`,
    { hint: 'Name patterns by --exclude and --include, and set the other in ssh_config.' },
  );
}

/** The value of an option in any of its spellings: `--rsh=x`, `--rsh x`, `-e x`, `-ex`. */
function optionValue(words: readonly string[]): string {
  const [first = '', second] = words;
  if (second !== undefined) return second;
  if (first.startsWith('--')) return first.slice(first.indexOf('=') + 1);
  return first.slice(2).replace(/^=/, '');
}

/** Splits a remote shell as rsync does (rsync(1), --rsh): a doubled quote stands for itself. */
export function splitShell(text: string): string[] {
  const words = text.match(/(?:"(?:[^"]|"")*"|'(?:[^']|'')*'|[^\s"'])+/g) ?? [];
  return words.map((word) =>
    word.replace(/"((?:[^"]|"")*)"|'((?:[^']|'')*)'/g, (_, double?: string, single?: string) =>
      double === undefined ? (single ?? '').replaceAll("''", "'") : double.replaceAll('""', '"'),
    ),
  );
}
