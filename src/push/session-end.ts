import { type ErrorCode, MirrorlatchError } from '../errors.ts';
import type { Ending } from '../rsync/failure.ts';
import type { Destination } from '../rsync/source.ts';
import type { DuplexEnd } from '../system/duplex-child.ts';
import { whyTheyCannotAsk } from '../system/ignored-signals.ts';
import { PROTOCOL } from './messages.ts';
import { harmless } from './wire.ts';

/** How a session ended without an answer, and whether another try may help. */
export type SessionFailure = Exclude<Ending, { kind: 'clean' }>;

/** How far a session came: that decides what its end without an answer means. */
export type ConversationProgress = 'none' | 'greeted' | 'publishing';

export interface Session {
  destination: Destination;
  remoteShell: readonly string[];
  remoteProgram: string;
}

/** Judges by the remote shell's exit code and words what a session without an answer ended of. */
export function judgeSession(
  { destination, remoteShell, remoteProgram }: Session,
  progress: ConversationProgress,
  { exitCode, stderr }: DuplexEnd,
): SessionFailure {
  const { host } = destination;
  const said = lastWords(stderr);
  const byHand = `${remoteShell.join(' ')} ${host}`;
  const failed = (code: ErrorCode, message: string, hint: string): SessionFailure => ({
    kind: 'failed',
    error: new MirrorlatchError(code, message + said, { hint, details: { host, exitCode } }),
  });
  if (progress === 'publishing') {
    return failed(
      'UNAVAILABLE',
      `the connection to ${host} was lost while it published: whether it did is not known`,
      'See what is current there, or push again: that does no harm.',
    );
  }
  if (/^setpriv: failed to execute/m.test(stderr)) {
    return failed(
      'UNAVAILABLE',
      `the remote shell ${remoteShell[0]} cannot be started`,
      'Install it, for example with: apt-get install openssh-client',
    );
  }
  if (progress === 'none' && /unknown command/.test(stderr)) {
    return { kind: 'failed', error: otherVersion(destination, 'none') };
  }
  if (progress === 'none' && (exitCode === 127 || exitCode === 126)) {
    return failed(
      'UNAVAILABLE',
      `${remoteProgram} cannot be started on ${host}`,
      'Install mirrorlatch there, or say where it is: --remote-program PATH',
    );
  }
  const unasked = whyTheyCannotAsk ? `${whyTheyCannotAsk}: use a key or ssh-agent. ` : '';
  if (/Permission denied \(|Host key verification failed|Too many authentication/.test(stderr)) {
    return failed('PERMISSION', `cannot log in to ${host}`, `${unasked}Try it by hand: ${byHand}`);
  }
  if (progress === 'none' && exitCode !== 255) {
    return failed(
      'UNAVAILABLE',
      `the session on ${host} ended with ${exitCode} before mirrorlatch said anything`,
      `Try it by hand: ${byHand} ${remoteProgram} --version`,
    );
  }
  const tryAgain = 'Check the network and the server, then try again.';
  const [why, hint] =
    progress === 'none'
      ? [`${host} cannot be reached`, unasked + tryAgain]
      : [`the connection to ${host} was lost`, `${tryAgain} What arrived is kept.`];
  return {
    kind: 'retry',
    why,
    error: new MirrorlatchError('UNAVAILABLE', why + said, {
      hint,
      details: { host, exitCode },
    }),
  };
}

/** @param theirs what the other end speaks: `none`, or a version. */
export function otherVersion({ host }: Destination, theirs: string): MirrorlatchError {
  return new MirrorlatchError(
    'UNAVAILABLE',
    `the mirrorlatch on ${host} cannot take this push: of its protocol it speaks ${theirs}, this one version ${PROTOCOL}`,
    { hint: 'Install the same version on both hosts.' },
  );
}

/** The end of what a program said, to be put behind a message. */
export function lastWords(stderr: string): string {
  const lines = stderr
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
  return lines.length === 0 ? '' : `: ${harmless(lines.slice(-3).join('; '))}`;
}
