import { mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { expectFailure } from '../../support/expect-failure.ts';
import {
  guardedCallers,
  inShell,
  pinnings,
  runGuarded,
  startGuarded,
} from '../../support/guards.ts';
import { transcript } from '../../support/program.ts';
import { scratchDirectory } from '../../support/scratch.ts';

/** A tree with a `current` symlink that another tool maintains. */
interface ForeignTree {
  readonly name: string;
  /** Makes the tree below `home`, and returns its root. */
  make(home: string): string;
  /** The next target of `current`. */
  readonly next: string;
  readonly pinned: string;
  /** The entries under a namespace pin, and the content of `file` in the directories of the tree. */
  readonly seen: readonly string[];
}

function makeTree(path: string, content: string): void {
  mkdirSync(path, { recursive: true });
  writeFileSync(join(path, 'file'), content);
}

const trees: readonly ForeignTree[] = [
  {
    name: 'of Capistrano, with its shared directory,',
    make: (home) => {
      const root = join(home, 'app');
      for (const id of ['20260101', '20260202']) {
        makeTree(join(root, 'releases', id), id);
        symlinkSync(join(root, 'shared', 'log'), join(root, 'releases', id, 'log'));
        symlinkSync('../../shared/log', join(root, 'releases', id, 'relative-log'));
      }
      makeTree(join(root, 'shared', 'log'), 'log\n');
      writeFileSync(join(root, 'revisions.log'), 'revisions');
      symlinkSync(join(root, 'releases', '20260101'), join(root, 'current'));
      return root;
    },
    next: 'releases/20260202',
    pinned: '20260101',
    seen: [
      ...['current', 'current/file', 'current/log', 'current/relative-log'],
      ...['releases', 'releases/20260101', 'revisions.log', 'shared', 'shared/log', 'log', 'log'],
    ],
  },
  {
    name: 'of atomic-rsync',
    make: (home) => {
      const root = join(home, 'mirror');
      for (const id of ['current-1', 'current-2']) {
        makeTree(join(root, id), id);
        makeTree(join(root, id, 'below'), 'below\n');
      }
      symlinkSync('current-1', join(root, 'current'));
      return root;
    },
    next: 'current-2',
    pinned: 'current-1',
    seen: [
      ...['current', 'current-1', 'current-1/below', 'current-1/file', 'current/below'],
      ...['current/file', 'below'],
    ],
  },
  {
    name: 'whose current leads out of it',
    make: (home) => {
      const root = join(home, 'site');
      for (const id of ['a', 'b']) {
        makeTree(join(home, 'store', id), id);
        makeTree(join(home, 'store', id, 'below'), 'below\n');
      }
      makeTree(join(root, 'notes'), 'notes');
      symlinkSync('../store/a', join(root, 'current'));
      return root;
    },
    next: '../store/b',
    pinned: 'a',
    seen: ['current', 'current/below', 'current/file', 'notes', 'notes/file', 'below'],
  },
];

describe('I1: a tree', () => {
  for (const { name, make, next, seen, pinned } of trees) {
    for (const { guard, caller, pin, name: by } of pinnings) {
      test(`${name} is pinned without a lease, which is reported, by ${by}`, async () => {
        const home = scratchDirectory();
        const root = make(home);
        const running = startGuarded(
          guard,
          root,
          inShell(
            `echo ready; while [ ! -e "$2" ]; do sleep 0.02; done
             [ "$MIRRORLATCH_PIN" = cwd ] || { cd "$1" && ls -d * */* && cat current/*/file; cd "$OLDPWD"; }
             cat file "$PWD/file" "$3/file"`,
            root,
            join(home, 'flipped'),
            '{snapshot}',
          ),
          { caller, options: ['--pin', pin, '--verbose'] },
        );
        await expect.poll(running.printedSoFar).toBe('ready\n');
        symlinkSync(next, join(root, 'new'));
        renameSync(join(root, 'new'), join(root, 'current'));
        writeFileSync(join(home, 'flipped'), '');
        const result = await running.result;
        expect(result.stderr, transcript(result)).toContain(
          `mirrorlatch: ${root} is pinned to ${pinned} (${pin}, without a lease: mirrorlatch did not make this tree)`,
        );
        const lines = ['ready', ...(pin === 'namespace' ? seen : []), pinned.repeat(3)];
        expect(result.stdout.split('\n'), transcript(result)).toEqual(lines);
      });
    }
  }
});

test.each(['.', '..', '/'])(
  'I14: a directory that its current, which leads to %s, would show as its own snapshot is refused',
  async (target) => {
    const root = join(scratchDirectory(), 'app');
    makeTree(root, 'file');
    symlinkSync(target, join(root, 'current'));
    for (const { guard, caller, pin } of pinnings) {
      const result = await runGuarded(guard, root, ['cat', join(root, 'file')], {
        caller,
        options: ['--pin', pin],
      });
      expectFailure(result, 125, /current leads to .*, which contains the mirror itself/);
      expect(result.stdout).toBe('');
    }
  },
);

test('a directory named live is chosen by its name', async () => {
  const root = join(scratchDirectory(), 'app');
  for (const id of ['live', 'other']) makeTree(join(root, 'releases', id), id);
  symlinkSync('releases/other', join(root, 'current'));
  for (const { guard, caller, pin } of pinnings) {
    const options = ['--pin', pin, '--snapshot', 'live'];
    const result = await runGuarded(guard, root, ['cat', 'file'], { caller, options });
    expect(result.stdout, transcript(result)).toBe('live');
  }
});

test('is pinned for a guard inside a cwd pin, and not by an environment that outlived one', async () => {
  const root = join(scratchDirectory(), 'app');
  for (const id of ['old', 'new']) makeTree(join(root, 'releases', id), id);
  symlinkSync('releases/new', join(root, 'current'));
  const env = {
    MIRRORLATCH_ROOT: root,
    MIRRORLATCH_ID: 'old',
    MIRRORLATCH_SNAPSHOT: join(root, 'releases/old'),
  };
  for (const { guard, caller } of guardedCallers) {
    const look = guard.around(root, [], ['cat', join(root, 'current/file')]);
    const options = ['--pin', 'cwd', '--snapshot', 'old'];
    const script = inShell('(cd / && exec "$@"); :', ...look);
    const inside = await runGuarded(guard, root, script, { caller, options });
    expect(inside.stdout, transcript(inside)).toBe('old');
    const later = await startGuarded(undefined, [], look, { caller, env }).result;
    expect(later.stdout, transcript(later)).toBe('new');
  }
});

test('I14: a directory whose current is no symlink is refused, and nothing is run', async () => {
  const home = scratchDirectory();
  const root = join(home, 'app');
  makeTree(join(root, 'current'), 'file');
  for (const { guard, caller, pin } of pinnings) {
    const result = await runGuarded(guard, root, ['echo', 'ran'], {
      caller,
      options: ['--pin', pin],
    });
    expectFailure(result, 125, /app\/current is not a symlink/);
    expect(result.stdout).toBe('');
  }
});
