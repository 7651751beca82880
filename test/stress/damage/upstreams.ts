import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import type { CheckKind } from '../../../src/mirror/settings/policy.ts';
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
import { type Statement, statementsOf } from './statements.ts';

/** A state that a repository has been in, or could have been in, with all its files right. */
export interface State {
  readonly tree: string;
  /** SHA-256 in hexadecimal by the name of the file. */
  readonly files: ReadonlyMap<string, string>;
  readonly statements: readonly Statement[];
  /** Signed by another key than that of the keyring. */
  readonly isForeign?: boolean;
  readonly isExpired?: boolean;
}

/** A real repository in several states, from which damaged ones are made. */
export interface Upstream {
  readonly kind: CheckKind;
  /** The first is the one that is damaged. */
  readonly states: readonly [State, ...State[]];
  /** The path of the keys; empty if the kind knows no signatures. */
  readonly keyring: string;
  /** Rules of rsync by which mirrors choose some of it. */
  readonly rules: readonly (readonly string[])[];
}

type Marks = Pick<State, 'isForeign' | 'isExpired'>;

/** @param tree in which nothing changes any more. */
async function stateOf(tree: string, marks: Marks = {}): Promise<State> {
  const names = readdirSync(tree, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
  const files = new Map(
    names.map((path) => [
      path.slice(tree.length + 1),
      createHash('sha256').update(readFileSync(path)).digest('hex'),
    ]),
  );
  return { tree, files, statements: await statementsOf(tree), ...marks };
}

const copy = (from: string, to: string) => execa('cp', ['-a', '--', from, to]);

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
