import { existsSync, lstatSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { execaSync } from 'execa';
import { fileWork } from '../../support/file-work.ts';
import { describeTree, difference } from '../../support/tree.ts';
import type { Dice } from '../dice.ts';
import type { Course } from './course.ts';
import type { Mirror } from './mirrors.ts';

/** Data that belongs to nobody's mirror, but is mounted below one now and then. */
export interface Outside {
  readonly path: string;
  /** What has changed since the start, one sentence each. */
  changes(): string[];
  /** Unmounts the other filesystem. */
  remove(): void;
}

/** Makes the data: a directory and a file of this filesystem, and a directory of another one. */
export function makeOutside(path: string): Outside {
  fileWork('/').directory(path.slice(1));
  const work = fileWork(path);
  for (const directory of ['directory', 'other filesystem']) work.directory(directory);
  execaSync('mount', [
    '-t',
    'tmpfs',
    '-o',
    'size=1m,mode=755',
    'tmpfs',
    join(path, 'other filesystem'),
  ]);
  for (const directory of ['directory', 'other filesystem']) {
    work.write(`${directory}/kept`, 'belongs to nobody');
    work.mode(`${directory}/kept`, 0o4750);
    work.owner(`${directory}/kept`, 12_345, 23_456);
    work.directory(`${directory}/closed`);
    work.write(`${directory}/closed/inside`, 'out of reach');
    work.mode(`${directory}/closed`, 0o500);
    work.symlink(`${directory}/link`, 'kept');
    work.mtime(directory, '1500000000.123456789');
  }
  work.write('file', 'a file that is mounted over another');
  work.mode('file', 0o640);
  work.mtime('file', '1500000000.987654321');
  const before = describeTree(path);
  return {
    path,
    changes: () => difference(before, describeTree(path)),
    remove: () => {
      execaSync('umount', ['--', join(path, 'other filesystem')]);
    },
  };
}

/** Mounts the outside below trees of the mirrors, each time for a while, while no writer is at work. */
export async function keepMounting(
  outside: Outside,
  mirrors: readonly Mirror[],
  course: Course,
  dice: Dice,
): Promise<void> {
  while (!course.isOver()) {
    await pause(dice.between(500, 3_000));
    const mirror = dice.pick(mirrors);
    const isMounted = await mirror.alone(() => {
      const tree = dice.pick(treesOf(mirror));
      const target = tree && mountOver(dice, tree, outside.path);
      if (target === undefined) return false;
      course.note('mounts', `mounted over ${target}`);
      course.count('mounts', basename(dirname(dirname(target))));
      return true;
    });
    if (!isMounted) continue;
    await pause(dice.between(1_000, 8_000));
    unmountFrom(outside, course);
  }
  unmountFrom(outside, course);
}

/** The trees that a mirror has at the moment: published, in staging, in place, or given back. */
function treesOf(mirror: Mirror): [string, ...string[]] | [undefined] {
  const inside = (...names: string[]) => {
    const directory = join(mirror.root(), ...names);
    if (!existsSync(directory)) return [];
    return readdirSync(directory, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => join(directory, name));
  };
  const trees = [
    ...inside('snapshots'),
    ...inside('.mirrorlatch', 'staging'),
    ...inside('gate'),
    ...(mirror.adopted === undefined ? [] : [mirror.adopted]),
  ];
  const [first, ...others] = trees;
  return first === undefined ? [undefined] : [first, ...others];
}

/** @returns the new mount point; undefined if the tree has no place for it. */
function mountOver(dice: Dice, tree: string, outside: string): string | undefined {
  const [name, what] = dice.pick([
    ['extra', 'directory'],
    ['extra', 'other filesystem'],
    ['large', 'file'],
  ] as const);
  const target = join(tree, name);
  const status = lstatSync(target, { throwIfNoEntry: false });
  if (status === undefined || status.isDirectory() !== (what !== 'file')) return undefined;
  execaSync('mount', ['--bind', join(outside, what), target]);
  return target;
}

/** Finds the mounts by where they are now, because a tree takes its mounts along when it is renamed. */
function unmountFrom(outside: Outside, course: Course): void {
  for (const target of mountsOf(outside)) {
    execaSync('umount', ['--lazy', '--', target]);
    course.note('mounts', `unmounted ${target}`);
  }
}

/** The mount points of the outside, deepest first. */
function mountsOf(outside: Outside): string[] {
  const world = join(outside.path, '..');
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4]?.replaceAll('\\040', ' ') ?? '')
    .filter((point) => point.startsWith(`${world}/`) && !point.startsWith(`${outside.path}/`))
    .reverse();
}
