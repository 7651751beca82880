import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** A repository of dnf, or its own section `main`. */
export interface DnfSection {
  readonly name: string;
  readonly values: Readonly<Record<string, string>>;
}

const REPOSITORIES = ['/etc/yum.repos.d', '/etc/yum/repos.d', '/etc/distro.repos.d'];

/**
 * Reads the configuration of a call of dnf (dnf.conf(5)).
 *
 * @param words what follows `dnf`.
 */
export function readDnfSettings(words: readonly string[]): DnfSection[] {
  const main = parseIni(textOf(configurationIn(words) ?? '/etc/dnf/dnf.conf'));
  const own = main.find(({ name }) => name === 'main')?.values['reposdir'];
  const directories = own === undefined ? REPOSITORIES : own.split(/[\s,]+/);
  const files = directories.flatMap((directory) =>
    namesIn(directory)
      .filter((name) => name.endsWith('.repo'))
      .map((name) => join(directory, name)),
  );
  return [...main, ...files.flatMap((file) => parseIni(textOf(file)))];
}

function configurationIn(words: readonly string[]): string | undefined {
  const joined = words.find((word) => word.startsWith('--config='));
  if (joined !== undefined) return joined.slice('--config='.length);
  const at = words.findIndex((word) => word === '-c' || word === '--config');
  return at === -1 ? undefined : words[at + 1];
}

/** Reads sections of `name = value`; an indented line goes on with the value before it. Pure. */
export function parseIni(text: string): DnfSection[] {
  const sections: { name: string; values: Record<string, string> }[] = [];
  let last: string | undefined;
  for (const line of text.split('\n')) {
    const [, name] = /^\[(.*)\]\s*$/.exec(line) ?? [];
    const [, key, value = ''] = /^([\w-]+)\s*[=:]\s*(.*)$/.exec(line) ?? [];
    const values = sections.at(-1)?.values;
    if (name !== undefined) sections.push({ name, values: {} });
    else if (values !== undefined && key !== undefined) values[key] = value.trim();
    else if (values !== undefined && last !== undefined && /^\s+\S/.test(line))
      values[last] = `${values[last]} ${line.trim()}`;
    last = name === undefined ? (key ?? last) : undefined;
  }
  return sections;
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory).sort();
  } catch {
    return [];
  }
}
