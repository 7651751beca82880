import { existsSync } from 'node:fs';
import { resolve } from 'node:path';

/** Splits a remote shell into words as rsync does (rsync(1), --rsh): a doubled quote is literal. */
export function splitShell(text: string): string[] {
  const words = text.match(/(?:"(?:[^"]|"")*"|'(?:[^']|'')*'|[^\s"'])+/g) ?? [];
  return words.map((word) =>
    word.replace(/"((?:[^"]|"")*)"|'((?:[^']|'')*)'/g, (_, double?: string, single?: string) =>
      double === undefined ? (single ?? '').replaceAll("''", "'") : double.replaceAll('""', '"'),
    ),
  );
}

/**
 * A remote shell whose program and files are named by absolute paths, relative ones being taken from
 * the working directory: a program with a slash, words that begin with `./` or `../`, other words with
 * a slash that name what is there, as behind nice(1), and the files that options of ssh(1) name.
 */
export function withAbsolutePaths(text: string): string {
  const words = splitShell(text);
  const isSsh = /(^|\/)ssh$/.test(words[0] ?? '');
  const absolute = words.map((word, at) => {
    if (/^\.\.?\//.test(word) || (at === 0 && word.includes('/'))) return resolve(word);
    if (isPath(word) && existsSync(word)) return resolve(word);
    return isSsh ? absoluteForSsh(word, words[at - 1] ?? '') : word;
  });
  // Whoever gave no such path finds the text as it was.
  if (absolute.every((word, at) => word === words[at])) return text;
  return absolute.map(quoteForRsync).join(' ');
}

/** Whether a word may be a relative path, not an option, a variable of env(1) or a path on another host. */
function isPath(word: string): boolean {
  return /^(?!-)[^/=:]+\//.test(word);
}

/** Options of ssh(1) with the name of a file, or with a setting, and what precedes it in one word. */
const FILE = /^(-[1246AaCfGgKkMNnqsTtVvXxYy]*[EFIiS])(.*)$/s;
const SETTING = /^(-[1246AaCfGgKkMNnqsTtVvXxYy]*o)(.*)$/s;

function absoluteForSsh(word: string, before: string): string {
  if (before === FILE.exec(before)?.[1]) return absoluteFile(word);
  if (before === SETTING.exec(before)?.[1]) return absoluteSetting(word);
  const [, file, path = ''] = FILE.exec(word) ?? [];
  if (file !== undefined) return file + absoluteFile(path);
  const [, option, setting = ''] = SETTING.exec(word) ?? [];
  return option === undefined ? word : option + absoluteSetting(setting);
}

/** `IdentityFile=NAME`, `ControlPath NAME`, … (ssh_config(5)). */
function absoluteSetting(setting: string): string {
  const [, name = '', path = ''] = /^((?:\w*File|ControlPath)[= ] *)(.*)$/is.exec(setting) ?? [];
  return name === '' ? setting : name + absoluteFile(path);
}

/** ssh itself replaces `~` and `%`, and `none` names no file. */
function absoluteFile(path: string): string {
  return path === '' || /^(?:[/~%$"]|none$)/.test(path) ? path : resolve(path);
}

function quoteForRsync(word: string): string {
  return /[\s"']/.test(word) ? `"${word.replaceAll('"', '""')}"` : word;
}
