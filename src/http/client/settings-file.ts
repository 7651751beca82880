import { readdirSync, readFileSync } from 'node:fs';

/** A section of a configuration, such as a repository of dnf. */
export interface Section {
  readonly name: string;
  readonly values: Readonly<Record<string, string>>;
}

/** The text of a client's file; empty if it is not there, or not for this user. */
export function settingsIn(file: string, encoding: 'utf8' | 'latin1' = 'utf8'): string {
  try {
    return readFileSync(file, encoding);
  } catch {
    return '';
  }
}

/** The names in a directory of configurations, sorted; none if it is not there. */
export function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory).sort();
  } catch {
    return [];
  }
}

/** Reads sections of `name = value`; an indented line goes on with the value before it. Pure. */
export function parseIni(text: string): Section[] {
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
