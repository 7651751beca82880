import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';

/** A pair of RSA keys, as `abuild-keygen` makes them. */
export interface RsaKey {
  readonly secret: string;
  /** Its public part in PEM form, whose name the signatures have in theirs. */
  readonly public: string;
}

/** @param directory an existing one. */
export async function makeRsaKey(directory: string, name: string): Promise<RsaKey> {
  const secret = join(directory, `${name}.rsa`);
  const pair = { secret, public: `${secret}.pub` };
  await execa('openssl', ['genrsa', '-out', secret, '2048']);
  await execa('openssl', ['rsa', '-in', secret, '-pubout', '-out', pair.public]);
  return pair;
}

/** One package of a repository. */
export interface AlpinePackage {
  readonly name: string;
  readonly version: string;
  readonly arch: string;
  readonly content: string;
}

const PACKAGES: readonly AlpinePackage[] = Object.entries({
  alpha: 'x86_64',
  beta: 'x86_64',
  gamma: 'noarch',
}).map(([name, arch]) => ({ name, version: '1.0-r0', arch, content: `content of ${name}` }));

/**
 * Makes packages and an index of them, step by step as abuild, abuild-sign and `apk index` do: Debian has none of
 * them.
 *
 * @param work a directory for temporary files that does not exist yet.
 */
export async function makeAlpineRepository(
  directory: string,
  work: string,
  key: RsaKey,
  packages = PACKAGES,
): Promise<void> {
  for (const one of packages) {
    const own = join(work, one.name);
    mkdirSync(join(own, 'data/usr/share', one.name), { recursive: true });
    writeFileSync(join(own, 'data/usr/share', one.name, 'text'), `${one.content}\n`.repeat(99));
    await writePackage(join(directory, `${one.name}-${one.version}.apk`), own, one, key);
  }
  await writeIndex(directory, work, key);
}

async function writePackage(
  path: string,
  work: string,
  { name, version, arch }: AlpinePackage,
  key: RsaKey,
): Promise<void> {
  const data = await compressed(join(work, 'data'), ['usr'], 'whole');
  const lines = [
    `pkgname = ${name}`,
    `pkgver = ${version}`,
    'pkgdesc = a test',
    'url = https://example.org',
    'size = 1',
    `arch = ${arch}`,
    'license = MIT',
    `datahash = ${createHash('sha256').update(data).digest('hex')}`,
  ];
  writeFileSync(join(work, '.PKGINFO'), `${lines.join('\n')}\n`);
  const control = await compressed(work, ['.PKGINFO'], 'part');
  writeFileSync(path, Buffer.concat([await signature(control, work, key), control, data]));
}

/**
 * Writes an index of the packages that a directory has, as with `--rewrite-arch x86_64`, and signs it unless without
 * a key.
 */
export async function writeIndex(
  directory: string,
  work: string,
  key: RsaKey | undefined,
  how: { type?: 'RSA' | 'RSA256'; edit?: (index: string) => string } = {},
): Promise<void> {
  const { edit = (index) => index } = how;
  const files = readdirSync(directory).filter((file) => file.endsWith('.apk'));
  const stanzas = files.sort().map((file) => {
    const [, name, version] = /^(.*)-(.*-r\d+)\.apk$/.exec(file) ?? [];
    const content = readFileSync(join(directory, file));
    const sum = createHash('sha1').update(controlIn(content)).digest('base64');
    return `C:Q1${sum}\nP:${name}\nV:${version}\nA:x86_64\nS:${content.length}\nI:1\nT:a test\n\n`;
  });
  mkdirSync(work, { recursive: true });
  writeFileSync(join(work, 'APKINDEX'), edit(stanzas.join('')));
  writeFileSync(join(work, 'DESCRIPTION'), 'v1');
  const index = await compressed(work, ['DESCRIPTION', 'APKINDEX'], 'whole');
  const signed = key === undefined ? [] : [await signature(index, work, key, how.type)];
  writeFileSync(join(directory, 'APKINDEX.tar.gz'), Buffer.concat([...signed, index]));
}

/** Between the signature and the data, all of which begin as what gzip(1) makes of a pipe. */
function controlIn(content: Buffer): Buffer {
  const begin = Buffer.from('1f8b0800000000000203', 'hex');
  const control = content.indexOf(begin, 1);
  return content.subarray(control, content.indexOf(begin, control + 1));
}

/** @param how `part`: without the end of an archive, as `abuild-tar --cut` has it. */
async function compressed(
  directory: string,
  names: readonly string[],
  how: 'whole' | 'part',
): Promise<Buffer> {
  const options = ['-b1', '--format=ustar', '--owner=root:0', '--group=root:0', '--sort=name'];
  const { stdout: archive } = await execa('tar', [...options, '-C', directory, '-c', ...names], {
    encoding: 'buffer',
  });
  const input = how === 'whole' ? archive : archive.subarray(0, -1024);
  const { stdout } = await execa('gzip', ['-n', '-9'], { input, encoding: 'buffer' });
  return Buffer.from(stdout);
}

async function signature(
  content: Buffer,
  work: string,
  key: RsaKey,
  type: 'RSA' | 'RSA256' = 'RSA',
): Promise<Buffer> {
  const name = `.SIGN.${type}.${key.public.split('/').at(-1)}`;
  const digest = type === 'RSA' ? '-sha1' : '-sha256';
  const path = join(work, name);
  await execa('openssl', ['dgst', digest, '-sign', key.secret, '-out', path], { input: content });
  const part = await compressed(work, [name], 'part');
  rmSync(path);
  return part;
}
