import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';

/** An OpenPGP key of its own, in a directory that gpg(1) uses as its home. */
export interface SigningKey {
  readonly home: string;
  /** Its public part, in ASCII armor. */
  readonly armored: string;
  /** The same in binary form. */
  readonly binary: string;
}

/** @param home a directory that does not exist yet. */
export async function makeKey(home: string, name: string): Promise<SigningKey> {
  mkdirSync(home, { mode: 0o700 });
  const gpg = (...words: string[]) => execa('gpg', ['--homedir', home, '--batch', ...words]);
  await gpg('--passphrase', '', '--quick-generate-key', name, 'ed25519', 'sign', 'never');
  const [armored, binary] = [join(home, 'key.asc'), join(home, 'key.gpg')];
  await gpg('--armor', '--output', armored, '--export');
  await gpg('--output', binary, '--export');
  await execa('gpgconf', ['--homedir', home, '--kill', 'all']);
  return { home, armored, binary };
}

/** The packages of an archive, from each of which a binary and a source package are made. */
const PACKAGES = ['alpha', 'beta', 'gamma'];

/**
 * Makes an archive as debian.org has it, by its own tools: binary and source packages, indexes in several forms and
 * by their hashes, InRelease, and Release with its signature.
 *
 * @param work an empty directory for temporary files.
 */
export async function makeSignedArchive(
  directory: string,
  work: string,
  key: SigningKey,
): Promise<void> {
  const pool = join(directory, 'pool/main');
  mkdirSync(pool, { recursive: true });
  for (const name of PACKAGES) await makePackage(name, pool, join(work, name));
  await makeIndexes(directory);
  writeFileSync(join(directory, 'dists/stable/main/binary-amd64/Release'), 'Archive: stable\n');
  await release(directory, key);
}

/** Writes the indexes anew, with what the pool is now. */
export async function makeIndexes(directory: string): Promise<void> {
  for (const [index, command] of [
    ['binary-amd64/Packages', 'packages'],
    ['source/Sources', 'sources'],
  ] as const) {
    const path = join(directory, 'dists/stable/main', index);
    mkdirSync(join(path, '..'), { recursive: true });
    const { stdout } = await execa('apt-ftparchive', [command, 'pool'], { cwd: directory });
    writeFileSync(path, `${stdout}\n`);
    for (const compress of ['gzip', 'xz']) await execa(compress, ['--keep', '--force', path]);
    // As on debian.org, where nobody asks for it.
    if (command === 'sources') rmSync(path);
  }
}

/** Writes Release anew, with what the indexes are now, and signs it. */
export async function release(
  directory: string,
  key: SigningKey,
  fields: readonly string[] = [],
): Promise<void> {
  const suite = join(directory, 'dists/stable');
  for (const name of ['Release', 'Release.gpg', 'InRelease'])
    rmSync(join(suite, name), { force: true });
  const given = ['Suite=stable', 'Codename=twelve', 'Acquire-By-Hash=yes', ...fields];
  const options = given.flatMap((field) => ['-o', `APT::FTPArchive::Release::${field}`]);
  const { stdout } = await execa('apt-ftparchive', [...options, 'release', 'dists/stable'], {
    cwd: directory,
  });
  const path = join(suite, 'Release');
  writeFileSync(path, `${stdout}\n`);
  for (const index of ['main/binary-amd64/Packages', 'main/source/Sources'])
    for (const form of ['.gz', '.xz', '.zst', '.bz2']) copyByHash(suite, index + form);
  await sign(path, key);
}

/** Signs a Release that is there, in both ways. */
export async function sign(path: string, key: SigningKey): Promise<void> {
  const gpg = (...words: string[]) =>
    execa('gpg', ['--homedir', key.home, '--batch', '--yes', ...words, path]);
  await gpg('--armor', '--detach-sign', '--output', `${path}.gpg`);
  await gpg('--clear-sign', '--output', path.replace(/Release$/, 'InRelease'));
  await execa('gpgconf', ['--homedir', key.home, '--kill', 'all']);
}

/** https://wiki.debian.org/DebianRepository/Format#indices_acquisition_via_hashsums_.28by-hash.29 */
function copyByHash(suite: string, name: string): void {
  const file = join(suite, name);
  const directory = join(file, '../by-hash');
  let content: Buffer;
  try {
    content = readFileSync(file);
  } catch {
    return;
  }
  for (const algorithm of ['SHA256', 'SHA512']) {
    mkdirSync(join(directory, algorithm), { recursive: true });
    const hex = createHash(algorithm.toLowerCase()).update(content).digest('hex');
    copyFileSync(file, join(directory, algorithm, hex));
  }
}

async function makePackage(name: string, pool: string, work: string): Promise<void> {
  const source = join(work, `${name}-1.0`);
  mkdirSync(join(source, 'debian/source'), { recursive: true });
  writeFileSync(join(source, 'debian/source/format'), '3.0 (native)\n');
  writeFileSync(
    join(source, 'debian/control'),
    `Source: ${name}\nMaintainer: nobody <nobody@localhost>\n\nPackage: ${name}\nArchitecture: all\nDescription: a test\n`,
  );
  writeFileSync(
    join(source, 'debian/changelog'),
    `${name} (1.0) stable; urgency=low\n\n  * Made.\n\n -- nobody <nobody@localhost>  Sun, 22 Nov 2026 08:00:00 +0000\n`,
  );
  await execa('dpkg-source', ['--build', source], { cwd: pool });
  await makeBinary(name, '1.0', pool, join(work, 'tree'));
}

/** @param tree a directory that does not exist yet. @param description the same length makes a package of the same size. */
export async function makeBinary(
  name: string,
  version: string,
  pool: string,
  tree: string,
  description = 'a test',
): Promise<void> {
  mkdirSync(join(tree, 'DEBIAN'), { recursive: true });
  writeFileSync(
    join(tree, 'DEBIAN/control'),
    `Package: ${name}\nVersion: ${version}\nArchitecture: all\nMaintainer: nobody <nobody@localhost>\nDescription: ${description}\n`,
  );
  const deb = join(pool, `${name}_${version}_all.deb`);
  await execa('dpkg-deb', ['--root-owner-group', '-Znone', '--build', tree, deb]);
}
