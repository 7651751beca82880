import { setTimeout as pause } from 'node:timers/promises';
import { processesWithVariables, processName } from '../../../src/system/proc.ts';
import type { RunningProgram } from '../../support/program.ts';
import type { Dice } from '../dice.ts';

/** The variable in the environment of one command and of its children. */
export const OF_COMMAND = 'TURMOIL_COMMAND';

type Target = 'the program' | 'its rsync' | 'all of it';

/** What is done to a command while it runs. */
export interface Assault {
  readonly signal: NodeJS.Signals;
  readonly target: Target;
}

const assaults: readonly { readonly weight: number; readonly assault: Assault | undefined }[] = [
  { weight: 14, assault: undefined },
  ...(['the program', 'its rsync', 'all of it'] as const).flatMap((target) => [
    { weight: 2, assault: { signal: 'SIGKILL', target } as const },
    { weight: 1, assault: { signal: 'SIGSTOP', target } as const },
  ]),
  { weight: 1, assault: { signal: 'SIGTERM', target: 'the program' } },
  { weight: 1, assault: { signal: 'SIGTERM', target: 'its rsync' } },
  { weight: 1, assault: { signal: 'SIGINT', target: 'the program' } },
];

/** What is done to the next command; undefined if it is left alone. */
export function nextAssault(dice: Dice): Assault | undefined {
  return dice.draw(assaults).assault;
}

/**
 * Sends the signal at a random moment.
 *
 * @returns false if the command had ended by then.
 */
export async function carryOut(
  { signal, target }: Assault,
  running: RunningProgram,
  mark: string,
  dice: Dice,
): Promise<boolean> {
  let hasEnded = false;
  const ended = running.result.then(() => {
    hasEnded = true;
  });
  const processes = () => processesWithVariables({ [OF_COMMAND]: mark });
  const targets = (): number[] => {
    if (target === 'the program') return hasEnded ? [] : [running.pid];
    return processes().filter((pid) => target === 'all of it' || processName(pid) === 'rsync');
  };
  const later = dice.between(0, target === 'its rsync' ? 300 : 1_200);
  const stopped = dice.between(100, 2_000);
  if (target === 'its rsync') while (!hasEnded && targets().length === 0) await pause(20);
  await Promise.race([ended, pause(later)]);
  const hit = targets();
  send(signal, hit);
  if (hit.length > 0 && signal === 'SIGSTOP') {
    await pause(stopped);
    send('SIGCONT', processes());
  }
  return hit.length > 0;
}

function send(signal: NodeJS.Signals, pids: readonly number[]): void {
  for (const pid of pids) {
    try {
      process.kill(pid, signal);
    } catch {
      // It has ended.
    }
  }
}
