import { writeWhole } from '../system/files.ts';

/**
 * Writes a file for `--exclude-from` that excludes entries by their exact paths (rsync(1), PATTERN
 * MATCHING RULES).
 *
 * @param names as in `Entry`.
 */
export function writeExcludeList(path: string, names: readonly string[]): void {
  writeWhole(
    path,
    Buffer.from(names.map((name) => `${patternOf(name)}\n`).join(''), 'latin1'),
    0o600,
  );
}

function patternOf(name: string): string {
  // Without a wildcard a backslash is an ordinary character.
  if (!/[*?[\r\n]/.test(name)) return `/${name}`;
  // A pattern ends with its line, so a line break in a name stands for any character.
  return `/${name.replaceAll(/[\\*?[]/g, String.raw`\$&`).replaceAll(/[\r\n]/g, '?')}`;
}
