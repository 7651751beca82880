import { readFileSync, statSync } from 'node:fs';
import { dirname, isAbsolute, resolve } from 'node:path';
import { MirrorlatchError } from '../errors.ts';
import { ifThere } from '../system/files.ts';
import { quoteForSh } from '../system/quote.ts';
import { optionValue, parseRsyncOptions, withOptionValue } from './options.ts';

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
 * The options with absolute names of files, relative ones being taken from the working directory.
 *
 * @throws MirrorlatchError USAGE for options that rsync must not get, and for a file that cannot be
 *   named for good.
 */
export function withAbsoluteFiles(given: readonly string[]): string[] {
  return parseRsyncOptions(given).named.flatMap(({ name, words }) => {
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
  });
}

/**
 * Checks that the files which options name are there.
 *
 * @param options as `withAbsoluteFiles` returns them.
 * @throws MirrorlatchError USAGE
 */
export function checkOptionFiles(options: readonly string[]): void {
  for (const { name, words } of parseRsyncOptions(options).named) {
    const file = fileOf(name, words);
    if (file === undefined) continue;
    const wanted = file.use === 'written' ? dirname(file.path) : file.path;
    if (ifThere(() => statSync(wanted)) === undefined) {
      throw problem(words, `there is no ${wanted}`, 'Make it, or name another one.');
    }
    if (file.use === 'rules') refuseRelativeMerges(file.path, words, new Set());
  }
}

/** The options without those whose file is missing or cannot be used. */
export function withoutFaultyFiles(options: readonly string[]): string[] {
  return parseRsyncOptions(options).named.flatMap(({ words }) => {
    try {
      checkOptionFiles(words);
      return words;
    } catch {
      return [];
    }
  });
}

interface OptionFile {
  path: string;
  use: 'read' | 'written' | 'rules';
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
  return before === undefined ? undefined : { path, use: 'rules', before };
}

function refuseRelativeMerges(file: string, words: readonly string[], seen: Set<string>): void {
  if (seen.has(file)) return;
  seen.add(file);
  const rules = ifThere(() => readFileSync(file, 'utf8')) ?? '';
  for (const rule of rules.split(/[\n\r]/)) {
    const merged = mergedFile(rule);
    if (merged === undefined) continue;
    if (!isAbsolute(merged.path)) {
      const inside = `${file} has the rule ${JSON.stringify(rule)}, whose file depends on the working directory`;
      throw problem(words, inside, 'Write the absolute path there.');
    }
    refuseRelativeMerges(merged.path, words, seen);
  }
}

function problem(words: readonly string[], what: string, hint: string): MirrorlatchError {
  const option = words.map(quoteForSh).join(' ');
  return new MirrorlatchError('USAGE', `rsync's option ${option} cannot be used: ${what}`, {
    hint,
  });
}
