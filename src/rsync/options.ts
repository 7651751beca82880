import { MirrorlatchError } from '../errors.ts';
import { nearestName } from '../system/nearest.ts';

/**
 * What one of rsync's options means for a snapshot that is made beside the old one:
 * - `plan`: it chooses or transforms entries one by one, so a list of entries can be applied alone;
 * - `whole`: its effect depends on entries that did not change, so rsync must see the whole tree;
 * - `said`: mirrorlatch already does or reports the same, so it is not passed on;
 * - `refused`: it would break an invariant; the text says why and what to use instead.
 */
type Meaning = 'plan' | 'whole' | 'said' | { refused: string };

interface Option {
  long?: string;
  short?: string;
  takesValue?: true;
  meaning: Meaning;
}

export interface RsyncOptions {
  /** For rsync's command line, in the user's order. */
  args: readonly string[];
  /** The same, option by option: `name` is the long name, or the letter if there is no long one. */
  named: readonly { name: string; words: readonly string[] }[];
  /** The first option that needs a whole pass, or undefined when a plan can be applied. */
  needsWholePass: string | undefined;
}

/** One option of a command line with its words. */
export interface NamedOption {
  /** As in `RsyncOptions`. */
  name: string;
  words: readonly string[];
  /** Of an option that can be used. */
  meaning?: Exclude<Meaning, object>;
  /** Why rsync must not get it. */
  refusal?: MirrorlatchError;
}

/**
 * Checks the options that a user gives for rsync.
 *
 * @throws MirrorlatchError USAGE for an option that breaks an invariant, and for an unknown one,
 *   because its effect on published snapshots is unknown too.
 */
export function parseRsyncOptions(given: readonly string[]): RsyncOptions {
  // Node has replaced the invalid bytes, so that another entry would match, or none.
  if (given.some((word) => word.includes('\uFFFD'))) {
    throw new MirrorlatchError('USAGE', "a word of rsync's options is not valid UTF-8", {
      hint: 'Put such a pattern into a file, and name the file with --exclude-from or --filter.',
    });
  }
  const options = splitOptions(given);
  const refused = options.find(({ refusal }) => refusal !== undefined);
  if (refused?.refusal !== undefined) throw refused.refusal;
  const named = options
    .filter(({ meaning }) => meaning !== 'said')
    .map(({ name, words }) => ({ name, words }));
  const whole = options.find(({ meaning }) => meaning === 'whole');
  const needsWholePass = whole && shownName(whole.words);
  return { args: named.flatMap(({ words }) => words), named, needsWholePass };
}

/**
 * The same, option by option, without refusing any: what a mirror remembers of another version has to be
 * shown and replaced. Pure.
 */
export function splitOptions(given: readonly string[]): NamedOption[] {
  const named: NamedOption[] = [];
  const take = (option: Option | undefined, words: readonly (string | undefined)[]): void => {
    const there = words.filter((word) => word !== undefined);
    const shown = shownName(there);
    const name = option?.long ?? option?.short ?? shown;
    const meaning = option?.meaning;
    if (meaning === undefined) {
      const why = `mirrorlatch does not know it, so it may not be safe.${nearest(shown)}`;
      named.push({ name, words: there, refusal: refusal(shown, why) });
    } else if (typeof meaning === 'object') {
      named.push({ name, words: there, refusal: refusal(shown, meaning.refused) });
    } else if (there.length < words.length) {
      const problem = `rsync's option ${shown} needs a value`;
      named.push({ name, words: there, refusal: new MirrorlatchError('USAGE', problem) });
    } else named.push({ name, words: there, meaning });
  };
  for (let index = 0; index < given.length; index += 1) {
    const word = given[index] ?? '';
    if (word.startsWith('--') && word !== '--') {
      const [, name = '', value] = /^--([^=]*)(=.*)?$/s.exec(word) ?? [];
      const option = longOption(name);
      const wantsNext = option?.takesValue === true && value === undefined;
      if (wantsNext) index += 1;
      take(option, wantsNext ? [word, given[index]] : [word]);
    } else if (/^-[^-]/.test(word)) {
      for (let at = 1; at < word.length; at += 1) {
        const letter = word[at] ?? '';
        const option = OPTIONS.find(({ short }) => short === letter);
        const rest = word.slice(at + 1);
        if (option?.takesValue !== true) {
          take(option, [`-${letter}`]);
          continue;
        }
        if (rest === '') index += 1;
        // A joined value stays joined, because rsync reads `-e=ssh` as `-e ssh`.
        take(option, rest === '' ? [`-${letter}`, given[index]] : [`-${letter}${rest}`]);
        break;
      }
    } else {
      const problem = `${JSON.stringify(word)} is not an option of rsync`;
      const hint =
        'Put only options of rsync after the --, such as --exclude=/iso/, and paths before it.';
      const refusal = new MirrorlatchError('USAGE', problem, { hint });
      named.push({ name: word, words: [word], refusal });
    }
  }
  return named;
}

/** The option as a message shows it, without its value. */
function shownName([word = '']: readonly string[]): string {
  return word.startsWith('--') ? word.replace(/=.*$/s, '') : word.slice(0, 2);
}

/** Whether a word is an option of rsync, or several letters in one, allowed or not. */
export function isRsyncOption(word: string): boolean {
  if (word.startsWith('--')) return longOption(word.slice(2).replace(/=.*$/s, '')) !== undefined;
  return optionsInLetters(word).every((option) => option !== undefined);
}

/** Whether the value of an option of rsync is the word after it. */
export function takesNextWord(word: string): boolean {
  if (word.startsWith('--')) return longOption(word.slice(2))?.takesValue === true;
  const letters = optionsInLetters(word);
  return letters.length === word.length - 1 && letters.at(-1)?.takesValue === true;
}

/** The options of `-av`, up to the first that takes the rest as its value. */
function optionsInLetters(word: string): (Option | undefined)[] {
  const options = [...word.slice(1)].map((letter) => OPTIONS.find(({ short }) => short === letter));
  const last = options.findIndex((option) => option?.takesValue === true);
  return last === -1 ? options : options.slice(0, last + 1);
}

/**
 * The options without those of one name.
 *
 * @param args as `parseRsyncOptions` returns them.
 * @param unwanted the long name.
 */
export function withoutOption(unwanted: string, args: readonly string[]): string[] {
  return parseRsyncOptions(args)
    .named.filter(({ name }) => name !== unwanted)
    .flatMap(({ words }) => words);
}

/**
 * Whether two lists of options choose the same entries of a source, for all that is known: they differ
 * at most in what cannot leave an entry out.
 */
export function selectAlike(one: readonly string[], other: readonly string[]): boolean {
  try {
    return selecting(one).join('\0') === selecting(other).join('\0');
  } catch {
    // Another version has known an option that this one refuses.
    return false;
  }
}

function selecting(args: readonly string[]): string[] {
  return parseRsyncOptions(args)
    .named.filter(({ name }) => !SELECTS_NOTHING.has(name.replace(/^no-/, '')))
    .flatMap(({ words }) => words);
}

/** By these, rsync compares, transfers and stores otherwise, but the same entries. */
const SELECTS_NOTHING: ReadonlySet<string> = new Set([
  'motd',
  'checksum',
  'perms',
  'executability',
  'chmod',
  'acls',
  'xattrs',
  'owner',
  'group',
  'times',
  'atimes',
  'open-noatime',
  'crtimes',
  'omit-dir-times',
  'omit-link-times',
  'sparse',
  'preallocate',
  'whole-file',
  'checksum-choice',
  'cc',
  'block-size',
  'max-alloc',
  'numeric-ids',
  'usermap',
  'groupmap',
  'chown',
  'timeout',
  'contimeout',
  'ignore-times',
  'size-only',
  'modify-window',
  'fuzzy',
  'compress',
  'compress-choice',
  'zc',
  'compress-level',
  'zl',
  'compress-threads',
  'zt',
  'skip-compress',
  'blocking-io',
  'sockopts',
  'ipv4',
  'ipv6',
  'log-file',
  'log-file-format',
  'bwlimit',
  'fsync',
  'checksum-seed',
]);

/** The value of an option in any spelling: `--rsh=x`, `--rsh x`, `-e x`, `-ex`; empty for none. */
export function optionValue(words: readonly string[]): string {
  const [first = '', second] = words;
  if (second !== undefined) return second;
  if (!first.startsWith('--')) return first.slice(2).replace(/^=/, '');
  return first.includes('=') ? first.slice(first.indexOf('=') + 1) : '';
}

/** The option in the same spelling with another value. */
export function withOptionValue(words: readonly string[], value: string): string[] {
  const [first = '', second] = words;
  if (second !== undefined) return [first, value];
  const end = first.startsWith('--') ? first.indexOf('=') + 1 : 2;
  return [first.slice(0, end) + value];
}

function longOption(name: string): Option | undefined {
  const exact = OPTIONS.find(({ long }) => long === name);
  if (exact || !name.startsWith('no-')) return exact;
  const positive = name.slice('no-'.length);
  const turnedOff = OPTIONS.find(
    ({ long, short }) => long === positive || (positive.length === 1 && short === positive),
  );
  if (turnedOff === undefined) return undefined;
  // Turning off a refused option is harmless.
  const meaning = typeof turnedOff.meaning === 'object' ? 'plan' : turnedOff.meaning;
  return { long: name, meaning };
}

/** The long option that was probably meant, as a question. */
function nearest(shown: string): string {
  const names = OPTIONS.flatMap(({ long }) => (long === undefined ? [] : [long]));
  const name = shown.startsWith('--') ? nearestName(shown.slice(2), names) : undefined;
  return name === undefined ? '' : ` Did you mean --${name}?`;
}

function refusal(option: string, reason: string): MirrorlatchError {
  return new MirrorlatchError('USAGE', `rsync's option ${option} cannot be used: ${reason}`, {
    hint: 'The rsync options that can be used are listed in: mirrorlatch help rsync-options',
  });
}

function because(refused: string): Meaning {
  return { refused };
}

const IN_PLACE = because(
  'it writes into files that published snapshots share. Leave it out: staging is private already.',
);
const OTHER_DESTINATION = because(
  'mirrorlatch chooses what a snapshot is linked or copied from. See --strategy and --clone.',
);
const LOOKS_AT_TARGET = because(
  'a snapshot is a new tree, so nothing in the target may decide what is copied. Use --exclude, --max-size or --min-size.',
);
const OUTPUT = because(
  "mirrorlatch reads rsync's output. Use --dry-run, --json and the log in .mirrorlatch/logs.",
);
const BATCH = because('a batch has no tree to check. Sync without it.');
const STAGED = because('staging is invisible until it is published in one rename. Leave it out.');
const LIST = because('a mirror is a whole tree. Choose entries with --include and --exclude.');
const BACKUP = because('every earlier snapshot is the backup. See --keep-last and --keep-within.');
const NOT_A_SYNC = because('it makes rsync do something other than a sync. Call rsync itself.');

/** Every option of rsync 3.5 (rsync(1), OPTION SUMMARY). */
const OPTIONS: readonly Option[] = [
  { long: 'verbose', short: 'v', meaning: 'said' },
  { long: 'info', takesValue: true, meaning: OUTPUT },
  { long: 'debug', takesValue: true, meaning: OUTPUT },
  { long: 'stderr', takesValue: true, meaning: OUTPUT },
  { long: 'quiet', short: 'q', meaning: 'said' },
  { long: 'motd', meaning: 'plan' },
  { long: 'checksum', short: 'c', meaning: 'plan' },
  { long: 'archive', short: 'a', meaning: 'plan' },
  { long: 'recursive', short: 'r', meaning: 'said' },
  { long: 'no-recursive', meaning: 'whole' },
  { long: 'no-r', meaning: 'whole' },
  { long: 'inc-recursive', meaning: 'plan' },
  { long: 'i-r', meaning: 'plan' },
  {
    long: 'relative',
    short: 'R',
    meaning: because(
      "a mirror has one source, whose content it is; -R would put that below the source's own path. Mirror the directory above it as the source, and choose with --include and --exclude.",
    ),
  },
  { long: 'implied-dirs', meaning: 'plan' },
  { long: 'backup', short: 'b', meaning: BACKUP },
  { long: 'backup-dir', takesValue: true, meaning: BACKUP },
  { long: 'suffix', takesValue: true, meaning: BACKUP },
  { long: 'update', short: 'u', meaning: LOOKS_AT_TARGET },
  { long: 'inplace', meaning: IN_PLACE },
  { long: 'append', meaning: IN_PLACE },
  { long: 'append-verify', meaning: IN_PLACE },
  { long: 'dirs', short: 'd', meaning: 'whole' },
  { long: 'old-dirs', meaning: 'whole' },
  { long: 'old-d', meaning: 'whole' },
  { long: 'mkpath', meaning: 'said' },
  { long: 'links', short: 'l', meaning: 'plan' },
  { long: 'copy-links', short: 'L', meaning: 'whole' },
  { long: 'copy-unsafe-links', meaning: 'whole' },
  { long: 'safe-links', meaning: 'plan' },
  { long: 'insecure-links', meaning: 'plan' },
  { long: 'confine-root', takesValue: true, meaning: 'plan' },
  { long: 'munge-links', meaning: 'whole' },
  { long: 'copy-dirlinks', short: 'k', meaning: 'whole' },
  {
    long: 'keep-dirlinks',
    short: 'K',
    meaning: because('it writes through symlinks that the source controls. Use -k or -L.'),
  },
  { long: 'hard-links', short: 'H', meaning: 'whole' },
  { long: 'perms', short: 'p', meaning: 'plan' },
  { long: 'executability', short: 'E', meaning: 'plan' },
  { long: 'chmod', takesValue: true, meaning: 'plan' },
  { long: 'acls', short: 'A', meaning: 'plan' },
  { long: 'xattrs', short: 'X', meaning: 'plan' },
  { long: 'owner', short: 'o', meaning: 'plan' },
  { long: 'group', short: 'g', meaning: 'plan' },
  { long: 'devices', meaning: 'plan' },
  { long: 'copy-devices', meaning: 'whole' },
  { long: 'write-devices', meaning: IN_PLACE },
  { long: 'specials', meaning: 'plan' },
  { long: 'drop-D', meaning: 'plan' },
  { short: 'D', meaning: 'plan' },
  { long: 'times', short: 't', meaning: 'plan' },
  { long: 'atimes', short: 'U', meaning: 'whole' },
  { long: 'open-noatime', meaning: 'plan' },
  { long: 'crtimes', short: 'N', meaning: 'whole' },
  { long: 'omit-dir-times', short: 'O', meaning: 'plan' },
  { long: 'omit-link-times', short: 'J', meaning: 'plan' },
  { long: 'super', meaning: 'plan' },
  { long: 'fake-super', meaning: 'plan' },
  { long: 'sparse', short: 'S', meaning: 'plan' },
  { long: 'preallocate', meaning: 'plan' },
  {
    long: 'dry-run',
    short: 'n',
    meaning: because('a sync has its own: mirrorlatch sync --dry-run'),
  },
  { long: 'whole-file', short: 'W', meaning: 'plan' },
  { long: 'checksum-choice', takesValue: true, meaning: 'plan' },
  { long: 'cc', takesValue: true, meaning: 'plan' },
  { long: 'one-file-system', short: 'x', meaning: 'whole' },
  { long: 'block-size', short: 'B', takesValue: true, meaning: 'plan' },
  { long: 'rsh', short: 'e', takesValue: true, meaning: 'plan' },
  { long: 'rsync-path', takesValue: true, meaning: 'plan' },
  { long: 'existing', meaning: LOOKS_AT_TARGET },
  { long: 'ignore-non-existing', meaning: LOOKS_AT_TARGET },
  { long: 'ignore-existing', meaning: LOOKS_AT_TARGET },
  {
    long: 'remove-source-files',
    meaning: because('a mirror must not empty its source, least of all before it is published.'),
  },
  { long: 'del', meaning: 'said' },
  { long: 'delete', meaning: 'said' },
  { long: 'delete-before', meaning: 'said' },
  { long: 'delete-during', meaning: 'said' },
  { long: 'delete-delay', meaning: 'said' },
  { long: 'delete-after', meaning: 'said' },
  { long: 'delete-excluded', meaning: 'plan' },
  { long: 'no-delete', meaning: because('a sync has its own: mirrorlatch sync --without delete') },
  {
    long: 'ignore-missing-args',
    meaning: because('a missing source must never pass for an empty one.'),
  },
  {
    long: 'delete-missing-args',
    meaning: because('a missing source must never pass for an empty one.'),
  },
  {
    long: 'ignore-errors',
    meaning: because('an entry that cannot be read must never count as deleted.'),
  },
  { long: 'force', meaning: 'said' },
  {
    long: 'max-delete',
    takesValue: true,
    meaning: because(
      'it has no effect in a fresh tree. Use: mirrorlatch sync --max-shrink PERCENT',
    ),
  },
  { long: 'max-size', takesValue: true, meaning: 'plan' },
  { long: 'min-size', takesValue: true, meaning: 'plan' },
  { long: 'max-alloc', takesValue: true, meaning: 'plan' },
  { long: 'partial', meaning: 'said' },
  {
    long: 'partial-dir',
    takesValue: true,
    meaning: because('mirrorlatch keeps partial files itself.'),
  },
  { long: 'delay-updates', meaning: STAGED },
  { long: 'prune-empty-dirs', short: 'm', meaning: 'whole' },
  { long: 'numeric-ids', meaning: 'plan' },
  { long: 'usermap', takesValue: true, meaning: 'plan' },
  { long: 'groupmap', takesValue: true, meaning: 'plan' },
  { long: 'chown', takesValue: true, meaning: 'plan' },
  { long: 'timeout', takesValue: true, meaning: 'plan' },
  { long: 'contimeout', takesValue: true, meaning: 'plan' },
  { long: 'ignore-times', short: 'I', meaning: 'plan' },
  { long: 'size-only', meaning: 'plan' },
  { long: 'modify-window', short: '@', takesValue: true, meaning: 'plan' },
  { long: 'temp-dir', short: 'T', takesValue: true, meaning: STAGED },
  { long: 'fuzzy', short: 'y', meaning: 'plan' },
  { long: 'compare-dest', takesValue: true, meaning: OTHER_DESTINATION },
  { long: 'copy-dest', takesValue: true, meaning: OTHER_DESTINATION },
  { long: 'link-dest', takesValue: true, meaning: OTHER_DESTINATION },
  { long: 'compress', short: 'z', meaning: 'plan' },
  { long: 'compress-choice', takesValue: true, meaning: 'plan' },
  { long: 'zc', takesValue: true, meaning: 'plan' },
  { long: 'compress-level', takesValue: true, meaning: 'plan' },
  { long: 'zl', takesValue: true, meaning: 'plan' },
  { long: 'compress-threads', takesValue: true, meaning: 'plan' },
  { long: 'zt', takesValue: true, meaning: 'plan' },
  { long: 'skip-compress', takesValue: true, meaning: 'plan' },
  { long: 'cvs-exclude', short: 'C', meaning: 'whole' },
  { long: 'filter', short: 'f', takesValue: true, meaning: 'whole' },
  { short: 'F', meaning: 'whole' },
  { long: 'exclude', takesValue: true, meaning: 'plan' },
  { long: 'exclude-from', takesValue: true, meaning: 'plan' },
  { long: 'include', takesValue: true, meaning: 'plan' },
  { long: 'include-from', takesValue: true, meaning: 'plan' },
  { long: 'files-from', takesValue: true, meaning: LIST },
  { long: 'from0', short: '0', meaning: LIST },
  { long: 'old-args', meaning: 'plan' },
  { long: 'secluded-args', short: 's', meaning: 'plan' },
  { long: 'protect-args', meaning: 'plan' },
  { long: 'trust-sender', meaning: 'plan' },
  {
    long: 'copy-as',
    takesValue: true,
    meaning: because(
      'that user could not enter the staging of the mirror. Run the sync itself as that user, or set owners with --chown.',
    ),
  },
  { long: 'address', takesValue: true, meaning: 'plan' },
  { long: 'port', takesValue: true, meaning: 'plan' },
  { long: 'sockopts', takesValue: true, meaning: 'plan' },
  { long: 'blocking-io', meaning: 'plan' },
  { long: 'outbuf', takesValue: true, meaning: OUTPUT },
  { long: 'stats', meaning: 'said' },
  { long: '8-bit-output', short: '8', meaning: 'said' },
  { long: 'human-readable', short: 'h', meaning: 'said' },
  { long: 'progress', meaning: 'said' },
  { short: 'P', meaning: 'said' },
  { long: 'itemize-changes', short: 'i', meaning: 'said' },
  { long: 'remote-option', short: 'M', takesValue: true, meaning: 'plan' },
  { long: 'out-format', takesValue: true, meaning: OUTPUT },
  { long: 'log-file', takesValue: true, meaning: 'plan' },
  { long: 'log-file-format', takesValue: true, meaning: 'plan' },
  { long: 'password-file', takesValue: true, meaning: 'plan' },
  { long: 'early-input', takesValue: true, meaning: 'plan' },
  { long: 'list-only', meaning: NOT_A_SYNC },
  { long: 'bwlimit', takesValue: true, meaning: 'plan' },
  { long: 'stop-after', takesValue: true, meaning: 'plan' },
  { long: 'stop-at', takesValue: true, meaning: 'plan' },
  { long: 'fsync', meaning: 'plan' },
  { long: 'write-batch', takesValue: true, meaning: BATCH },
  { long: 'only-write-batch', takesValue: true, meaning: BATCH },
  { long: 'read-batch', takesValue: true, meaning: BATCH },
  { long: 'protocol', takesValue: true, meaning: 'plan' },
  { long: 'iconv', takesValue: true, meaning: 'whole' },
  { long: 'checksum-seed', takesValue: true, meaning: 'plan' },
  { long: 'ipv4', short: '4', meaning: 'plan' },
  { long: 'ipv6', short: '6', meaning: 'plan' },
  { long: 'version', short: 'V', meaning: NOT_A_SYNC },
  { long: 'help', meaning: NOT_A_SYNC },
  { long: 'daemon', meaning: NOT_A_SYNC },
  { long: 'server', meaning: NOT_A_SYNC },
  { long: 'sender', meaning: NOT_A_SYNC },
  { long: 'config', takesValue: true, meaning: NOT_A_SYNC },
];
