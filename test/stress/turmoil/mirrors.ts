import { setTimeout as pause } from 'node:timers/promises';
import { processesWithVariables } from '../../../src/system/proc.ts';

/** A mirror of this test, whose commands may have to wait while something is done to it alone. */
export interface Mirror {
  readonly name: 'snapshots' | 'in place' | 'adopted';
  /** ROOT; an adopted directory gets another mirror when its old one has become one of its own. */
  root(): string;
  /** Every ROOT that it has had. */
  roots(): readonly string[];
  /** What `OF_MIRROR` holds in its commands. */
  readonly mark: string;
  /** Begins anew, in another directory. */
  beginAnew(): void;
  /** The directory that readers know, where the mirror is one of an adopted directory. */
  readonly adopted: string | undefined;
  /** Runs a command when nothing is alone with the mirror. */
  beside<T>(command: () => Promise<T>): Promise<T>;
  /** The processes of its commands, those that a killed one left included. */
  processes(): number[];
  /** Runs when there is no such process. */
  alone<T>(action: () => T | Promise<T>): Promise<T>;
}

/** The variable in the environment of a mirror's commands and of their children. */
export const OF_MIRROR = 'TURMOIL_MIRROR';

/** @param first the ROOT that it begins with. */
export function mirrorAt(name: Mirror['name'], first: string, adopted?: string): Mirror {
  const roots = [first];
  let atWork = 0;
  let isClaimed = false;
  const until = async (isSo: () => boolean) => {
    while (!isSo()) await pause(20);
  };
  const processes = () => processesWithVariables({ [OF_MIRROR]: first });
  return {
    name,
    mark: first,
    adopted,
    processes,
    root: () => roots.at(-1) ?? first,
    roots: () => roots,
    beginAnew: () => {
      roots.push(`${first}-${roots.length + 1}`);
    },
    beside: async (command) => {
      await until(() => !isClaimed);
      atWork += 1;
      try {
        return await command();
      } finally {
        atWork -= 1;
      }
    },
    alone: async (action) => {
      await until(() => !isClaimed);
      isClaimed = true;
      try {
        await until(() => atWork === 0);
        await until(() => processes().length === 0);
        return await action();
      } finally {
        isClaimed = false;
      }
    },
  };
}
