import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import type { SigningKey } from './signed-archive.ts';

/** The file of a package. */
export const fileOf = (name: string, version = '1.0'): string => `${name}-${version}-1-any.pkg.tar`;

/** Makes a package as makepkg(8) does. @param work a directory for temporary files. */
export async function makePacmanPackage(
  directory: string,
  work: string,
  name: string,
  version = '1.0',
  content = `content of ${name}`,
): Promise<void> {
  const tree = join(work, name);
  mkdirSync(join(tree, 'usr/share'), { recursive: true });
  writeFileSync(join(tree, 'usr/share', name), `${content}\n`);
  const info = `pkgname = ${name}\npkgver = ${version}-1\npkgdesc = a test\nsize = 1\narch = any\n`;
  writeFileSync(join(tree, '.PKGINFO'), info);
  const file = join(directory, fileOf(name, version));
  await execa('bsdtar', ['-C', tree, '-cf', file, '.PKGINFO', 'usr']);
}

/**
 * Makes the database `parts` of a repository anew, of all packages that it has.
 *
 * @param end of its name, such as `.tar.gz`.
 */
export async function addAll(directory: string, end: string, signedBy?: SigningKey): Promise<void> {
  for (const name of readdirSync(directory))
    if (/^parts\./.test(name)) rmSync(join(directory, name));
  const packages = readdirSync(directory).filter((name) => /\.pkg\.tar$/.test(name));
  const signed = signedBy === undefined ? [] : ['--sign'];
  const env = signedBy === undefined ? {} : { GNUPGHOME: signedBy.home };
  await execa('repo-add', ['--quiet', ...signed, `parts.db${end}`, ...packages], {
    cwd: directory,
    env,
  });
  if (signedBy !== undefined) await endAgent(signedBy);
}

/** Signs a file in one of the same name and `.sig`. */
export async function signBeside(path: string, by: SigningKey): Promise<void> {
  await execa('gpg', ['--homedir', by.home, '--batch', '--yes', '--detach-sign', path]);
  await endAgent(by);
}

async function endAgent({ home }: SigningKey): Promise<void> {
  await execa('gpgconf', ['--homedir', home, '--kill', 'all']);
}
