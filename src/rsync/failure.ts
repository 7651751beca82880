import { type ErrorCode, FREE_SPACE, hasCode, MirrorlatchError } from '../errors.ts';
import { whyTheyCannotAsk } from '../system/ignored-signals.ts';

/** How an rsync run ended, judged by its exit code and its messages. */
export type Ending =
  | { kind: 'clean' }
  /** Another try may succeed: the source changed meanwhile, or the network failed. */
  | { kind: 'retry'; why: string; error: MirrorlatchError }
  | { kind: 'failed'; error: MirrorlatchError };

/** One cause of failure, and what to say of it. */
interface Cause {
  /** Exit codes that this cause has; by default any. */
  codes?: readonly number[];
  /** What rsync says then; by default anything. */
  says?: RegExp;
  /** `retry`: another try may succeed. Else the error that it is. */
  is: 'retry' | ErrorCode;
  what: string;
  /** `HOST` in it stands for the source's host. */
  hint?: string;
  /** It has this cause only where the source is on another host. */
  isElsewhere?: true;
  /** It may be that ssh or rsync had to ask the user, and could not. */
  mayBeUnasked?: true;
}

const NO_REMOTE_SHELL = {
  is: 'UNAVAILABLE',
  what: 'the remote shell cannot be started',
  hint: 'Install it, for example with: apt-get install openssh-client',
} as const;

const VANISHED = {
  is: 'retry',
  what: 'files vanished from the source while it was read',
  hint: 'The source is changing. Try again when it is quiet.',
} as const;

/** Ends a hint at what a filter rule can leave out. */
export const EXCLUDE = '-- --exclude=PATTERN (only init and the first sync remember it)';

/** A directory that is to be replaced holds what a rule protects. */
const MAKES_NO_WAY = /^could not make way for /m;

const LOST = {
  is: 'retry',
  what: 'the connection to the source failed',
  hint: 'Check the network and the server, then try again. What was transferred is kept.',
} as const;

/** The other end is gone, whatever the reason. */
const NO_CONNECTION: readonly number[] = [10, 12, 30, 35, 255];

/**
 * The causes, of which the first that matches counts: what rsync says tells more than its exit code
 * (rsync(1), EXIT VALUES). 5 is both "max connections" and "unknown module", 11 both a full disk and
 * a bad target.
 */
const CAUSES: readonly Cause[] = [
  {
    says: /: (No space left on device \(28\)|Disk quota exceeded \(122\))$/m,
    is: 'NO_SPACE',
    what: 'no space left on the disk of the mirror',
    hint: FREE_SPACE,
  },
  {
    says: /@ERROR: max connections/,
    is: 'retry',
    what: 'the server has too many connections',
    hint: 'Try again later, or with more patience: --retries 20 --retry-delay 1m',
  },
  {
    says: /@ERROR: Unknown module/i,
    is: 'NO_SOURCE',
    what: 'the server has no such module',
    hint: 'List its modules with: rsync rsync://HOST/',
  },
  {
    says: /@ERROR:.*(auth|access denied|password)|Permission denied \((publickey|password|keyboard)/i,
    is: 'PERMISSION',
    what: 'the server refused access',
    hint: 'Check the user, the password file or the ssh key, which the option -e gives, as in -e "ssh -i ~/.ssh/key".',
    mayBeUnasked: true,
  },
  {
    says: /Host key verification failed/,
    is: 'PERMISSION',
    what: "the server's host key is not known",
    hint: 'Connect once with ssh by hand, and verify the key.',
    mayBeUnasked: true,
  },
  {
    codes: [23],
    says: /change_dir ".*" (\(in .*\) )?failed: No such file/,
    is: 'NO_SOURCE',
    what: 'the source does not exist',
    hint: 'Check the path of the source.',
  },
  {
    says: /is your shell clean\?/,
    is: 'UNAVAILABLE',
    what: 'the shell at the other end prints something by itself',
    hint: 'Look at ~/.bashrc on that host: for a command, such as ssh HOST true, it must print nothing.',
  },
  {
    says: /command not found|rsync: not found|No such file or directory.*rsync-path/,
    is: 'UNAVAILABLE',
    what: 'there is no rsync on the remote host',
    hint: 'Install it there, or give its path: -- --rsync-path=PATH',
  },
  { says: /Failed to exec /, ...NO_REMOTE_SHELL },
  { codes: [14], ...NO_REMOTE_SHELL },
  {
    codes: [1, 4],
    is: 'USAGE',
    what: 'rsync does not accept these options',
    hint: 'Check the options of rsync with: man rsync',
  },
  {
    codes: [23],
    says: MAKES_NO_WAY,
    is: 'UNAVAILABLE',
    what: 'the source has another entry in the place of a directory of the mirror, which a filter rule keeps',
    hint: `Move what the directory holds out of the mirror, or leave out that entry of the source: ${EXCLUDE}`,
  },
  // What has gone since it was listed has no exit code of its own when it is asked for by name.
  { codes: [23], says: /link_stat ".*" failed: No such file or directory \(2\)$/m, ...VANISHED },
  {
    // rsync copies a file that it cannot link to an earlier snapshot, and ends with 0.
    codes: [12, 23],
    says: /: Too many links \(31\)$/m,
    is: 'IO',
    what: 'a file has more names than the filesystem of the mirror allows',
    hint: 'Leave out -H (--hard-links), which makes each name a file of its own, or keep the mirror on a filesystem that allows more (ext4: 65,000; xfs: 2 billion).',
  },
  {
    codes: [23],
    is: 'retry',
    what: 'some files could not be transferred',
    hint: `The log names them. Fix their permissions, or exclude them: ${EXCLUDE}`,
  },
  { codes: [24], ...VANISHED },
  {
    // --max-delete, which mirrorlatch itself sets in place.
    codes: [25],
    is: 'retry',
    what: 'the source has lost more than was planned',
    hint: 'Look whether the source is whole, and sync again.',
  },
  {
    says: /^rsync: The server is configured to refuse --files-from\b/m,
    is: 'UNAVAILABLE',
    what: 'the server accepts no list of files',
    hint: 'Sync with --strategy link-dest, which reads the whole tree and needs no list.',
  },
  {
    says: /^rsync: The server is configured to refuse -/m,
    is: 'UNAVAILABLE',
    what: 'the server refuses an option of rsync',
    hint: 'Leave it out. For one that you did not give yourself, see: mirrorlatch help rsync-options',
  },
  {
    codes: NO_CONNECTION,
    // As rsync and, with getopt_long(3), openrsync say it.
    says: /^\S*rsync: (on remote machine: )?(-\S*: unknown|unknown|unrecogni[sz]ed) option/m,
    is: 'UNAVAILABLE',
    what: 'the rsync at the other end does not know an option',
    hint: 'It may be too old for it. Leave the option out, or install a newer rsync there.',
  },
  {
    codes: NO_CONNECTION,
    says: /Could not resolve hostname|\bgetaddrinfo: /,
    is: 'retry',
    what: "the name of the source's host cannot be resolved",
    hint: 'Check the name and the network: getent hosts HOST',
  },
  { codes: [255], ...LOST, mayBeUnasked: true },
  { codes: NO_CONNECTION, ...LOST },
  {
    codes: [5],
    is: 'UNAVAILABLE',
    what: 'the server refused to start',
    hint: 'Read its message, and check the module and its path.',
  },
  // The sender is the rsync at the other end, such as a server that is restarted.
  { codes: [19, 20], says: /received SIG[^\n]*\[sender=/, isElsewhere: true, ...LOST },
  {
    codes: [19, 20, 137, 143],
    is: 'IO',
    what: 'rsync was killed from outside',
    hint: 'Run the sync again. What was transferred is kept.',
  },
];

const UNKNOWN: Cause = { is: 'IO', what: 'rsync failed' };

/**
 * Judges how an rsync run ended.
 *
 * @param words the end of rsync's standard error.
 * @param host the host of the source, if it is another one.
 */
export function judgeEnding(exitCode: number, words: string, host?: string): Ending {
  if (exitCode === 0) return { kind: 'clean' };
  const { is, what, hint, mayBeUnasked } =
    CAUSES.find(
      ({ codes, says, isElsewhere }) =>
        (codes?.includes(exitCode) ?? true) &&
        (says?.test(words) ?? true) &&
        (!isElsewhere || host !== undefined),
    ) ?? UNKNOWN;
  const code = is === 'retry' ? 'UNAVAILABLE' : is;
  const unasked =
    mayBeUnasked && whyTheyCannotAsk
      ? ` ${whyTheyCannotAsk}: use a key, ssh-agent or --password-file.`
      : '';
  const said = words.split('\n').filter(Boolean).slice(-20);
  const error = new MirrorlatchError(
    code,
    `${what} (rsync exit ${exitCode})${tellingWords(words)}`,
    {
      hint: hint && hint.replaceAll('HOST', host ?? 'HOST') + unasked,
      details: { rsync: { exitCode, said } },
    },
  );
  return is === 'retry' ? { kind: 'retry', why: what, error } : { kind: 'failed', error };
}

/** Whether rsync left an entry out because a directory in its place holds what a rule protects. */
export function meetsKeptDirectory(error: unknown): boolean {
  const words = hasCode(error, 'UNAVAILABLE') ? error.details.rsync?.said : undefined;
  return words?.some((line) => MAKES_NO_WAY.test(line)) ?? false;
}

/**
 * rsync's complaints, sorted and without the parts that differ from run to run: equal for two runs
 * that failed on the same paths.
 */
export function complaints(words: string): string {
  return words
    .split('\n')
    .filter((line) => /^(rsync: |file has vanished: |IO error|cannot |skipping )/.test(line))
    .map((line) => line.replace(/^rsync: \[\w+(=[^\]]*)?\] /, ''))
    .sort()
    .join('\n');
}

/** rsync's most informative lines, without its closing line, which only repeats the exit code. */
function tellingWords(words: string): string {
  const lines = words
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
  const telling = lines.filter((line) => !/^rsync error: |^rsync warning: /.test(line));
  const chosen = (telling.length > 0 ? telling : lines).slice(0, 3);
  const more = telling.length > 3 ? ` … and ${telling.length - 3} more` : '';
  return chosen.length === 0 ? '' : `: ${chosen.join('; ')}${more}`;
}
