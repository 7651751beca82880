import type { Command, Option } from 'commander';

/** Options that several commands share, and the option group that they set. */
export interface OptionGroup<Flags, Meaning> {
  readonly options: readonly Option[];
  read(flags: Flags): Meaning;
}

/** Adds single options and groups of options, in this order. */
export function addOptions(
  command: Command,
  ...added: readonly (Option | { readonly options: readonly Option[] })[]
): Command {
  for (const one of added) {
    for (const option of 'options' in one ? one.options : [one]) command.addOption(option);
  }
  return command;
}
