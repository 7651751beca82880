import { mkdirSync, readdirSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildAwkwardTree } from '../support/awkward-tree.ts';
import { fileWork } from '../support/file-work.ts';
import {
  type FilesystemType,
  makeLoopFilesystem,
  whyNoLoopFilesystem,
} from '../support/loop-filesystem.ts';
import { nobody, runsAsRoot, type User } from '../support/privilege.ts';
import { nobodyRunsTheProgram, type ProgramOptions, runForJson } from '../support/program.ts';
import { makeScratch, type Scratch, scratchDirectory } from '../support/scratch.ts';
import { describeTree, difference, type Tree, type TreeOptions } from '../support/tree.ts';
import { fillOutside, mostSteps, type TreeChange, treeChanges } from '../support/tree-changes.ts';

/** A way to make a snapshot. All ways must lead to the same tree. */
interface Way {
  readonly strategy: 'plan' | 'link-dest' | 'copy';
  readonly clone?: 'hardlink' | 'reflink' | 'btrfs' | 'copy';
}

const hardlink: Way = { strategy: 'plan', clone: 'hardlink' };
const reflink: Way = { strategy: 'plan', clone: 'reflink' };
const btrfs: Way = { strategy: 'plan', clone: 'btrfs' };
const fullClone: Way = { strategy: 'plan', clone: 'copy' };
const linkDest: Way = { strategy: 'link-dest' };
const fullCopy: Way = { strategy: 'copy' };

/** Other settings of a mirror. */
interface Variant {
  readonly name: string;
  readonly options: readonly string[];
  readonly rsyncOptions: readonly string[];
  /** Also compares which names share an inode. */
  readonly hardLinks?: boolean;
  /** The source contains symlinks that lead out of it. */
  readonly outside?: boolean;
  /** The mirror and the source belong to this user. */
  readonly user?: User;
}

const plain: Variant = { name: 'by default', options: [], rsyncOptions: [] };
const withOutside: Variant = {
  name: 'with symlinks to outside',
  options: ['--without', 'safe-links'],
  rsyncOptions: [],
  outside: true,
};
const withHardLinks: Variant = {
  name: 'with -H',
  options: [],
  rsyncOptions: ['-H'],
  hardLinks: true,
};
const withChecksum: Variant = {
  name: 'with --checksum',
  options: [],
  rsyncOptions: ['--checksum'],
};
/** Without implied directories, the parents of listed entries would lose their times. */
const withoutImpliedDirectories: Variant = {
  name: 'with --no-implied-dirs',
  options: [],
  rsyncOptions: ['--no-implied-dirs'],
};
const asNobody: Variant = {
  name: 'as an ordinary user',
  options: [],
  rsyncOptions: [],
  user: nobody,
};

const casesOn: Readonly<Record<FilesystemType, readonly (readonly [Way, Variant])[]>> = {
  ext4: [
    [hardlink, plain],
    [linkDest, plain],
    [hardlink, withOutside],
    [fullClone, withOutside],
    [linkDest, withOutside],
    [fullCopy, withOutside],
    [hardlink, withHardLinks],
    [fullClone, withHardLinks],
    [linkDest, withHardLinks],
    [fullCopy, withHardLinks],
  ],
  xfs: [
    [hardlink, withOutside],
    [reflink, withOutside],
    [linkDest, withOutside],
    [reflink, withHardLinks],
  ],
  btrfs: [
    [hardlink, withOutside],
    [reflink, withOutside],
    [btrfs, withOutside],
    [linkDest, withOutside],
    [btrfs, withHardLinks],
  ],
};

const whyNotAsNobody = nobodyRunsTheProgram
  ? ''
  : ' (skipped: only root can become nobody, who has to reach Node and the program)';

for (const type of ['ext4', 'xfs', 'btrfs'] as const) {
  describe.skipIf(whyNoLoopFilesystem !== '')(`on ${type}${whyNoLoopFilesystem}`, () => {
    let filesystem: Awaited<ReturnType<typeof makeLoopFilesystem>>;
    beforeAll(async () => {
      filesystem = await makeLoopFilesystem(type);
    });
    afterAll(() => filesystem.remove());

    for (const [way, variant] of casesOn[type]) {
      const name = nameOf(way, variant);
      test.concurrent(`${name}: every snapshot equals its source and none changes later`, () =>
        followAllChanges(join(filesystem.path, name), way, variant));
    }
  });
}

describe('on the filesystem of temporary files', () => {
  let scratch: Scratch;
  beforeAll(() => {
    scratch = makeScratch();
  });
  afterAll(() => scratch.remove());

  for (const [way, variant] of [
    [hardlink, withChecksum],
    [fullClone, withChecksum],
    [linkDest, withChecksum],
    [hardlink, withoutImpliedDirectories],
  ] as const) {
    const name = nameOf(way, variant);
    test.concurrent(`${name}: every snapshot equals its source and none changes later`, () =>
      followAllChanges(join(scratch.path, name), way, variant));
  }

  describe.skipIf(!nobodyRunsTheProgram)(`as another user${whyNotAsNobody}`, () => {
    for (const way of [hardlink, linkDest]) {
      const name = nameOf(way, asNobody);
      test.concurrent(`${name}: every snapshot equals its source and none changes later`, () =>
        followAllChanges(join(scratch.path, name), way, asNobody));
    }
  });

  for (const variant of [withOutside, withHardLinks]) {
    const changes = treeChanges
      .filter(possible(variant))
      .filter(variant.hardLinks ? areOfLinks : () => true);
    for (const change of changes) {
      const name = `${variant.name}: ${change.name}`;
      test.concurrent(`alone, ${name}: each step is noticed and mirrored`, () =>
        followOneChange(join(scratch.path, name), change, variant));
    }
  }
});

test.for(['a file at the top', 'only the top directory'])(
  'I2: a change of the source between plan and transfer of %s reaches no published snapshot',
  async (listed) => {
    const home = scratchDirectory();
    const [source, root, armed] = [join(home, 'source'), join(home, 'mirror'), join(home, 'armed')];
    const work = fileWork(source);
    mkdirSync(join(source, 'below'), { recursive: true });
    for (const path of ['listed', 'unlisted', 'below/unlisted']) work.write(path, 'content', 0o644);
    // Once armed, the modes change before the second rsync, the transfer.
    const shell = join(home, 'shell');
    const change = `chmod 0600 '${source}/unlisted' '${source}/below/unlisted'`;
    const script = `[ -e '${armed}' ] && { [ -s '${armed}' ] && ${change}; echo plan >> '${armed}'; }`;
    writeFileSync(shell, `#!/bin/sh\n${script}\nshift\nexec sh -c "$*"\n`, { mode: 0o755 });
    const sync = () => runForJson(['sync', `host:${source}`, root, '--', '-e', shell]);

    const { id } = await sync();
    const published = describeTree(join(root, 'snapshots', String(id)));
    if (listed === 'a file at the top') work.write('listed', 'another content');
    else work.mode('.', 0o700);
    writeFileSync(armed, '');
    expect(await sync()).toMatchObject({ outcome: 'published' });
    expect(describeTree(source).get('unlisted')).toMatchObject({ mode: '0600' });
    expect(difference(published, describeTree(join(root, 'snapshots', String(id))))).toEqual([]);
    await sync();
    expect(difference(describeTree(source), describeTree(join(root, 'current')))).toEqual([]);
  },
);

test.for([hardlink, fullClone, linkDest, fullCopy])(
  'an entry that becomes a symlink out of the source is removed by $strategy and $clone',
  async (way) => {
    const home = scratchDirectory();
    const [source, root] = [join(home, 'source'), join(home, 'mirror')];
    const work = fileWork(source);
    mkdirSync(source);
    for (const name of ['directory', 'new\nline', 'latin1 \xff']) {
      work.directory(name);
      work.directory(`${name}/below`, 0o755);
      work.write(`${name}/below/file`, 'content');
    }
    work.write('file', 'content');
    work.write('stays', 'content');
    const sync = () => runForJson(['sync', source, root, '--allow-shrink', ...optionsOf(way)]);
    await sync();

    for (const name of ['directory', 'new\nline', 'latin1 \xff', 'file']) {
      work.remove(name);
      work.symlink(name, '/etc');
    }
    work.symlink('never copied', '/etc');
    expect(await sync()).toMatchObject({ outcome: 'published' });
    expect([...describeTree(join(root, 'current')).keys()].sort()).toEqual(['.', 'stays']);
    expect(await sync()).toMatchObject({ outcome: 'unchanged' });
  },
);

/**
 * Syncs the awkward tree and all changes, a step of each change before each sync. After each:
 * `current` equals the source, older snapshots are what they were, staging is empty, and one more
 * sync has nothing to do.
 */
async function followAllChanges(home: string, way: Way, variant: Variant): Promise<void> {
  const place = prepare(home);
  const sees: TreeOptions = { hardLinks: variant.hardLinks === true };
  const changes = treeChanges.filter(possible(variant));
  buildAwkwardTree(place.source, { privileged: runsAsRoot && variant.user === undefined });
  mkdirSync(join(place.source, 'changes'));
  const published = new Map<string, Tree>();
  if (variant.user !== undefined) await giveTo(variant.user, home);
  const outside = describeTree(place.outside);

  for (let step = 0; step < mostSteps(); step += 1) {
    for (const change of changes) applyStep(join(place.source, 'changes'), place, change, step);
    fileWork(place.source).write(`new at the top ${step}`, 'new');
    fileWork(place.source).remove(`new at the top ${step - 1}`);
    if (variant.user !== undefined) await giveTo(variant.user, place.source);
    const sync = () =>
      runForJson(
        [
          'sync',
          place.source,
          place.root,
          ...optionsOf(way),
          ...variant.options,
          '--',
          ...variant.rsyncOptions,
        ],
        programOptions(variant),
      );

    const summary = await sync();
    expect(summary, `step ${step}`).toMatchObject({
      outcome: 'published',
      ...usedBy(way, step),
    });
    const id = String(summary['id']);
    expect(readlinkSync(join(place.root, 'current'))).toBe(`snapshots/${id}`);
    const current = describeTree(join(place.root, 'current'), sees);
    expect(difference(describeTree(place.source, sees), current), `step ${step}`).toEqual([]);
    expect(difference(outside, describeTree(place.outside)), 'outside').toEqual([]);
    for (const [older, tree] of published) {
      const now = describeTree(join(place.root, 'snapshots', older), sees);
      expect(difference(tree, now), `I2: snapshot ${published.size} after step ${step}`).toEqual(
        [],
      );
    }
    published.set(id, current);
    expectTidy(place.root);

    expect(await sync(), `again after step ${step}`).toMatchObject({ outcome: 'unchanged' });
    expect(readdirSync(join(place.root, 'snapshots')).sort()).toEqual([...published.keys()].sort());
  }
}

/** The same with a single change, which cannot be noticed because of another one. */
async function followOneChange(home: string, change: TreeChange, variant: Variant): Promise<void> {
  const place = prepare(home);
  const sees: TreeOptions = { hardLinks: variant.hardLinks === true };
  mkdirSync(place.source);
  for (const step of change.steps.keys()) {
    applyStep(place.source, place, change, step);
    const summary = await runForJson([
      'sync',
      place.source,
      place.root,
      '--allow-shrink',
      ...variant.options,
      '--',
      ...variant.rsyncOptions,
    ]);
    expect(summary, `step ${step}`).toMatchObject({ outcome: 'published' });
    const current = describeTree(join(place.root, 'current'), sees);
    expect(difference(describeTree(place.source, sees), current), `step ${step}`).toEqual([]);
  }
}

interface Place {
  readonly source: string;
  readonly root: string;
  /** The target of some symlinks in the source. */
  readonly outside: string;
}

function prepare(home: string): Place {
  const outside = join(home, 'outside');
  mkdirSync(outside, { recursive: true });
  fillOutside(fileWork(outside));
  return { source: join(home, 'source'), root: join(home, 'mirror'), outside };
}

function applyStep(directory: string, place: Place, change: TreeChange, step: number): void {
  const own = join(directory, change.name);
  if (step === 0) mkdirSync(own);
  change.steps[step]?.(fileWork(own), place.outside);
}

function possible(variant: Variant): (change: TreeChange) => boolean {
  return ({ needs }) => {
    if (needs === 'root') return runsAsRoot && variant.user === undefined;
    return needs === undefined || variant.outside === true;
  };
}

function areOfLinks({ name }: TreeChange): boolean {
  return name.includes('inode');
}

function expectTidy(root: string): void {
  expect(readdirSync(root).sort()).toEqual(
    expect.arrayContaining(['.mirrorlatch', 'current', 'snapshots']),
  );
  expect(
    readdirSync(root).filter(
      (name) =>
        !['.mirrorlatch', 'current', 'current.json', 'previous', 'snapshots'].includes(name),
    ),
  ).toEqual([]);
  const staging = join(root, '.mirrorlatch/staging');
  // The lists of names of the last plan may stay, because the next plan overwrites them.
  expect(readdirSync(staging).filter((name) => !/^\.(transfer|removal)$/.test(name))).toEqual([]);
}

async function giveTo(user: User, directory: string): Promise<void> {
  await execa('chown', ['-hR', `${user.uid}:${user.gid}`, '--', directory]);
}

function programOptions(variant: Variant): ProgramOptions {
  return variant.user === undefined ? {} : { user: variant.user };
}

function optionsOf({ strategy, clone }: Way): string[] {
  return ['--strategy', strategy, ...(clone === undefined ? [] : ['--clone', clone])];
}

/** The way that the summary must report: the first sync has nothing to clone. */
function usedBy({ strategy, clone }: Way, step: number): Record<string, string> {
  return step === 0 || clone === undefined ? { strategy } : { strategy, clone };
}

function nameOf({ strategy, clone }: Way, variant: Variant): string {
  return `${clone === undefined ? strategy : `${strategy} by ${clone}`} ${variant.name}`;
}
