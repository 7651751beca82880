import { showDuration } from '../../config/values.ts';
import {
  describeProcesses,
  type LockState,
  type NamedProcess,
  nameOwner,
} from '../../mirror/locks/lock-state.ts';
import type { LockOwner, LockProgress } from '../../mirror/settings/records.ts';
import { showTime } from '../../mirror/units.ts';
import type { Facts } from '../../operations/explain.ts';
import { quoteForSh } from '../../system/quote.ts';
import { showTimeLeft } from '../units.ts';
import { type Answer, answer } from './answer.ts';

const WHY_LOCKED = 'Why is it locked?';

/** Which process holds the lock of writers, whether it lives, and when it is taken over. */
export function lockAnswer({ status, staleAfterMs, seesAll }: Facts): Answer[] {
  const { state } = status.lock;
  const root = quoteForSh(status.root);
  switch (state.kind) {
    case 'free':
      return [];
    case 'held':
      return [heldAnswer(state, root, seesAll)];
    case 'orphans': {
      const owner = state.owner === undefined ? 'its holder' : `the ${nameOwner(state.owner)}`;
      return [
        answer(
          WHY_LOCKED,
          [
            `${owner} was killed and left running: ${describeProcesses(state.processes)}, which may still write`,
            'A sync that waits ends them first, and goes on from what they left',
          ],
          { command: `mirrorlatch sync ${root} --wait 1m` },
        ),
      ];
    }
    case 'foreign': {
      const { owner, progress, heartbeatAgeMs } = state;
      const age = Math.max(0, Math.round(heartbeatAgeMs / 1000));
      const left = staleAfterMs - heartbeatAgeMs;
      const takeover =
        left > 0
          ? `it is taken over when ${showDuration(staleAfterMs)} have passed without one, in ${showTimeLeft(left)}`
          : `that is longer than ${showDuration(staleAfterMs)}, so the next command that writes takes it over`;
      return [
        answer(
          WHY_LOCKED,
          [
            holds(owner, progress),
            `It is of another host or container, where nobody here sees whether it lives: its last heartbeat was ${age} s ago, and ${takeover}`,
          ],
          { command: `mirrorlatch sync ${root} --wait ${showDuration(staleAfterMs * 2)}` },
        ),
      ];
    }
    case 'dead':
      return [
        answer(
          WHY_LOCKED,
          [
            `${state.owner === undefined ? 'an unknown holder' : `the ${nameOwner(state.owner)}`} ended without releasing it, as by a kill or a power cut`,
            'The next command that writes takes it over at once',
          ],
          { command: `mirrorlatch unlock ${root}` },
        ),
      ];
  }
}

function heldAnswer(
  { owner, progress, processes, killed }: Extract<LockState, { kind: 'held' }>,
  root: string,
  seesAll: boolean,
): Answer {
  if (owner !== undefined) {
    const isSync = owner.command === 'sync';
    return answer(
      WHY_LOCKED,
      [
        holds(owner, progress),
        'That process runs. Another command that writes ends with 75, or waits with --wait',
      ],
      {
        command: isSync
          ? `mirrorlatch logs ${root} --follow`
          : `mirrorlatch sync ${root} --wait 1h`,
      },
    );
  }
  if (processes.length === 0) {
    return seesAll
      ? answer(WHY_LOCKED, ['a process that is about to end, or of another container, holds it'])
      : answer(WHY_LOCKED, ['a process that this user cannot see holds it; root sees which'], {
          command: `sudo mirrorlatch explain ${root}`,
        });
  }
  const before =
    killed === undefined ? [] : [`the ${nameOwner(killed)} was killed without releasing it`];
  return answer(
    WHY_LOCKED,
    [
      ...before,
      `${killed === undefined ? 'it is held by' : 'what it started still runs:'} ${describeProcesses(processes)}`,
      'It is free when they have ended',
    ],
    { command: killCommand(processes) },
  );
}

function holds(owner: LockOwner | undefined, progress: LockProgress | undefined): string {
  if (owner === undefined) return 'an unknown process holds it';
  const share = progress?.done === undefined ? '' : ` (${Math.floor(progress.done * 100)} %)`;
  const phase = progress === undefined ? '' : `, and is now ${progress.phase}${share}`;
  return `the ${nameOwner(owner)} has held it since ${showTime(owner.since)}${phase}`;
}

function killCommand(processes: readonly NamedProcess[]): string {
  return `kill ${processes.map(({ pid }) => pid).join(' ')}`;
}
