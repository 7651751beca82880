import { MirrorlatchError } from '../errors.ts';

/** How an rsync run ended, judged by its exit code and its messages. */
export type Ending =
  | { kind: 'clean' }
  /** Another try may succeed: the source changed meanwhile, or the network failed. */
  | { kind: 'retry'; why: string; error: MirrorlatchError }
  | { kind: 'failed'; error: MirrorlatchError };

/**
 * Judges rsync's exit code (rsync(1), EXIT VALUES) together with its messages, because one code
 * has several causes: 5 is both "max connections" and "unknown module", 11 both a full disk and a
 * bad target.
 *
 * @param words the end of rsync's standard error.
 */
export function judgeEnding(exitCode: number, words: string): Ending {
  if (exitCode === 0) return { kind: 'clean' };
  const said = lastWords(words);
  const details = { rsync: { exitCode, said: words.split('\n').filter(Boolean).slice(-20) } };
  const failed = (
    code: ConstructorParameters<typeof MirrorlatchError>[0],
    what: string,
    hint?: string,
  ): Ending => ({
    kind: 'failed',
    error: new MirrorlatchError(code, `${what} (rsync exit ${exitCode})${said}`, {
      ...(hint === undefined ? {} : { hint }),
      details,
    }),
  });
  const retry = (why: string, hint: string): Ending => ({
    kind: 'retry',
    why,
    error: new MirrorlatchError('UNAVAILABLE', `${why} (rsync exit ${exitCode})${said}`, {
      hint,
      details,
    }),
  });

  if (/: (No space left on device \(28\)|Disk quota exceeded \(122\))$/m.test(words)) {
    return failed(
      'NO_SPACE',
      'no space left for the new snapshot',
      'Free space, or remove old snapshots with: mirrorlatch prune ROOT --keep-last 2 --grace 0',
    );
  }
  if (/@ERROR: max connections/.test(words)) {
    return retry(
      'the server has too many connections',
      'Try again later, or with more patience: --retries 20 --retry-delay 1m',
    );
  }
  if (/@ERROR: Unknown module/i.test(words)) {
    return failed(
      'NO_SOURCE',
      'the server has no such module',
      'List its modules with: rsync rsync://HOST/',
    );
  }
  if (
    /@ERROR:.*(auth|access denied|password)/i.test(words) ||
    /Permission denied \((publickey|password|keyboard)/.test(words)
  ) {
    return failed(
      'PERMISSION',
      'the server refused access',
      'Check the user, the password file or the ssh key: mirrorlatch sync SRC ROOT -- -e "ssh -i KEY"',
    );
  }
  if (/Host key verification failed/.test(words)) {
    return failed(
      'PERMISSION',
      "the server's host key is not known",
      'Connect once with ssh by hand, and verify the key.',
    );
  }
  if (exitCode === 23 && /change_dir ".*" (\(in .*\) )?failed: No such file/.test(words)) {
    return failed('NO_SOURCE', 'the source does not exist', 'Check the path of the source.');
  }
  if (/command not found|rsync: not found|No such file or directory.*rsync-path/.test(words)) {
    return failed(
      'UNAVAILABLE',
      'there is no rsync on the remote host',
      'Install it there, or give its path: -- --rsync-path=PATH',
    );
  }
  if (exitCode === 14 || /Failed to exec /.test(words)) {
    return failed(
      'UNAVAILABLE',
      'the remote shell cannot be started',
      'Install it, for example with: apt-get install openssh-client',
    );
  }
  switch (exitCode) {
    case 1:
    case 4:
      return failed(
        'USAGE',
        'rsync does not accept these options',
        'Check the options after -- with: man rsync',
      );
    case 23:
      return retry(
        'some files could not be transferred',
        'The log names them. Fix their permissions, or exclude them: -- --exclude=PATTERN',
      );
    case 24:
      return retry(
        'files vanished from the source while it was read',
        'The source is changing. Try again when it is quiet.',
      );
    case 10:
    case 12:
    case 30:
    case 35:
    case 255:
      return retry(
        'the connection to the source failed',
        'Check the network and the server, then try again. What was transferred is kept.',
      );
    case 5:
      return failed(
        'UNAVAILABLE',
        'the server refused to start',
        'Read its message, and check the module and its path.',
      );
    case 19:
    case 20:
    case 137:
    case 143:
      return failed(
        'IO',
        'rsync was killed from outside',
        'Run the sync again. What was transferred is kept.',
      );
    default:
      return failed('IO', 'rsync failed');
  }
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
function lastWords(words: string): string {
  const lines = words
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
  const telling = lines.filter((line) => !/^rsync error: |^rsync warning: /.test(line));
  const chosen = (telling.length > 0 ? telling : lines).slice(0, 3);
  const more = telling.length > 3 ? ` … and ${telling.length - 3} more` : '';
  return chosen.length === 0 ? '' : `: ${chosen.join('; ')}${more}`;
}
