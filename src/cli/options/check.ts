import { resolve } from 'node:path';
import { Option } from 'commander';
import { showDuration } from '../../config/values.ts';
import {
  CHECK_CHOICES,
  type CheckChoice,
  type CheckPolicy,
  DEFAULT_CHECK,
  type Given,
  idleKeyring,
  isCheckWanted,
} from '../../mirror/settings/policy.ts';
import { duration, namePatterns, someOf } from '../values.ts';
import type { OptionGroup } from './group.ts';

export interface CheckFlags {
  check?: CheckChoice[];
  /** False for --no-check-command. */
  checkCommand?: string | boolean;
  /** ms */
  checkTimeout?: number;
  /** False for --no-check-except. */
  checkExcept?: string[] | boolean;
  /** False for --no-check-keyring. */
  checkKeyring?: string | boolean;
  /** False for --no-check-content. */
  checkContent?: boolean;
  publishAnyway?: boolean;
}

/** By what a tree has to prove right, for a writer and for the verb alike. */
export const CHECK: OptionGroup<CheckFlags, Given<Omit<CheckPolicy, 'publishesAnyway'>>> = {
  options: [
    new Option(
      '--check <kind>',
      'check the tree by what it says of itself; repeatable (auto: all kinds that it has; none: nothing at all)',
    )
      .choices(CHECK_CHOICES)
      .argParser(someOf(CHECK_CHOICES)),
    new Option(
      '--check-command <command>',
      'also run this in the tree, by sh -c: it says no by its exit code',
    ),
    new Option('--no-check-command', 'run no command, whatever the mirror remembers'),
    new Option(
      '--check-timeout <duration>',
      `how long that command may take (0: for ever; default: ${showDuration(DEFAULT_CHECK.timeoutMs)})`,
    ).argParser(duration),
    new Option(
      '--check-except <pattern>',
      'count what is wrong with entries of this name, and refuse nothing for it; repeatable',
    ).argParser(namePatterns),
    new Option('--no-check-except', 'except nothing, whatever the mirror remembers'),
    new Option(
      '--check-keyring <file>',
      'demand signatures by one of the keys in this file',
    ).argParser((path) => (path === '' ? '' : resolve(path))),
    new Option('--no-check-keyring', 'demand no signatures, whatever the mirror remembers'),
    new Option('--check-content', 'read the packages, too, and not only what lists them'),
    new Option('--no-check-content', 'look only at the sizes of packages'),
  ],
  read: ({ check, checkCommand, checkTimeout, checkExcept, checkKeyring, checkContent }) => ({
    kinds: check,
    command: textOf(checkCommand),
    timeoutMs: checkTimeout,
    except: checkExcept === false ? [] : Array.isArray(checkExcept) ? checkExcept : undefined,
    keyring: textOf(checkKeyring),
    content: checkContent,
  }),
};

/** Empty for the negated flag; undefined if neither was given. */
function textOf(flag: string | boolean | undefined): string | undefined {
  return flag === false ? '' : typeof flag === 'string' ? flag : undefined;
}

/** The same for what publishes. */
export const CHECK_BEFORE: OptionGroup<CheckFlags, Given<CheckPolicy>> = {
  options: [
    ...CHECK.options,
    new Option('--publish-anyway', 'publish the tree whatever the checks find, and record that'),
  ],
  read: (flags) => ({ ...CHECK.read(flags), publishesAnyway: flags.publishAnyway }),
};

/** What is checked before a publication, for people; empty for nothing. */
export function describeCheck(policy: CheckPolicy): string[] {
  const idle = idleKeyring(policy);
  if (!isCheckWanted(policy)) return idle;
  const { kinds, command, keyring, content, except } = policy;
  const what = kinds.length === 0 ? [] : [kinds.join(', ') + (content ? ' with all packages' : '')];
  const parts = [
    ...what,
    ...(keyring === '' || idle.length > 0 ? [] : [`signatures by ${keyring}`]),
    ...(command === '' ? [] : [`the command ${command}`]),
    ...(except.length === 0 ? [] : [`except what is wrong with ${except.join(', ')}`]),
  ];
  return [`a new tree is checked before it is published: ${parts.join('; ')}`, ...idle];
}
