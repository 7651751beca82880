import { isAbsolute } from 'node:path';
import { MirrorlatchError } from '../../errors.ts';
import { unfitOption } from '../../system/unfit-option.ts';
import { isNamePattern } from './name-pattern.ts';
import {
  AFTER_DRAIN,
  CHECK_CHOICES,
  type CheckPolicy,
  canBeTogether,
  type DrainPolicy,
  type Given,
  HOOK_PHASES,
  type HookPolicy,
  isNameWithin,
  isPathWithin,
  isTag,
  type LockPolicy,
  type ProbePolicy,
  type RetentionPolicy,
  type RetryPolicy,
  type ShrinkPolicy,
} from './policy.ts';

/**
 * What a program may give for the options of a call. The command line checks what it reads, and a
 * mirror's settings have a schema; but nothing keeps a program from handing over `NaN`, with which no
 * comparison holds, so that a grace time or a limit would count as passed.
 */

/** The groups of `policy.ts`, by the names that they have in the options of a call. */
interface Groups {
  lock: LockPolicy;
  retention: RetentionPolicy;
  retry: RetryPolicy;
  drain: DrainPolicy;
  shrink: ShrinkPolicy;
  probe: ProbePolicy;
  hooks: HookPolicy;
  check: CheckPolicy;
}

type GivenGroups = { readonly [Name in keyof Groups]?: Given<Groups[Name]> | undefined };

interface Rule {
  /** What it must be, in words. */
  readonly kind: string;
  readonly allows: (value: unknown) => boolean;
}

/** Infinity is for ever. */
const durationFrom = (least: number): Rule => ({
  kind: `a number of milliseconds, ${least} or more`,
  allows: (value) => typeof value === 'number' && value >= least,
});

const countFrom = (least: number): Rule => ({
  kind: `a whole number, ${least} or more`,
  allows: (value) => Number.isSafeInteger(value) && (value as number) >= least,
});

const DURATION = durationFrom(0);

const COUNT = countFrom(0);

const PERCENT: Rule = {
  kind: 'a number from 0 to 100',
  allows: (value) => typeof value === 'number' && value >= 0 && value <= 100,
};

const PERCENTAGES: Rule = {
  kind: 'an object with a number from 0 to 100 for each directory',
  allows: (value) => isObject(value) && Object.values(value).every(PERCENT.allows),
};

const PATHS: Rule = {
  kind: 'an array of paths in the source',
  allows: (value) => Array.isArray(value) && value.every(isPathWithin),
};

const TAGS: Rule = {
  kind: 'an array of tags',
  allows: (value) => Array.isArray(value) && value.every(isTag),
};

const PATTERNS: Rule = {
  kind: 'an array of patterns on names in the tree',
  allows: (value) => Array.isArray(value) && value.every(isNamePattern),
};

const NAME_OR_NONE: Rule = {
  kind: 'the name of a file at the top of the source, or empty',
  allows: (value) => value === '' || isNameWithin(value),
};

const COMMANDS: Rule = {
  kind: `an object with an array of words for any of ${HOOK_PHASES.join(', ')}`,
  allows: (value) =>
    isObject(value) &&
    Object.entries(value).every(
      ([phase, words]) =>
        HOOK_PHASES.some((known) => known === phase) &&
        (words === undefined || (Array.isArray(words) && words.every(isWord))),
    ),
};

const FLAG: Rule = { kind: 'true or false', allows: (value) => typeof value === 'boolean' };

const CHOICES: Rule = {
  kind: `an array of ${CHECK_CHOICES.join(', ')}, with none alone`,
  allows: (value) =>
    Array.isArray(value) &&
    value.every((one) => CHECK_CHOICES.some((choice) => choice === one)) &&
    canBeTogether(value),
};

const PATH_OR_NONE: Rule = {
  kind: 'an absolute path, or empty',
  allows: (value) => value === '' || (typeof value === 'string' && isAbsolute(value)),
};

const TEXT: Rule = {
  kind: 'a text without a byte of zero',
  allows: (value) => typeof value === 'string' && !value.includes('\0'),
};

/** One for every option, so that the compiler names one that is forgotten. */
const RULES: { readonly [Name in keyof Groups]: Readonly<Record<keyof Groups[Name], Rule>> } = {
  lock: { waitMs: DURATION, staleAfterMs: DURATION },
  retention: {
    keepLast: countFrom(1),
    keepHourly: COUNT,
    keepDaily: COUNT,
    keepWeekly: COUNT,
    keepMonthly: COUNT,
    keepYearly: COUNT,
    keepTags: TAGS,
    keepWithinMs: DURATION,
    graceMs: DURATION,
  },
  retry: { retries: COUNT, delayMs: DURATION },
  drain: {
    drainMs: DURATION,
    afterDrain: {
      kind: AFTER_DRAIN.join(' or '),
      allows: (value) => AFTER_DRAIN.some((choice) => choice === value),
    },
  },
  shrink: { maxPercent: PERCENT, maxPercentIn: PERCENTAGES, isAllowed: FLAG },
  probe: { paths: PATHS, maxAgeMs: DURATION, busyWhen: PATHS, fileList: NAME_OR_NONE },
  hooks: { commands: COMMANDS, timeoutMs: DURATION },
  check: {
    kinds: CHOICES,
    command: TEXT,
    timeoutMs: DURATION,
    except: PATTERNS,
    keyring: PATH_OR_NONE,
    content: FLAG,
    publishesAnyway: FLAG,
  },
};

/**
 * Checks the groups among the options of a call.
 *
 * @throws MirrorlatchError USAGE that names the option and its value.
 */
export function checkGroups(options: GivenGroups): void {
  for (const [group, rules] of Object.entries(RULES)) {
    const given: unknown = options[group as keyof Groups] ?? {};
    if (!isObject(given)) throw unfitOption(group, given, 'an object');
    for (const [name, value] of Object.entries(given)) {
      if ((value ?? undefined) === undefined) continue;
      const rule = Object.entries<Rule>(rules).find(([known]) => known === name)?.[1];
      if (rule === undefined) {
        const known = Object.keys(rules).join(', ');
        throw new MirrorlatchError('USAGE', `there is no option ${group}.${name}`, {
          hint: `The options of ${group} are ${known}.`,
        });
      }
      if (!rule.allows(value)) throw unfitOption(`${group}.${name}`, value, rule.kind);
    }
  }
}

/**
 * Checks when a call is to begin.
 *
 * @throws MirrorlatchError USAGE as `checkGroups`.
 */
export function checkStart(at: unknown): void {
  const isTime = at instanceof Date && !Number.isNaN(at.getTime());
  if (at !== undefined && !isTime) throw unfitOption('at', at, 'a valid Date');
}

/**
 * Checks tags among the options of a call.
 *
 * @throws MirrorlatchError USAGE as `checkGroups`.
 */
export function checkTags(name: string, value: unknown): void {
  if (value !== undefined && !TAGS.allows(value)) throw unfitOption(name, value, TAGS.kind);
}

/** Looking at a mirror more often than this would keep a core busy; ms. */
export const SHORTEST_POLL_MS = 10;

/**
 * Checks a duration among the options of a call; ms.
 *
 * @throws MirrorlatchError USAGE as `checkGroups`.
 */
export function checkDuration(name: string, value: unknown, least = 0): void {
  const rule = durationFrom(least);
  if (value !== undefined && !rule.allows(value)) throw unfitOption(name, value, rule.kind);
}

/** No argument of a program has a byte of zero. */
function isWord(value: unknown): value is string {
  return typeof value === 'string' && !value.includes('\0');
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
