import { writeWhole } from '../../system/files.ts';
import { printable } from '../names.ts';

/**
 * Writes a file for `--exclude-from` that excludes entries by their exact paths (rsync(1), PATTERN
 * MATCHING RULES).
 *
 * @param names as in `Entry`.
 */
export function writeExcludeList(path: string, names: readonly string[]): void {
  writeWhole(path, excludeList(names), 0o600);
}

/** The content of such a file. */
export function excludeList(names: readonly string[]): Buffer {
  return Buffer.from(names.map((name) => `${patternOf(name)}\n`).join(''), 'latin1');
}

/**
 * The pattern that matches an entry of a tree alone, or a directory with all that is in it, as text
 * that can be typed: bytes that cannot are matched by `?`.
 *
 * @param name as in `Entry`.
 */
export function typedPattern(name: string, isDirectory: boolean): string {
  const raw = Buffer.from(name, 'latin1');
  const text = raw.toString('utf8');
  const isText = printable(text) === text && !text.includes('\uFFFD');
  const hasWildcard = isDirectory || !isText || /[*?[]/.test(name);
  const shown = isText ? text : name;
  const escaped = hasWildcard ? shown.replaceAll(/[\\*?[]/g, String.raw`\$&`) : shown;
  return `/${isText ? escaped : escaped.replaceAll(/[^ -~]/g, '?')}${isDirectory ? '/***' : ''}`;
}

function patternOf(name: string): string {
  // Without a wildcard a backslash is an ordinary character.
  if (!/[*?[\r\n]/.test(name)) return `/${name}`;
  // A pattern ends with its line, so a line break in a name stands for any character.
  return `/${name.replaceAll(/[\\*?[]/g, String.raw`\$&`).replaceAll(/[\r\n]/g, '?')}`;
}
