import { accessSync, constants, readFileSync, realpathSync, statSync } from 'node:fs';
import { dirname, isAbsolute, resolve } from 'node:path';
import { hasCode, MirrorlatchError } from '../errors.ts';
import { ifThere, lstatIfThere, readlinkIfThere, realPathToBe } from '../system/files.ts';
import { isWithin } from '../system/mounts.ts';
import { quoteForSh } from '../system/quote.ts';
import { checkMaxDelete } from './max-delete.ts';
import {
  type NamedOption,
  namedOptions,
  optionValue,
  parseRsyncOptions,
  splitOptions,
  throwTogether,
  withOptionValue,
} from './options.ts';
import { withAbsolutePaths } from './remote-shell.ts';

/**
 * rsync looks a relative name up in its working directory. Options are remembered, and cron starts
 * elsewhere than the person who gave them, where there may be another file of that name.
 */

/** The options whose value names a file of the host where rsync runs. */
const FILES: Readonly<Record<string, 'read' | 'written'>> = {
  'exclude-from': 'read',
  'include-from': 'read',
  'password-file': 'read',
  'early-input': 'read',
  'log-file': 'written',
};

/**
 * The options as a mirror remembers them: with absolute names of files, relative ones being taken from the
 * working directory, and with what rsync does not get, so that nobody is told of that each night.
 *
 * @param limits refuses what they rule out, too, as `checkOptions` does.
 * @throws MirrorlatchError USAGE for options that rsync must not get, and for files that cannot be
 *   named for good.
 */
export function withAbsoluteFiles(given: readonly string[], limits?: OptionLimits): string[] {
  const remembered = namedOptions(given).filter(({ meaning }) => meaning !== 'said');
  return forEachTogether(remembered, (option) => {
    if (option.refusal !== undefined) throw option.refusal;
    const words = withAbsoluteFile(option);
    if (limits !== undefined) checkOption({ ...option, words }, limits);
    return words;
  }).flat();
}

function withAbsoluteFile({ name, words }: NamedOption): readonly string[] {
  if (name === 'rsh') return withOptionValue(words, withAbsolutePaths(optionValue(words)));
  const file = fileOf(name, words);
  if (file === undefined) return words;
  if (file.path === '' || file.path === '-') {
    throw problem(
      words,
      'it names no file, and standard input can be read only once',
      'Name a file.',
    );
  }
  return withOptionValue(words, file.before + resolve(file.path));
}

/** What depends on the mirror and its source, where options of rsync are concerned. */
export interface OptionLimits {
  /** Real paths of directories in which rsync may not write a file of its own. */
  frozen: readonly string[];
  /** The source is on this host, so that the other rsync is the one that writes the mirror. */
  isLocal: boolean;
  /** The mirror has one tree, in which a rule can protect something. */
  isInPlace: boolean;
}

/**
 * Checks that the files which options name can be read, or written without harm, and that no option
 * or rule, in such files too, loses what it is given to keep.
 *
 * @param options as `withAbsoluteFiles` returns them.
 * @throws MirrorlatchError USAGE
 */
export function checkOptions(options: readonly string[], limits: OptionLimits): void {
  parseRsyncOptions(options);
  forEachTogether(splitOptions(options), (option) => checkOption(option, limits));
}

function checkOption({ name, words }: NamedOption, limits: OptionLimits): void {
  const { isLocal, isInPlace, frozen } = limits;
  if (name === 'remote-option' && isLocal) throw noOtherEnd(words);
  if (name === 'filter' && !isInPlace) refuseProtection(words, optionValue(words));
  if (name === 'update' && isInPlace) throw noNewerFile(words);
  if (name === 'max-delete') checkMaxDelete(words);
  const file = fileOf(name, words);
  if (file === undefined) return;
  if (file.use === 'written') {
    refuseToWrite(file.path, words, frozen);
    return;
  }
  refuseUnreadable(file.path, words);
  if (name === 'password-file') refuseOpenPassword(file.path, words);
  checkRules(file, words, limits, new Set());
}

/** Does something with each option, and throws one error for all of those that are at fault. */
function forEachTogether<Result>(
  options: readonly NamedOption[],
  use: (option: NamedOption) => Result,
): Result[] {
  const errors: MirrorlatchError[] = [];
  const results = options.flatMap((option) => {
    try {
      return [use(option)];
    } catch (error) {
      if (!hasCode(error, 'USAGE')) throw error;
      errors.push(error);
      return [];
    }
  });
  throwTogether(errors);
  return results;
}

/** The options without those that `checkOptions` refuses. */
export function withoutFaultyOptions(options: readonly string[], limits: OptionLimits): string[] {
  return splitOptions(options).flatMap(({ words }) => {
    try {
      checkOptions(words, limits);
      return words;
    } catch {
      return [];
    }
  });
}

/** rsync takes a directory for a file without a line, and would publish what a rule left out before. */
function refuseUnreadable(path: string, words: readonly string[]): void {
  const found = ifThere(() => statSync(path));
  if (found === undefined) {
    throw problem(words, `there is no ${path}`, 'Make it, or name another one.');
  }
  if (!found.isFile()) {
    throw problem(
      words,
      `${path} is not a regular file`,
      'Name a file that can be read each time.',
    );
  }
  if (leadsThroughProc(path)) {
    throw problem(words, namesAnother(path), 'Name the file itself.');
  }
  try {
    accessSync(path, constants.R_OK);
  } catch {
    throw problem(words, `${path} cannot be read`, 'Run it as a user that may read that file.');
  }
}

/**
 * Whether a path that exists leads through /proc, as /dev/stdin and /dev/fd/3 do. What a descriptor is
 * here, rsync does not have under that number.
 */
function leadsThroughProc(path: string): boolean {
  const parent = dirname(path);
  if (parent === path) return false;
  if (leadsThroughProc(parent)) return true;
  const directory = realpathSync.native(parent);
  if (isWithin(directory, '/proc')) return true;
  const target = readlinkIfThere(path);
  if (target === undefined) return false;
  // Joined as it is: `..` in it counts from where the links before it lead.
  return leadsThroughProc(isAbsolute(target) ? target : `${directory}/${target}`);
}

function namesAnother(path: string): string {
  return `${path} leads through /proc, where rsync would find another file`;
}

/** rsync refuses it, too, but only once it has connected to a server. */
function refuseOpenPassword(path: string, words: readonly string[]): void {
  const { mode } = statSync(path);
  if ((mode & 0o006) === 0) return;
  throw problem(
    words,
    `every user may ${mode & 0o004 ? 'read' : 'write to'} ${path}`,
    `Close it with: chmod 600 ${quoteForSh(path)}`,
  );
}

function refuseToWrite(path: string, words: readonly string[], frozen: readonly string[]): void {
  const directory = dirname(path);
  if (ifThere(() => statSync(directory)) === undefined) {
    throw problem(words, `there is no ${directory}`, 'Make it, or name another one.');
  }
  const wrong = whyNotToWrite(path, frozen);
  if (wrong !== undefined) throw problem(words, wrong, 'Name a file elsewhere, as in /var/log.');
}

function whyNotToWrite(path: string, frozen: readonly string[]): string | undefined {
  const real = realPathToBe(path);
  const around = frozen.find((directory) => isWithin(real, directory));
  if (around !== undefined) return `rsync would write into ${around}`;
  const found = ifThere(() => statSync(path));
  // rsync would make what it leads to, wherever that is.
  if (found === undefined) return lstatIfThere(path) && `${path} is a symlink to nothing`;
  if (!found.isFile()) return `${path} is not a regular file`;
  if (leadsThroughProc(path)) return namesAnother(path);
  return found.nlink > 1 ? `${path} has a second name (hard link)` : undefined;
}

/**
 * Rules of the receiving side: `protect`, and the others with the modifier `r` (rsync(1), FILTER RULES).
 * They keep what the source does not have, which only a tree that is written in place can hold: a new
 * one is made of the source alone. So `risk` means nothing for it.
 */
const PROTECTS =
  /^(?:P|protect(?:[,\s_]|$)|(?:(?:exclude|include|merge|dir-merge),|[-+.:],?)[^ _]*r)/;

/** @param file the file that has the rule; by default the option itself. */
function refuseProtection(words: readonly string[], rule: string, file?: string): void {
  if (!PROTECTS.test(rule)) return;
  const where = file === undefined ? '' : `${file} has the rule ${JSON.stringify(rule)}, and `;
  throw problem(
    words,
    `${where}a snapshot is a new tree, in which a rule protects nothing`,
    'Keep what it is to protect beside the mirror, or use a mirror that is written in place: mirrorlatch help in-place',
  );
}

function noOtherEnd(words: readonly string[]): MirrorlatchError {
  return problem(
    words,
    'the source is on this host, so the option would go to the rsync that writes the mirror',
    `Give the option itself, without -M: ${quoteForSh(optionValue(words))}`,
  );
}

/** A file that is newer than its source's has been changed here, which only one tree can go on having. */
function noNewerFile(words: readonly string[]): MirrorlatchError {
  return problem(
    words,
    'a mirror has what its source has, and a file that is newer here would be replaced all the same',
    'Leave it out. To keep something of your own, use a rule: mirrorlatch help rsync-options',
  );
}

interface OptionFile {
  path: string;
  use: 'read' | 'written' | 'rules' | 'rules in words';
  /** What precedes the path in the option's value. */
  before: string;
}

function fileOf(name: string, words: readonly string[]): OptionFile | undefined {
  if (name === 'filter') return mergedFile(optionValue(words));
  const use = FILES[name];
  return use && { path: optionValue(words), use, before: '' };
}

/**
 * The file that a filter rule reads at once: `merge FILE`, `. FILE`, and both with modifiers, such as
 * `merge,- FILE`, `.- FILE` or `._FILE` (rsync(1), MERGE-FILE FILTER RULES). A dir-merge rule names a
 * file in each directory of the source, so its name stays as it is.
 */
function mergedFile(rule: string): OptionFile | undefined {
  const [, before, path = ''] =
    /^((?:merge(?:,[^ _]*)?|\.[^ _]*)(?:[ _]|$))(.*)$/s.exec(rule) ?? [];
  if (before === undefined) return undefined;
  // By these modifiers the file has patterns and no rules, or a rule in each word.
  if (/[-+C]/.test(before)) return { path, use: 'read', before };
  return { path, use: before.includes('w') ? 'rules in words' : 'rules', before };
}

/**
 * A file of filter rules that has changed since a time.
 *
 * @param since ms since the epoch.
 */
export function changedRuleFile(options: readonly string[], since: number): string | undefined {
  const files = parseRsyncOptions(options).named.flatMap(({ name, words }) => {
    const file = RULES.has(name) ? fileOf(name, words) : undefined;
    return file === undefined ? [] : [file, ...mergedFiles(file)];
  });
  return files.find(({ path }) => statSync(path).ctimeMs >= since)?.path;
}

/** The options that name files of filter rules or patterns. */
const RULES: ReadonlySet<string> = new Set(['exclude-from', 'include-from', 'filter']);

/** The files that a file of rules merges, and those that they do. */
function mergedFiles({ path, use }: OptionFile, seen = new Set<string>()): OptionFile[] {
  if (!use.startsWith('rules') || seen.has(path)) return [];
  seen.add(path);
  return rulesIn({ path, use }).flatMap((rule) => {
    const merged = mergedFile(rule);
    return merged === undefined ? [] : [merged, ...mergedFiles(merged, seen)];
  });
}

function rulesIn({ path, use }: Pick<OptionFile, 'path' | 'use'>): string[] {
  return readFileSync(path, 'utf8').split(use === 'rules' ? /[\n\r]/ : /\s/);
}

function checkRules(
  { path: file, use }: OptionFile,
  words: readonly string[],
  limits: OptionLimits,
  seen: Set<string>,
): void {
  if (!use.startsWith('rules') || seen.has(file)) return;
  seen.add(file);
  for (const rule of rulesIn({ path: file, use })) {
    if (!limits.isInPlace) refuseProtection(words, rule, file);
    const merged = mergedFile(rule);
    if (merged === undefined) continue;
    if (!isAbsolute(merged.path)) {
      const inside = `${file} has the rule ${JSON.stringify(rule)}, whose file depends on the working directory`;
      throw problem(words, inside, 'Write the absolute path there.');
    }
    refuseUnreadable(merged.path, words);
    checkRules(merged, words, limits, seen);
  }
}

function problem(words: readonly string[], what: string, hint: string): MirrorlatchError {
  const option = words.map(quoteForSh).join(' ');
  return new MirrorlatchError('USAGE', `rsync's option ${option} cannot be used: ${what}`, {
    hint,
  });
}
