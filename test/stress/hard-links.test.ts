import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { lstatIfThere } from '../../src/system/files.ts';
import type { BytePath } from '../support/byte-path.ts';
import { below } from '../support/byte-path.ts';
import { makeLoopFilesystem, whyNoLoopFilesystem } from '../support/loop-filesystem.ts';
import { runsAsRoot } from '../support/privilege.ts';
import { runProgram, transcript } from '../support/program.ts';
import { makeScratch } from '../support/scratch.ts';
import { atTransfer, standInFor } from '../support/stand-in.ts';
import { describeTree, difference, type Tree } from '../support/tree.ts';
import { type Dice, diceOf } from './dice.ts';
import { LinkTree, type LinkTreeOptions } from './link-groups.ts';
import { byScale, tellProgress } from './scale.ts';

/** One mirror that follows a tree of hard links. */
interface Following {
  readonly clone: 'auto' | 'hardlink' | 'copy' | 'reflink' | 'btrfs';
  /** Options of rsync. */
  readonly options: readonly string[];
  readonly tree?: LinkTreeOptions;
  /** Where the mirror lies; by default a temporary directory. */
  readonly on?: 'btrfs' | 'xfs';
  readonly generations: number;
}

const followings: readonly Following[] = [
  { clone: 'auto', options: ['-H'], generations: byScale({ sample: 5, all: 150 }) },
  { clone: 'copy', options: ['-H'], generations: byScale({ sample: 4, all: 100 }) },
  {
    clone: 'hardlink',
    options: ['-HAXS', '--numeric-ids', '--chmod=Dg+w,Fo-x'],
    tree: { attributes: runsAsRoot },
    generations: byScale({ sample: 4, all: 100 }),
  },
  {
    clone: 'copy',
    options: ['-HAXS', '--numeric-ids', '--checksum'],
    tree: { attributes: runsAsRoot, silent: true },
    generations: byScale({ sample: 3, all: 100 }),
  },
  {
    clone: 'hardlink',
    options: ['-H', '--checksum'],
    tree: { silent: true },
    generations: byScale({ sample: 3, all: 100 }),
  },
];

const onFilesystems: readonly Following[] = [
  { clone: 'btrfs', on: 'btrfs', options: ['-H'], generations: byScale({ sample: 3, all: 100 }) },
  { clone: 'reflink', on: 'xfs', options: ['-HAX'], generations: byScale({ sample: 2, all: 50 }) },
];

describe.concurrent('each snapshot has the links of its source, and no published one changes', () => {
  for (const one of followings)
    test(nameOf(one), () => inScratch((home) => follow(one, home, home)));
  test.skipIf(whyNoLoopFilesystem !== '').each(onFilesystems)(
    `$clone on $on${whyNoLoopFilesystem}`,
    (one) =>
      inScratch(async (home) => {
        const filesystem = await makeLoopFilesystem(one.on ?? 'xfs');
        await follow(one, home, filesystem.path).finally(() => filesystem.remove());
      }),
  );
});

function nameOf({ clone, options }: Following): string {
  return `${options.join(' ')} in clones by ${clone}`;
}

async function inScratch(work: (home: string) => Promise<void>): Promise<void> {
  const scratch = makeScratch();
  await work(scratch.path).finally(() => scratch.remove());
}

/** @param place a directory for the mirror. */
async function follow(one: Following, home: string, place: string): Promise<void> {
  const [source, root, fresh] = [join(home, 'source'), join(place, 'mirror'), join(home, 'fresh')];
  const dice = diceOf(nameOf(one));
  mkdirSync(source);
  const tree = new LinkTree(source, dice, one.tree);
  const published = new Map<string, Tree>();
  const sync = async (env: NodeJS.ProcessEnv, ...words: string[]) => {
    const clone = ['--clone', one.clone, '--allow-shrink', '--keep-last', '2', '--grace', '0s'];
    const args = ['sync', source, root, ...clone, '--retry-delay', '10ms', ...words];
    return runProgram([...args, '--json', '--', ...one.options], { env });
  };
  let before = '';
  for (let generation = 0; generation < one.generations; generation += 1) {
    const about = `generation ${generation}, seed ${process.env['MIRRORLATCH_STRESS_SEED'] ?? 1}`;
    if (generation > 0) tree.change();
    if (generation > 0 && dice.chance(0.3)) {
      await sync(cutShort(home, generation, dice), '--retries', '0');
      if (dice.chance(0.7)) tree.change();
    }
    const env = dice.chance(0.3) ? meanwhile(home, generation, tree) : {};
    const words = Object.keys(env).length === 0 && dice.chance(0.3) ? ['--without', 'settle'] : [];
    const result = await sync(env, ...words);
    expect(result.exitCode, `${about}\n${transcript(result)}`).toBe(0);
    const current = join(root, readlinkSync(join(root, 'current')));
    copyByRsync(one.options, source, fresh);
    expect(differencesByRsync(one.options, fresh, current), about).toBe('');
    expect(differencesOfLinks(fresh, current, before), about).toEqual([]);
    for (const snapshot of readdirSync(join(root, 'snapshots'))) {
      const known = published.get(snapshot);
      const now = describeTree(join(root, 'snapshots', snapshot), { hardLinks: true });
      if (known !== undefined) expect(difference(known, now), `I2, ${about}`).toEqual([]);
      published.set(snapshot, now);
    }
    if (dice.chance(0.2)) {
      const again = await sync({});
      expect(again.json(), about).toMatchObject({ outcome: 'unchanged' });
    }
    before = basename(current) === basename(before) ? before : current;
    tellProgress(nameOf(one), generation + 1, one.generations);
  }
}

/** An rsync that transfers a part of its list, and then fails. */
function cutShort(home: string, generation: number, dice: Dice): NodeJS.ProcessEnv {
  const keep = dice.whole(0, 8);
  const script = `
    for word; do case "$word" in --files-from=*) list="\${word#*=}" ;; esac; done
    if [ -n "$list" ]; then head -z -n ${keep} "$list" >"$list.cut"; mv "$list.cut" "$list"; fi
    "$program" "$@"; exit 12`;
  return { PATH: standInFor('rsync', join(home, `cut-${generation}`), atTransfer(script)) };
}

/** A source that changes while it is transferred, once. */
function meanwhile(home: string, generation: number, tree: LinkTree): NodeJS.ProcessEnv {
  const directory = join(home, `meanwhile-${generation}`);
  const script = `[ -e '${directory}/done' ] || { : >'${directory}/done'; ${tree.commands()}; }`;
  return { PATH: standInFor('rsync', directory, atTransfer(script)) };
}

/** What rsync itself makes of the source. */
function copyByRsync(options: readonly string[], source: string, to: string): void {
  rmSync(to, { recursive: true, force: true });
  const words = ['--archive', '--safe-links', '--modify-window=-1', ...options];
  execFileSync('rsync', [...words, '--', `${source}/`, `${to}/`]);
}

/** What rsync would change to make one tree like another, with all that it knows of. */
function differencesByRsync(options: readonly string[], from: string, to: string): string {
  const all = options.some((option) => /^-\w*X/.test(option)) ? '-aHAXnic' : '-aHnic';
  const words = [all, '--delete', '--numeric-ids', '--modify-window=-1'];
  return execFileSync('rsync', [...words, '--', `${from}/`, `${to}/`], { encoding: 'latin1' });
}

/**
 * Compares which names share a file. rsync does not part what was linked before and has stayed the same
 * (rsync(1), --hard-links), so more may be linked than in `expected`, if it was in `before`.
 */
function differencesOfLinks(expected: string, actual: string, before: string): string[] {
  const names = readdirSync(actual, { recursive: true, encoding: 'latin1' });
  const [wanted, found, known] = [expected, actual, before].map((tree) =>
    inodesOf(tree, names),
  ) as [Inodes, Inodes, Inodes];
  const groups = new Map<BytePath, BytePath>();
  const leader = (name: BytePath): BytePath => {
    const above = groups.get(name);
    return above === undefined ? name : leader(above);
  };
  for (const inodes of [wanted, known]) {
    for (const [name, first] of linksIn(inodes)) {
      const [one, other] = [leader(name), leader(first)];
      if (one !== other) groups.set(one, other);
    }
  }
  const missing = linksIn(wanted)
    .filter(([name, first]) => found.get(name) !== found.get(first))
    .map(([name, first]) => `${name} is not linked to ${first}`);
  const surplus = linksIn(found)
    .filter(([name, first]) => leader(name) !== leader(first))
    .map(([name, first]) => `${name} is linked to ${first}`);
  return [...missing, ...surplus];
}

type Inodes = Map<BytePath, bigint>;

function inodesOf(tree: string, names: readonly BytePath[]): Inodes {
  const inodes: Inodes = new Map();
  for (const name of tree === '' ? [] : names) {
    const status = lstatIfThere(below(tree, name));
    if (status !== undefined && !status.isDirectory()) inodes.set(name, status.ino);
  }
  return inodes;
}

/** Each name with the first one that shares its inode. */
function linksIn(inodes: Inodes): [BytePath, BytePath][] {
  const firsts = new Map<bigint, BytePath>();
  return [...inodes].flatMap(([name, inode]) => {
    const first = firsts.get(inode);
    if (first === undefined) firsts.set(inode, name);
    return first === undefined ? [] : [[name, first] as [BytePath, BytePath]];
  });
}
