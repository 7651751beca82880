import { MirrorlatchError } from '../errors.ts';

/** How an rsync run ended, read from its exit code and its own words. */
export type Ending =
  | { kind: 'clean' }
  /** Another try may go well: the source changed meanwhile, or the network failed. */
  | { kind: 'retry'; why: string; error: MirrorlatchError }
  | { kind: 'failed'; error: MirrorlatchError };

/**
 * Tells what rsync's exit code means (rsync(1), EXIT VALUES) together with what it said, because
 * one code stands for many things: 5 for "max connections" and for "unknown module", 11 for a full
 * disk and for a bad target.
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
      'Check user, password file or ssh key: mirrorlatch sync SRC ROOT -- -e "ssh -i KEY"',
    );
  }
  if (/Host key verification failed/.test(words)) {
    return failed(
      'PERMISSION',
      "the server's host key is not known",
      'Connect once by hand with ssh and check the key.',
    );
  }
  if (exitCode === 23 && /change_dir ".*" (\(in .*\) )?failed: No such file/.test(words)) {
    return failed('NO_SOURCE', 'the source does not exist', 'Check the path of the source.');
  }
  if (/command not found|rsync: not found|No such file or directory.*rsync-path/.test(words)) {
    return failed(
      'UNAVAILABLE',
      'there is no rsync on the remote host',
      'Install it there, or say where it is: -- --rsync-path=PATH',
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
        'Check what follows -- with: man rsync',
      );
    case 23:
      return retry(
        'some files could not be transferred',
        'See which in the log, and mend their permissions or exclude them: -- --exclude=PATTERN',
      );
    case 24:
      return retry(
        'files vanished from the source while it was read',
        'The source is changing: try again when it is quiet.',
      );
    case 10:
    case 12:
    case 30:
    case 35:
    case 255:
      return retry(
        'the connection to the source failed',
        'Check the network and the server, then try again: nothing that came is lost.',
      );
    case 5:
      return failed(
        'UNAVAILABLE',
        'the server refused to start',
        'Read what it says, and check the module and its path.',
      );
    case 19:
    case 20:
    case 137:
    case 143:
      return failed(
        'IO',
        'rsync was killed from outside',
        'Run the sync again: nothing that came is lost.',
      );
    default:
      return failed('IO', 'rsync failed');
  }
}

/**
 * What rsync complained of, without what differs from run to run, so that two runs that fail over
 * the same paths can be told from two that do not.
 */
export function complaints(words: string): string {
  return words
    .split('\n')
    .filter((line) => /^(rsync: |file has vanished: |IO error|cannot |skipping )/.test(line))
    .map((line) => line.replace(/^rsync: \[\w+(=[^\]]*)?\] /, ''))
    .sort()
    .join('\n');
}

/** The lines of rsync's own that say the most: not its closing line, which only has the code. */
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
