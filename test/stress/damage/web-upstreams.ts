import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Package } from '../../support/repositories/generation.ts';
import { npmRegistry } from '../../support/repositories/npm-registry.ts';
import {
  makeWheels,
  type Wheel,
  writeBandersnatch,
} from '../../support/repositories/simple-indexes.ts';
import { writeVerdaccio } from '../../support/repositories/verdaccio-storage.ts';
import { stateOf, type Upstream } from './upstream.ts';

/** An index of Python packages before and after an update, as one of the programs for it writes it. */
export async function pythonUpstream(
  home: string,
  write: (tree: string, wheels: readonly Wheel[]) => void,
): Promise<Upstream> {
  mkdirSync(home);
  const wheels = async (contents: Record<string, string>, version?: string) => {
    const work = join(home, `wheels-${Object.keys(contents).join('-')}-${Object.values(contents)}`);
    mkdirSync(work);
    return await makeWheels(work, contents, version);
  };
  const kept = await wheels({ 'zeta-kept': 'kept' });
  const old = await wheels({ alpha: 'content', 'beta-more': 'content', gone: 'gone' });
  const alpha = await wheels({ alpha: 'CONTENT', came: 'came' });
  const beta = await wheels({ 'beta-more': 'more' }, '1.1');
  const now = [...alpha, ...beta, ...kept];
  // Only in an index of bandersnatch a project has several here.
  if (write === writeBandersnatch) now.push(...old.filter((one) => one.project === 'beta-more'));
  const states = { new: now, old: [...old, ...kept] };
  for (const [name, all] of Object.entries(states)) {
    mkdirSync(join(home, name));
    write(join(home, name), all);
  }
  return {
    kind: 'pypi',
    states: [await stateOf(join(home, 'new')), await stateOf(join(home, 'old'))],
    keyring: '',
    rules: [
      ['--exclude=alpha*'],
      ['--exclude=index.html', '--exclude=index.v1_html'],
      ['--exclude=*.v1_json', '--exclude=*.metadata'],
      ['--exclude=/packages/'],
      ['--max-size=690'],
    ],
  };
}

/** Versions of packages, by their names: what is in each. */
type Contents = Readonly<Record<string, Readonly<Record<string, string>>>>;

const OLD: Contents = {
  alpha: { '1.0': 'content' },
  beta: { '1.0': 'content' },
  gone: { '1.0': 'gone' },
};
const NEW: Contents = {
  alpha: { '1.0': 'CONTENT', '1.1': 'more' },
  beta: { '1.0': 'content', '2.0': 'new' },
  came: { '1.0': 'came' },
};

/** A registry of npm in files before and after an update. */
export async function npmUpstream(home: string): Promise<Upstream> {
  mkdirSync(home);
  for (const [state, contents] of Object.entries({ old: OLD, new: NEW }))
    await makeRegistry(join(home, state), contents);
  return {
    kind: 'npm',
    states: [await stateOf(join(home, 'new')), await stateOf(join(home, 'old'))],
    keyring: '',
    rules: [['--exclude=alpha/'], ['--exclude=*-1.0.0.tgz'], ['--max-size=350']],
  };
}

/** The storage of a Verdaccio before and after an update. It has not fetched each version of one package. */
export async function verdaccioUpstream(home: string): Promise<Upstream> {
  mkdirSync(home);
  for (const [state, contents] of Object.entries({ old: OLD, new: NEW })) {
    const files = join(home, `${state}.files`);
    await makeRegistry(files, contents);
    const packages = Object.entries(contents).map(([name, versions]) => ({
      name: name === 'alpha' ? '@mine/alpha' : name,
      isOwn: name !== 'beta',
      versions: Object.keys(versions).map((version) => ({
        version: `${version}.0`,
        tarball: join(files, name, '-', `${name}-${version}.0.tgz`),
        isKept: name !== 'beta' || version === '1.0',
      })),
    }));
    writeVerdaccio(join(home, state), packages);
  }
  return {
    kind: 'npm',
    states: [await stateOf(join(home, 'new')), await stateOf(join(home, 'old'))],
    keyring: '',
    rules: [['--exclude=@mine/'], ['--exclude=*-1.0.0.tgz'], ['--exclude=.verdaccio-db.json']],
  };
}

async function makeRegistry(tree: string, contents: Contents): Promise<void> {
  const versions = [...new Set(Object.values(contents).flatMap((one) => Object.keys(one)))].sort();
  for (const version of versions) {
    const all = Object.entries(contents).map(([name, own]) => ({ name, content: own[version] }));
    const packages = all.filter((one): one is Package => one.content !== undefined);
    const [part, work] = [`${tree}.${version}`, `${tree}.${version}.work`];
    for (const directory of [part, work]) mkdirSync(directory);
    await npmRegistry.make(part, { mark: version, version, hasOwnNames: false, packages }, work);
    for (const { name } of packages) addVersion(join(tree, name), join(part, name), name, version);
  }
}

/** Adds a version of a package to its document. */
function addVersion(to: string, from: string, name: string, version: string): void {
  mkdirSync(join(to, '-'), { recursive: true });
  const file = `${name}-${version}.0.tgz`;
  copyFileSync(join(from, '-', file), join(to, '-', file));
  const [before, added] = [to, from].map((directory) => documentIn(join(directory, 'index.json')));
  const document = { ...added, versions: { ...before?.versions, ...added?.versions } };
  writeFileSync(join(to, 'index.json'), JSON.stringify(document));
}

function documentIn(path: string): { versions: object } | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as { versions: object };
  } catch {
    return undefined;
  }
}
