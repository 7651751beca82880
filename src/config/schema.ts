import { isAbsolute } from 'node:path';
import * as z from 'zod/mini';
import { MirrorlatchError } from '../errors.ts';
import { parseChannelName } from '../mirror/channels/channel-names.ts';
import { joinRules } from '../mirror/channels/channel-rules.ts';
import { AFTER_DRAIN, CHECK_CHOICES, canBeTogether } from '../mirror/settings/policy.ts';
import { CLONE_CHOICES, STRATEGIES, UNCLEAN_POLICIES } from '../operations/sync/context.ts';
import { checkedAliasName } from '../reader/alias-names.ts';
import { DEFAULT_NAMES } from '../rsync/arguments.ts';
import { withAbsoluteFiles } from '../rsync/option-files.ts';
import { parseSource } from '../rsync/source.ts';
import { mayBeCalendarEvent, nearestEvent } from '../scheduling/calendar.ts';
import {
  isMirrorName,
  readChannelRule,
  readChoice,
  readCount,
  readDirectory,
  readDuration,
  readNameAtTop,
  readNamePattern,
  readPathWithin,
  readPercentage,
  readTag,
  UnfitValue,
} from './values.ts';

/**
 * What the configuration may hold. A key is a long option of the command line without its dashes, with the
 * same values; flags that can be repeated take an array.
 */

/** A value of one of these types, as `read` reads its text. @param wanted what to say of any other type. */
function value<Value>(
  types: readonly ('string' | 'number' | 'boolean')[],
  wanted: string,
  read: (text: string) => Value,
) {
  return z.pipe(
    z.unknown(),
    z.transform((given, context): Value => {
      try {
        if (types.some((type) => typeof given === type)) return read(String(given));
        throw new UnfitValue(wanted);
      } catch (error) {
        context.issues.push({ code: 'custom', message: complaintOf(error), input: given });
        return z.NEVER;
      }
    }),
  );
}

function complaintOf(error: unknown): string {
  if (error instanceof UnfitValue) return error.message;
  if (error instanceof MirrorlatchError)
    return [`${error.message.replace(/\.$/, '')}.`, error.hint ?? ''].join(' ').trim();
  throw error;
}

const DURATION = 'Give a duration in quotes, such as "90s", "10m", "24h", "7d" or "2w".';

/** ms */
const duration = value(['string', 'number'], DURATION, readDuration);

const count = (least: number) =>
  value(['number'], `Give a whole number of at least ${least}, without quotes.`, (text) =>
    readCount(text, least),
  );

const percentage = value(['number', 'string'], 'Give a percentage from 0 to 100.', readPercentage);

const flag = value(['boolean'], 'Give true or false, without quotes.', (text) => text === 'true');

const text = (wanted: string, read: (text: string) => string = (given) => given) =>
  value(['string'], wanted, read);

const choice = <Choice extends string>(allowed: readonly Choice[]) =>
  value(['string'], `Give one of these in quotes: ${allowed.join(', ')}.`, (given) =>
    readChoice(given, allowed),
  );

/** An array of what `one` takes; one alone needs no brackets. */
function listOf<Value>(wanted: string, read: (text: string) => Value) {
  return z.pipe(
    z.unknown(),
    z.transform((given, context): Value[] => {
      const items: readonly unknown[] = Array.isArray(given) ? given : [given];
      try {
        return items.map((item) => {
          if (typeof item !== 'string') throw new UnfitValue(wanted);
          return read(item);
        });
      } catch (error) {
        context.issues.push({ code: 'custom', message: complaintOf(error), input: given });
        return z.NEVER;
      }
    }),
  );
}

const PATHS = 'Give paths in the source, such as ["lastupdate"].';

const directory = text('Give a directory of the tree, such as pool.', readDirectory);

function absolute(path: string): string {
  if (!isAbsolute(path))
    throw new UnfitValue('Give an absolute path, such as "/srv/mirror/debian".');
  if (path.includes('\0')) throw new UnfitValue('No path has a byte of zero.');
  return path;
}

/** Whoever reads the file may be anywhere, so no name in it is relative. */
function lastingOptions(words: string[]): string[] {
  const lasting = withAbsoluteFiles(words);
  const relative = lasting.find((word) => !words.includes(word));
  if (relative !== undefined) throw new UnfitValue(`Give the absolute path of a file: ${relative}`);
  return words;
}

const WORDS =
  'Give the words of the options in an array, such as ["--exclude=/iso/", "--bwlimit=5m"].';

const rsyncOptions = z.pipe(
  listOf(WORDS, (word) => word),
  z.transform((words, context) => {
    try {
      return lastingOptions(words);
    } catch (error) {
      context.issues.push({ code: 'custom', message: complaintOf(error), input: words });
      return z.NEVER;
    }
  }),
);

const KEYRING =
  'Give the absolute path of a file with keys in quotes, such as "/usr/share/keyrings/debian-archive-keyring.gpg", or "" for none.';

function readKeyringPath(path: string): string {
  if (path !== '' && !isAbsolute(path)) throw new UnfitValue(KEYRING);
  return path === '' ? path : absolute(path);
}

function readShellText(given: string): string {
  if (given.includes('\0')) throw new UnfitValue('No command has a byte of zero.');
  return given;
}

const SCHEDULE =
  'Give a calendar event of systemd, such as "daily", "03:17" or "*:0/15", or "never".';

function readSchedule(given: string): string {
  if (given === 'never' || mayBeCalendarEvent(given)) return given;
  const nearest = nearestEvent(given);
  throw new UnfitValue(nearest === undefined ? SCHEDULE : `Did you mean ${nearest}? ${SCHEDULE}`);
}

const ADDRESSES = 'Give addresses of mail in quotes, such as ["root"] or ["ops@example.org"].';

function readAddress(given: string): string {
  if (/^[A-Za-z0-9._+][A-Za-z0-9._+-]*(@[A-Za-z0-9.-]+)?$/.test(given)) return given;
  throw new UnfitValue(ADDRESSES);
}

const WEBHOOKS = 'Give URLs in quotes, such as ["https://chat.example.org/hooks/1"].';

function readWebhook(given: string): string {
  if (!URL.canParse(given)) throw new UnfitValue(WEBHOOKS);
  const { protocol, username, password } = new URL(given);
  if (!/^https?:$/.test(protocol)) throw new UnfitValue(WEBHOOKS);
  if (username !== '' || password !== '')
    throw new UnfitValue(
      'Give a URL without a user: its secret belongs into the path or the query.',
    );
  return given;
}

const COMMAND =
  'Give a line for sh in quotes, the words of a command in an array, or [] for none, such as "systemctl reload nginx" or ["/usr/local/bin/purge", "--all"].';

/** The words of a command. A string is a line for sh(1). */
const command = z.pipe(
  z.unknown(),
  z.transform((given, context): string[] => {
    const words: readonly unknown[] = Array.isArray(given) ? given : ['/bin/sh', '-c', given];
    if (words.every(isWord) && given !== '' && hasLastingProgram(words)) return [...words];
    context.issues.push({ code: 'custom', message: COMMAND, input: given });
    return z.NEVER;
  }),
);

function isWord(word: unknown): word is string {
  return typeof word === 'string' && !word.includes('\0');
}

/** A hook has another working directory than whoever writes the file. */
function hasLastingProgram([program]: readonly string[]): boolean {
  return program === undefined || isAbsolute(program) || /^[^/]+$/.test(program);
}

const OTHER_MIRROR = 'Give the name of another mirror in quotes.';

function readMirrorName(given: string): string {
  if (isMirrorName(given)) return given;
  throw new UnfitValue(OTHER_MIRROR);
}

const RULE = 'Give what the channel follows, such as "testing after 7d" or "current after 1d".';

const channels = z.pipe(
  z.record(
    text('Give the name of a channel.', parseChannelName),
    value(['string'], RULE, readChannelRule),
  ),
  z.transform((rules, context) => {
    try {
      return joinRules(undefined, rules) ?? {};
    } catch (error) {
      context.issues.push({ code: 'custom', message: complaintOf(error), input: rules });
      return z.NEVER;
    }
  }),
);

/** What every mirror may have, and so `[defaults]`. */
const COMMON = {
  'rsync-options': z.optional(rsyncOptions),
  'in-place': z.optional(flag),

  'keep-last': z.optional(count(1)),
  'keep-hourly': z.optional(count(0)),
  'keep-daily': z.optional(count(0)),
  'keep-weekly': z.optional(count(0)),
  'keep-monthly': z.optional(count(0)),
  'keep-yearly': z.optional(count(0)),
  'keep-tag': z.optional(listOf('Give tags of snapshots, such as ["release"].', readTag)),
  'keep-within': z.optional(duration),
  grace: z.optional(duration),

  'max-shrink': z.optional(percentage),
  /** A directory of the tree to its limit. */
  'max-shrink-in': z.optional(z.record(directory, percentage)),

  probe: z.optional(listOf(PATHS, readPathWithin)),
  'probe-max-age': z.optional(duration),
  'busy-when': z.optional(listOf(PATHS, readPathWithin)),
  'file-list': z.optional(text('Give the name of a file at the top of the source.', readNameAtTop)),

  check: z.optional(
    listOf(`Give some of these in an array: ${CHECK_CHOICES.join(', ')}.`, (given) =>
      readChoice(given, CHECK_CHOICES),
    ).check(z.refine(canBeTogether, 'Give none alone: it turns off all checks.')),
  ),
  'check-command': z.optional(
    text('Give the words of a shell in quotes, or "" for none.', readShellText),
  ),
  'check-timeout': z.optional(duration),
  'check-except': z.optional(
    listOf('Give patterns on names, such as ["pool/old/**"].', readNamePattern),
  ),
  'check-keyring': z.optional(text(KEYRING, readKeyringPath)),
  'check-content': z.optional(flag),

  /** A channel to what it follows. */
  channels: z.optional(channels),

  strategy: z.optional(choice(STRATEGIES)),
  clone: z.optional(choice(CLONE_CHOICES)),
  without: z.optional(
    listOf(`Give some of these in an array: ${DEFAULT_NAMES.join(', ')}.`, (given) =>
      readChoice(given, DEFAULT_NAMES),
    ),
  ),
  unclean: z.optional(choice(UNCLEAN_POLICIES)),
  prune: z.optional(flag),
  wait: z.optional(duration),
  'stale-after': z.optional(duration),
  retries: z.optional(count(0)),
  'retry-delay': z.optional(duration),
  drain: z.optional(duration),
  'after-drain': z.optional(choice(AFTER_DRAIN)),

  'before-sync': z.optional(command),
  'before-publish': z.optional(command),
  'after-publish': z.optional(command),
  'on-failure': z.optional(command),
  'on-recovery': z.optional(command),
  'hook-timeout': z.optional(duration),

  'max-age': z.optional(duration),
  schedule: z.optional(text(SCHEDULE, readSchedule)),
  'notify-mail': z.optional(listOf(ADDRESSES, readAddress)),
  'notify-webhook': z.optional(listOf(WEBHOOKS, readWebhook)),
  'notify-systemd': z.optional(flag),
  aliases: z.optional(
    listOf('Give the commands that read the mirror, such as ["apt-get", "apt"].', checkedAliasName),
  ),
} as const;

const SERVED =
  'Give the beginning of its URLs, such as "/debian/"; or "current=/debian/", if what is current is right below that.';

export const Defaults = z.strictObject(COMMON);

export const MirrorTable = z.strictObject({
  ...COMMON,
  root: z.optional(text('Give the path of the mirror in quotes.', absolute)),
  source: z.optional(
    text('Give the source as rsync has it, in quotes.', (given) => parseSource(given).argument),
  ),
  /** What `lock` runs, in place of a sync. */
  fill: z.optional(command),
  after: z.optional(text(OTHER_MIRROR, readMirrorName)),
  'serve-at': z.optional(text('Give the path of a directory in quotes.', absolute)),
  'serve-as': z.optional(
    text(SERVED, (given) => {
      if (/^(current=)?\/([A-Za-z0-9._~+-]+\/)*$/.test(given)) return given;
      throw new UnfitValue(SERVED);
    }),
  ),
});

/** What a mirror is told, by its own table or by `[defaults]`. */
export type MirrorTable = z.infer<typeof MirrorTable>;
export type Key = keyof MirrorTable;

/** Every key of a mirror's table. */
export const KEYS = Object.keys(MirrorTable.shape) as Key[];

/** Whether the value of a key is a duration; ms. */
export function isDuration(key: Key): boolean {
  const { innerType } = (MirrorTable.shape[key] as z.ZodMiniOptional).def;
  return innerType === duration;
}
