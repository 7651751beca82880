import { Option } from 'commander';
import type { Given, HookPolicy } from '../../mirror/settings/policy.ts';
import type { OptionGroup } from './group.ts';

export interface HookFlags {
  hooks: boolean;
}

/** Which commands run around the work of a writer. */
export const HOOKS: OptionGroup<HookFlags, Given<HookPolicy> | undefined> = {
  options: [new Option('--no-hooks', 'run none of the hooks that the configuration names')],
  read: ({ hooks }) => (hooks ? undefined : { commands: {} }),
};
