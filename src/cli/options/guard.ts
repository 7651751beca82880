import { type Command, Option } from 'commander';
import { MirrorlatchError } from '../../errors.ts';
import type { ChooseGuardOptions } from '../../reader/choose-guard.ts';
import { duration } from '../values.ts';

/** The flags of the commands that put a guard before others. */
export interface GuardFlags {
  mirror?: string[];
  pin?: 'auto' | 'namespace' | 'cwd';
  /** ms */
  wait?: number;
  sticky?: boolean;
  orCurrent?: boolean;
  remove?: boolean;
}

export function addGuardOptions(command: Command): Command {
  return command
    .option(
      '-m, --mirror <root>',
      'the mirror that the commands read; may be given again',
      (root, all: string[] = []) => [...all, root],
    )
    .addOption(
      new Option('--pin <kind>', 'as for run: a mount namespace or the working directory').choices([
        'auto',
        'namespace',
        'cwd',
      ]),
    )
    .option('--wait <duration>', 'how long to wait for a mirror with nothing to read', duration)
    .option('--sticky', 'apt-get update remembers the snapshot, apt-get install reuses it')
    .option('--or-current', 'with --sticky: use the current one where that snapshot is gone')
    .option('--remove', 'undo it');
}

/** @throws MirrorlatchError USAGE when the flags contradict each other. */
export function guardOptions(flags: GuardFlags): ChooseGuardOptions {
  if (flags.orCurrent && !flags.sticky) {
    throw new MirrorlatchError('USAGE', '--or-current says nothing without --sticky', {
      hint: 'Without --sticky each command sees the current snapshot.',
    });
  }
  return {
    roots: flags.mirror ?? [],
    pin: flags.pin,
    // The reader waits by whole seconds.
    waitSeconds: flags.wait === undefined ? undefined : Math.ceil(flags.wait / 1000),
    sticky: flags.sticky,
    orCurrent: flags.orCurrent,
    env: process.env,
  };
}

/** @throws MirrorlatchError USAGE when there are none. */
export function someCommands(commands: readonly string[]): readonly string[] {
  if (commands.length > 0) return commands;
  throw new MirrorlatchError('USAGE', 'no command was named', {
    hint: 'Name those that read the mirror, such as: apt-get apt',
  });
}
