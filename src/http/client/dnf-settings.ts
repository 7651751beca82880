import { join } from 'node:path';
import { namesIn, parseIni, type Section, settingsIn } from './settings-file.ts';

const REPOSITORIES = ['/etc/yum.repos.d', '/etc/yum/repos.d', '/etc/distro.repos.d'];

/**
 * Reads the configuration of a call of dnf (dnf.conf(5)): its repositories, and its own section `main`.
 *
 * @param words what follows `dnf`.
 */
export function readDnfSettings(words: readonly string[]): Section[] {
  const main = parseIni(settingsIn(configurationIn(words) ?? '/etc/dnf/dnf.conf'));
  const own = main.find(({ name }) => name === 'main')?.values['reposdir'];
  const directories = own === undefined ? REPOSITORIES : own.split(/[\s,]+/);
  const files = directories.flatMap((directory) =>
    namesIn(directory)
      .filter((name) => name.endsWith('.repo'))
      .map((name) => join(directory, name)),
  );
  return [...main, ...files.flatMap((file) => parseIni(settingsIn(file)))];
}

function configurationIn(words: readonly string[]): string | undefined {
  const joined = words.find((word) => word.startsWith('--config='));
  if (joined !== undefined) return joined.slice('--config='.length);
  const at = words.findIndex((word) => word === '-c' || word === '--config');
  return at === -1 ? undefined : words[at + 1];
}
