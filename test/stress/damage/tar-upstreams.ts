import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import {
  type AlpinePackage,
  makeAlpineRepository,
  makeRsaKey,
  writeIndex,
} from '../../support/repositories/alpine-repository.ts';
import {
  addAll,
  fileOf,
  makePacmanPackage,
  signBeside,
} from '../../support/repositories/pacman-repository.ts';
import { makeKey } from '../../support/repositories/signed-archive.ts';
import { copy, stateOf, type Upstream } from './upstream.ts';

/**
 * A repository of repo-add before and after an update, and with a foreign signature.
 *
 * @param end of the name of its database: without a compression, nothing but its headers has checksums.
 */
export async function archUpstream(home: string, end: '.tar' | '.tar.gz'): Promise<Upstream> {
  mkdirSync(home);
  const own = await makeKey(join(home, 'key'), 'repository');
  const other = await makeKey(join(home, 'foreign'), 'other');
  const [old, now, another] = ['old', 'new', 'signed-by-another'].map((name) => join(home, name));
  if (old === undefined || now === undefined || another === undefined) throw new Error();
  const at = (tree: string) => join(tree, 'parts');
  const make = async (tree: string, name: string, version = '1.0', content = 'a test') => {
    await makePacmanPackage(at(tree), join(home, 'work'), name, version, content);
    await signBeside(join(at(tree), fileOf(name, version)), own);
  };
  const remove = (tree: string, name: string) => {
    for (const suffix of ['', '.sig']) rmSync(join(at(tree), fileOf(name) + suffix));
  };
  mkdirSync(at(old), { recursive: true });
  for (const name of ['alpha', 'beta', 'delta']) await make(old, name);
  await addAll(at(old), end, own);
  await copy(old, now);
  // One package is another one of the same name and size, one has another version, one is gone, and one is new.
  for (const name of ['alpha', 'beta', 'delta']) remove(now, name);
  await make(now, 'alpha', '1.0', 'a tset');
  await make(now, 'beta', '2.0');
  await makePacmanPackage(at(now), join(home, 'work'), 'gamma');
  await addAll(at(now), end, own);
  // The database has the signatures of those that had one when they were added.
  await signBeside(join(at(now), fileOf('gamma')), own);
  await copy(now, another);
  for (const list of ['db', 'files']) {
    rmSync(join(at(another), `parts.${list}${end}.sig`));
    await signBeside(join(at(another), `parts.${list}${end}`), other);
  }
  return {
    kind: 'arch',
    states: [await stateOf(now), await stateOf(old), await stateOf(another, { isForeign: true })],
    keyring: own.armored,
    rules: [
      ['--exclude=alpha*'],
      ['--exclude=*.files*'],
      ['--exclude=*.sig'],
      ['--exclude=*.db.tar*'],
      ['--max-size=5k'],
    ],
  };
}

/** A repository of apk before and after an update, and with a foreign signature. */
export async function alpineUpstream(home: string): Promise<Upstream> {
  mkdirSync(home);
  const own = await makeRsaKey(home, 'repository');
  const other = await makeRsaKey(home, 'other');
  const make = async (state: string, packages: readonly AlpinePackage[], key = own) => {
    const directory = join(home, state, 'v3.20/main/x86_64');
    mkdirSync(directory, { recursive: true });
    await makeAlpineRepository(directory, join(home, `${state}.work`), key, packages);
    return directory;
  };
  const one = (name: string, content: string, version = '1.0-r0') => ({
    ...{ name, version, content, arch: name === 'beta' ? 'noarch' : 'x86_64' },
  });
  const kept = one('beta', 'content');
  await make('old', [one('alpha', 'content'), kept, one('delta', 'is gone'), one('zeta', 'old')]);
  const now = [one('alpha', 'CONTENT'), kept, one('gamma', 'came'), one('zeta', 'new', '1.1-r2')];
  await make('new', now);
  await copy(join(home, 'new'), join(home, 'signed-by-another'));
  const another = join(home, 'signed-by-another/v3.20/main/x86_64');
  await writeIndex(another, join(home, 'another.work'), other);
  return {
    kind: 'alpine',
    states: [
      await stateOf(join(home, 'new')),
      await stateOf(join(home, 'old')),
      await stateOf(join(home, 'signed-by-another'), { isForeign: true }),
    ],
    keyring: own.public,
    rules: [['--exclude=alpha*'], ['--exclude=*-r2.apk', '--exclude=beta*'], ['--max-size=700']],
  };
}
