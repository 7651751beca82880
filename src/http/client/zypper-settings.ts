import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { presetFor } from '../../reader/presets.ts';
import { namesIn, parseIni, settingsIn } from './settings-file.ts';

/** The configurations of repositories that a call of zypper reads: their names, and what they say. */
export type ZypperRepositories = ReadonlyMap<string, string>;

/** @param words what follows `zypper`. */
export function readZypperRepositories(words: readonly string[]): ZypperRepositories {
  // What changes the configurations has to find its own.
  if (presetFor(['zypper', ...words]).use === 'none') return new Map();
  const main = parseIni(settingsIn(process.env['ZYPP_CONF'] || '/etc/zypp/zypp.conf'));
  const configured = main.map(({ values }) => values['reposdir']).findLast(Boolean);
  const root = valueAfter(words, ['-R', '--root', '--installroot']) ?? '/';
  const directory =
    valueAfter(words, OF_DIRECTORY) ?? join(root, configured ?? '/etc/zypp/repos.d');
  const names = namesIn(directory).filter((name) => name.endsWith('.repo'));
  return new Map(names.map((name) => [name, settingsIn(join(directory, name), 'latin1')]));
}

const OF_DIRECTORY = ['-D', '--reposd-dir'];

/** Leaves out what leads past a proxy: keys, and parameters of URLs (zypper(8), RESOURCE IDENTIFIERS). Pure. */
export function withoutProxies(text: string): string {
  return text
    .replaceAll(/^proxy\s*=.*\n?/gm, '')
    .replaceAll(
      /([?&])proxy\w*=[^&\s]*(?:&proxy\w*=[^&\s]*)*(&?)/g,
      (_, before: string, after: string) => (after === '' ? '' : before),
    );
}

/**
 * Lets zypper read other configurations of repositories.
 *
 * @param words what follows `zypper`.
 * @returns the same, with the directory of the changed ones, if there are any.
 */
export function withRepositories(
  words: readonly Buffer[],
  repositories: ZypperRepositories,
  change: (text: string) => string,
  place: () => string,
): readonly Buffer[] {
  const changed = [...repositories].map(([name, text]) => [name, text, change(text)] as const);
  if (changed.every(([, text, other]) => other === text)) return words;
  const directory = join(place(), 'repos.d');
  mkdirSync(directory, { mode: 0o700 });
  for (const [name, , text] of changed) writeFileSync(join(directory, name), text, 'latin1');
  const option = Buffer.from(`--reposd-dir=${directory}`);
  const at = words.findIndex((word) => isOption(String(word), OF_DIRECTORY));
  if (at === -1) return [option, ...words];
  return words.toSpliced(at, String(words[at]).includes('=') ? 1 : 2, option);
}

function valueAfter(words: readonly string[], names: readonly string[]): string | undefined {
  const at = words.findIndex((word) => isOption(word, names));
  const [, joined] = /^--[\w-]+=(.*)$/.exec(words[at] ?? '') ?? [];
  return at === -1 ? undefined : (joined ?? words[at + 1]);
}

function isOption(word: string, names: readonly string[]): boolean {
  return names.some((name) => word === name || word.startsWith(`${name}=`));
}
