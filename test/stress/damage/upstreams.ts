import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { rpmRepository } from '../../support/repositories/rpm-repository.ts';
import {
  makeBinary,
  makeIndexes,
  makeKey,
  makeSignedArchive,
  release,
  type SigningKey,
  sign,
} from '../../support/repositories/signed-archive.ts';
import { copy, stateOf, type Upstream } from './upstream.ts';

/** An archive of apt-ftparchive before and after an update, with an expired Release, and with a foreign signature. */
export async function aptUpstream(home: string): Promise<Upstream> {
  mkdirSync(home);
  const [key, foreign] = [join(home, 'key'), join(home, 'foreign')];
  const own = await makeKey(key, 'archive');
  const other = await makeKey(foreign, 'other');
  const tree = (name: string) => join(home, name);
  for (const name of ['old', 'work']) mkdirSync(tree(name));
  await makeSignedArchive(tree('old'), tree('work'), own);
  await copy(tree('old'), tree('new'));
  const pool = join(tree('new'), 'pool/main');
  // One package is another one of the same name and size, one is gone, one is new, and one is as it was.
  await makeBinary('alpha', '1.0', pool, tree('work/alpha-again'), 'a tset');
  rmSync(join(pool, 'beta_1.0_all.deb'));
  await makeBinary('beta', '1.1', pool, tree('work/beta-again'));
  await makeIndexes(tree('new'));
  await release(tree('new'), own);
  for (const name of ['expired', 'signed-by-another']) await copy(tree('new'), tree(name));
  await release(tree('expired'), own, ['ValidTime=-86400']);
  await sign(join(tree('signed-by-another'), 'dists/stable/Release'), other);
  return {
    kind: 'apt',
    states: [
      await stateOf(tree('new')),
      await stateOf(tree('old')),
      await stateOf(tree('expired'), { isExpired: true }),
      await stateOf(tree('signed-by-another'), { isForeign: true }),
    ],
    keyring: own.binary,
    rules: [
      ['--exclude=*.tar.xz', '--exclude=Sources*'],
      ['--exclude=by-hash/'],
      ['--exclude=alpha*', '--include=*/', '--exclude=*.dsc'],
      ['--exclude=/dists/stable/main/binary-amd64/', '--exclude=*.deb'],
      ['--max-size=900'],
    ],
  };
}

/** A repository of createrepo_c before and after an update, and with a foreign signature. */
export async function rpmUpstream(home: string): Promise<Upstream> {
  mkdirSync(home);
  const own = await makeKey(join(home, 'key'), 'repository');
  const other = await makeKey(join(home, 'foreign'), 'other');
  const make = async (name: string, contents: Record<string, string>) => {
    const packages = Object.entries(contents).map(([one, content]) => ({ name: one, content }));
    const generation = { mark: name, version: '1.0', hasOwnNames: false, packages };
    for (const directory of [name, `${name}.work`]) mkdirSync(join(home, directory));
    await rpmRepository.make(join(home, name), generation, join(home, `${name}.work`));
    await signRepomd(join(home, name), own);
  };
  await make('old', { alpha: 'first', beta: 'one', gamma: 'gone' });
  await make('new', { alpha: 'again', beta: 'one', delta: 'came' });
  const another = join(home, 'signed-by-another');
  await copy(join(home, 'new'), another);
  await signRepomd(another, other);
  return {
    kind: 'rpm-md',
    states: [
      await stateOf(join(home, 'new')),
      await stateOf(join(home, 'old')),
      await stateOf(another, { isForeign: true }),
    ],
    keyring: own.armored,
    rules: [
      ['--exclude=alpha*'],
      ['--exclude=other.xml*', '--exclude=filelists.xml*'],
      ['--max-size=6k'],
    ],
  };
}

async function signRepomd(directory: string, key: SigningKey): Promise<void> {
  const words = ['--homedir', key.home, '--batch', '--yes', '--armor', '--detach-sign'];
  await execa('gpg', [...words, join(directory, 'repodata/repomd.xml')]);
  await execa('gpgconf', ['--homedir', key.home, '--kill', 'all']);
}

/** Directories of files with lists of sha256sum(1), before and after an update. */
export async function sumsUpstream(home: string): Promise<Upstream> {
  const names = ['plain', 'with space', 'two\nlines', 'back\\slash', '-dash', 'empty'];
  const make = async (name: string, contents: Record<string, string>) => {
    const tree = join(home, name);
    for (const directory of ['images', 'more/below']) {
      const place = join(tree, directory);
      mkdirSync(place, { recursive: true });
      const all = Object.entries(contents);
      for (const [file, content] of all) writeFileSync(join(place, file), content);
      const { stdout } = await execa('sha256sum', ['--', ...all.map(([file]) => file)], {
        cwd: place,
      });
      writeFileSync(join(place, 'SHA256SUMS'), `${stdout}\n`);
      if (directory !== 'images') continue;
      const { stdout: one } = await execa('sha256sum', ['plain'], { cwd: place });
      writeFileSync(join(place, 'plain.sha256'), `${one}\n`);
      renameSync(join(place, 'SHA256SUMS'), join(tree, 'moving'));
      const text = readFileSync(join(tree, 'moving'), 'latin1');
      writeFileSync(join(tree, 'SHA256SUMS'), text.replaceAll(/( [ *])/g, '$1images/'));
      rmSync(join(tree, 'moving'));
    }
    return stateOf(tree);
  };
  const contents = (word: string) =>
    Object.fromEntries(names.map((name) => [name, name === 'empty' ? '' : `${word} of ${name}\n`]));
  const old = await make('old', { ...contents('content'), gone: 'gone' });
  const states = [await make('new', { ...contents('CONTENT'), came: 'came' }), old] as const;
  const rules = [['--exclude=plain'], ['--exclude=/more/'], ['--exclude=*[ \n]*', '--min-size=1']];
  return { kind: 'sha256sums', states, keyring: '', rules };
}
