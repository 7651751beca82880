import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PlanLists } from '../../../src/mirror/plan/plan-lists.ts';
import { takeOut } from '../../../src/mirror/plan/take-out.ts';
import { applyArguments, planArguments } from '../../../src/rsync/arguments.ts';
import { type Entry, LineSplitter, parseEntry } from '../../../src/rsync/itemize.ts';
import { parseSource } from '../../../src/rsync/source.ts';
import { awkwardNames } from '../../support/awkward-tree.ts';
import { below } from '../../support/byte-path.ts';
import { type FileWork, fileWork } from '../../support/file-work.ts';
import { scratchDirectory } from '../../support/scratch.ts';

type Node =
  | { kind: 'file'; content: string; mode: number }
  | { kind: 'link'; target: string }
  | { kind: 'directory'; mode: number };

const name = fc.constantFrom('a', 'b', 'c', '-d', '#e', ';f', '\xff', 'n\nl', '\\#012');
const path = fc.array(name, { minLength: 1, maxLength: 4 }).map((names) => names.join('/'));
const node: fc.Arbitrary<Node> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('file' as const),
      content: fc.constantFrom('', 'x', 'yy', 'zzz'),
      mode: fc.constantFrom(0o644, 0o600),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('link' as const),
      target: fc.constantFrom('a', 'b/c', 'nothing'),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('directory' as const),
      mode: fc.constantFrom(0o755, 0o700),
    }),
  },
);
const someTree = fc.dictionary(path, node, { maxKeys: 12, noNullPrototype: true });

/** A tree, and a changed copy of it: many entries are the same, or differ only in mode. */
const twoTrees = fc.tuple(someTree, someTree, someTree).map(([both, only, other]) => {
  const changed = Object.entries(both).map(([at, one], index): [string, Node] =>
    one.kind !== 'link' && index % 2 === 0 ? [at, { ...one, mode: one.mode ^ 0o011 }] : [at, one],
  );
  return { before: { ...only, ...both }, after: { ...other, ...Object.fromEntries(changed) } };
});

/** Makes the entries that can exist: a file has none below it. */
function grow(work: FileWork, wanted: Record<string, Node>): void {
  const made = new Map<string, Node>();
  for (const [at, one] of Object.entries(wanted).sort(([a], [b]) => a.length - b.length)) {
    const parents = at
      .split('/')
      .slice(0, -1)
      .map((_, depth, names) => names.slice(0, depth + 1).join('/'));
    if (parents.some((parent) => (made.get(parent)?.kind ?? 'directory') !== 'directory')) continue;
    for (const parent of parents) {
      if (!made.has(parent)) work.directory(parent);
      made.set(parent, made.get(parent) ?? { kind: 'directory', mode: 0o755 });
    }
    if (made.has(at)) continue;
    made.set(at, one);
    if (one.kind === 'file') {
      work.write(at, one.content, one.mode);
      // The same time in every tree, so that many files differ only in mode.
      utimesSync(below(work.root, at), 1_600_000_000, 1_600_000_000);
    } else if (one.kind === 'link') work.symlink(at, one.target);
    else work.directory(at, one.mode);
  }
}

const transferFrom = (source: string) => ({
  source: parseSource(source),
  without: new Set<never>(),
  options: [],
});

function rsync(args: readonly string[]): Entry[] {
  const output = execFileSync('rsync', args, { env: { ...process.env, LC_ALL: 'C' } });
  return new LineSplitter()
    .push(output)
    .map(parseEntry)
    .filter((entry) => entry !== undefined);
}

const planOf = (source: string, target: string) =>
  rsync(planArguments(transferFrom(source), target));

/** Plans, takes entries out and applies, as a sync does. */
async function carryOut(scratch: string, source: string, target: string): Promise<PlanLists> {
  const lists = new PlanLists(scratch, './');
  for (const entry of planOf(source, target)) lists.add(entry);
  lists.close();
  const partial = join(scratch, 'partial');
  await takeOut(target, lists.removals(), partial, new AbortController().signal);
  rsync(
    applyArguments(transferFrom(source), target, lists.transfers, {
      from: [],
      how: 'link',
      partial,
    }),
  );
  return lists;
}

function listed(lists: PlanLists): string[] {
  return readFileSync(lists.transfers.path, 'latin1').split('\0').slice(0, -1);
}

describe('the lists of a plan', () => {
  test('make any two trees equal when a real rsync applies them, and touch no inode that stays', async () => {
    await fc.assert(
      fc.asyncProperty(twoTrees, fc.boolean(), async ({ before, after }, hasOwnFiles) => {
        const scratch = scratchDirectory();
        const [source, published, target] = ['source', 'published', 'target'].map((one) =>
          join(scratch, one),
        ) as [string, string, string];
        for (const directory of [source, published]) mkdirSync(directory);
        mkdirSync(join(scratch, 'partial'));
        grow(fileWork(published), before);
        grow(fileWork(source), after);
        execFileSync('cp', ['--archive', ...(hasOwnFiles ? [] : ['--link']), published, target]);
        const frozen = photograph(published);
        await carryOut(scratch, source, target);
        expect(planOf(source, target)).toEqual([]);
        expect(photograph(published)).toBe(frozen);
      }),
      { numRuns: 16 },
    );
  });

  test('read no name as an option, a comment, or more than one entry', async () => {
    const scratch = scratchDirectory();
    const [source, target] = [join(scratch, 'source'), join(scratch, 'target')];
    for (const directory of [source, target, join(scratch, 'partial')]) mkdirSync(directory);
    fileWork(source).directory('d');
    for (const one of awkwardNames) {
      fileWork(source).write(one, 'x');
      fileWork(source).write(`d/${one}`, 'x');
    }
    const lists = await carryOut(scratch, source, target);
    expect(planOf(source, target)).toEqual([]);
    for (const line of listed(lists)) expect(line).toMatch(/^\.\/.*[^/]$/s);
  });
});

/** Describes a tree: names, inodes, modes, owners, sizes, times and contents. */
function photograph(tree: string): string {
  const facts = execFileSync('find', [tree, '-printf', '%P|%i|%y|%m|%U|%G|%s|%T@|%l\\0'], {
    encoding: 'latin1',
  });
  const contents = execFileSync('find', [tree, '-type', 'f', '-exec', 'md5sum', '-z', '{}', '+'], {
    encoding: 'latin1',
  });
  return [facts, contents].map((text) => text.split('\0').sort().join('\n')).join('\n');
}
