import { MirrorlatchError, NOTHING_PUBLISHED } from '../../errors.ts';
import { programName, runInForeground } from '../../system/foreground.ts';
import type { JobEnd } from '../../system/job.ts';
import { processesHoldingFlock, processesWithVariables, sessionOf } from '../../system/proc.ts';
import { SESSION, STAGING } from './writers.ts';

/** The part of the writer's lock that a command needs. */
export interface HeldLock {
  readonly descriptor: number;
  readonly lost: AbortSignal;
  report(progress: { phase: string }): void;
  assertHeld(): void;
}

export interface LockedCommand {
  /** The program and its arguments, byte for byte. */
  command: readonly Buffer[];
  /** Called with true before the command starts, and with false after it has ended. */
  onCommand?: ((isRunning: boolean) => void) | undefined;
}

/**
 * Runs a command that holds the lock, too, and ends it when the lock is lost.
 *
 * @param kernelLock the lock's file, by which the command's family is found.
 * @param env set for the command; with `MIRRORLATCH_STAGING` it has a tree to fill.
 * @throws MirrorlatchError LOCK_LOST, COMMAND_NOT_FOUND or COMMAND_NOT_EXECUTABLE.
 */
export async function runLocked(
  { command, onCommand = () => {} }: LockedCommand,
  lock: HeldLock,
  kernelLock: string,
  env: Readonly<Record<string, string>>,
): Promise<JobEnd> {
  lock.report({ phase: `running ${programName(command)}` });
  const staging = env[STAGING];
  onCommand(true);
  try {
    const end = await runInForeground(command, {
      inherit: [lock.descriptor],
      env: staging === undefined ? env : { ...env, [SESSION]: sessionOf(process.pid) ?? '' },
      signal: lock.lost,
      family: () => [
        ...new Set([
          ...processesHoldingFlock(kernelLock),
          ...(staging === undefined ? [] : processesWithVariables({ [STAGING]: staging })),
        ]),
      ],
    });
    lock.assertHeld();
    return end;
  } finally {
    onCommand(false);
  }
}

/**
 * A command that did not end with 0: nothing is published, and its tree is kept.
 *
 * @param tree what the command was to fill.
 */
export function commandFailed(
  command: readonly Buffer[],
  end: JobEnd,
  tree: string,
): MirrorlatchError {
  const { exitCode, signal } = end;
  const how = signal === null ? `ended with ${exitCode}` : `was ended by ${signal}`;
  return new MirrorlatchError('COMMAND_FAILED', `${programName(command)} ${how}`, {
    details: { end, tree },
  });
}

export function emptyTree(): MirrorlatchError {
  return new MirrorlatchError('SHRUNKEN_SOURCE', `the tree is empty${NOTHING_PUBLISHED}`, {
    hint: 'The command has to fill the directory that MIRRORLATCH_STAGING names.',
  });
}
