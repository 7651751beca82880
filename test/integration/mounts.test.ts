import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';
import { takeOut } from '../../src/mirror/plan/take-out.ts';
import { expectFailure } from '../support/expect-failure.ts';
import { mayMount } from '../support/privilege.ts';
import { runForJson, runProgram, transcript } from '../support/program.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { mirrorsWith, type SmallMirror, smallMirror } from '../support/small-mirror.ts';
import { describeTree, difference } from '../support/tree.ts';

/** The three kinds of mounts; the first two are of the mirror's own filesystem. */
const KINDS = ['a directory', 'a file', 'another filesystem'] as const;

/** Something that is mounted in a tree, and belongs to somebody else. */
interface Mounted {
  at: string;
  /** Expects that nothing of it has changed. */
  expectIntact(): void;
  unmount(): Promise<void>;
}

/** Mounts below `tree`, which has a directory `below` with a file in it. */
async function mountIn(
  tree: string,
  kind: (typeof KINDS)[number] = 'a directory',
): Promise<Mounted> {
  const foreign = scratchDirectory();
  const at = join(tree, kind === 'a file' ? 'below/file' : 'below');
  const what = kind === 'a file' ? join(foreign, 'KEEP') : foreign;
  if (kind === 'another filesystem') await execa('mount', ['-t', 'tmpfs', 'tmpfs', foreign]);
  mkdirSync(join(foreign, 'closed'), { mode: 0o500 });
  writeFileSync(join(foreign, 'closed/KEEP'), 'mine');
  writeFileSync(join(foreign, 'KEEP'), 'mine');
  await execa('mount', ['--bind', what, at]);
  return {
    at,
    expectIntact: () => {
      expect(readdirSync(foreign)).toEqual(['KEEP', 'closed']);
      for (const name of ['KEEP', 'closed/KEEP']) {
        expect(readFileSync(join(foreign, name), 'utf8')).toBe('mine');
      }
      expect(statSync(join(foreign, 'closed')).mode & 0o777).toBe(0o500);
    },
    unmount: async () => void (await execa('umount', [at])),
  };
}

const fourSnapshots = mirrorsWith('a', 'b', 'c', 'd');
const NOTHING_ELSE = ['--keep-last', '1', '--grace', '0'];

describe.skipIf(!mayMount).each(KINDS)('%s that is mounted', (kind) => {
  test('in an old snapshot keeps that one, which is said, and hinders no other', async () => {
    const mirror = await fourSnapshots();
    const mounted = await mountIn(join(mirror.root, 'snapshots/a'), kind);
    const why = new RegExp(
      `snapshots/a cannot be removed: ${mounted.at} is .*umount ${mounted.at}`,
    );
    const dry = await runProgram(['prune', mirror.root, ...NOTHING_ELSE, '--dry-run']);
    expect(dry.stdout).toMatch(/^a .* cannot be removed/m);
    expect(dry.stdout).toMatch(why);
    await runForJson(['init', mirror.root, ...NOTHING_ELSE]);
    mirror.change({ file: 'e' });
    const synced = await runProgram(['sync', mirror.root, '--quiet']);
    expect(synced.exitCode, transcript(synced)).toBe(0);
    expect(synced.stderr).toMatch(why);
    expect(mirror.snapshots()).toHaveLength(3);
    mounted.expectIntact();

    const status = await runProgram(['status', mirror.root]);
    expect(status.exitCode).toBe(69);
    expect(status.stdout).toMatch(why);
    const pruned = await runProgram(['prune', mirror.root, ...NOTHING_ELSE, '--json']);
    expect(pruned.exitCode).toBe(74);
    expect(pruned.json()).toMatchObject({
      failed: [{ id: 'a', message: expect.stringMatching(why) }],
    });

    await mounted.unmount();
    expect(await runForJson(['prune', mirror.root, ...NOTHING_ELSE])).toMatchObject({
      removed: ['a'],
    });
    expect(await runForJson(['status', mirror.root])).toMatchObject({ findings: [] });
    mounted.expectIntact();
  });

  test('in a tree in the trash keeps the tree there, which is said', async () => {
    const mirror = await fourSnapshots();
    const tree = mirror.state('trash/old');
    mkdirSync(join(tree, 'below'), { recursive: true });
    writeFileSync(join(tree, 'below/file'), '');
    const mounted = await mountIn(tree, kind);
    const synced = await runProgram(['sync', mirror.root, '--quiet']);
    expect(synced.exitCode, transcript(synced)).toBe(0);
    expect(synced.stderr).toMatch(new RegExp(`${tree} cannot be removed: .*umount ${mounted.at}`));
    mounted.expectIntact();
    await mounted.unmount();
    await runForJson(['sync', mirror.root]);
    expect(existsSync(tree)).toBe(false);
  });

  test('in what is current stops sync and lock, and is neither cloned nor emptied', async () => {
    const mirror = await fourSnapshots();
    const mounted = await mountIn(join(mirror.root, 'current'), kind);
    const at = join(mirror.root, 'snapshots/d', kind === 'a file' ? 'below/file' : 'below');
    mirror.change({ file: 'e', 'below/file': null });
    for (const [words, exitCode] of [
      [['sync', mirror.root], 78],
      [['sync', mirror.root, '--strategy', 'link-dest'], 78],
      [['lock', mirror.root, '--', 'sh', '-c', 'rm -r "$MIRRORLATCH_STAGING"/*'], 125],
    ] as const) {
      const result = await runProgram(words);
      expectFailure(
        result,
        exitCode,
        new RegExp(`cannot be cloned: ${at} is mounted in it`),
        /umount /,
      );
    }
    expect(mirror.linked('current')).toBe('d');
    mounted.expectIntact();
  });

  test('in the tree of an in-place mirror stops sync and lock before the gate is closed', async () => {
    const mirror = smallMirror();
    await runForJson(['init', '--in-place', mirror.root]);
    await mirror.sync();
    const mounted = await mountIn(join(mirror.root, 'gate/live'), kind);
    mirror.change({ file: 'new', 'below/file': null });
    expectFailure(await runProgram(['sync', mirror.root]), 78, /live\/below.* is mounted in it/);
    const locked = await runProgram(['lock', mirror.root, '--', 'true']);
    expectFailure(locked, 125, /cannot be written: .* is mounted in it/, /umount /);
    expect(await runForJson(['gate', 'status', mirror.root])).toMatchObject({ state: 'open' });
    mounted.expectIntact();
  });

  test('in a directory keeps that from being adopted, and from being given back', async () => {
    const mirror = smallMirror();
    const directory = join(mirror.home, 'known');
    await execa('cp', ['-a', mirror.source, directory]);
    const before = await mountIn(directory, kind);
    expectFailure(
      await runProgram(['init', '--adopt', directory]),
      78,
      /known\/below.* is mounted in it/,
    );
    expect(existsSync(`${directory}.mirror`)).toBe(false);
    await before.unmount();
    before.expectIntact();

    await runForJson(['init', '--adopt', directory]);
    const after = await mountIn(directory, kind);
    expectFailure(await runProgram(['init', '--unadopt', directory]), 78, /umount .*\.mirror\//);
    after.expectIntact();
  });

  test('in a served directory keeps that from being replaced', async () => {
    const mirror = await fourSnapshots();
    const served = join(mirror.home, 'served');
    await runForJson(['init', mirror.root, '--serve-at', served]);
    await mirror.sync();
    const mounted = await mountIn(served, kind);
    mirror.change({ file: 'e' });
    expectFailure(await runProgram(['sync', mirror.root]), 78, /umount .*served\/below/);
    mounted.expectIntact();
    expect(readFileSync(join(served, 'file'), 'utf8')).toBe('d');
  });

  test('in a tree in staging is not taken out with the tree', async () => {
    const scratch = scratchDirectory();
    const tree = join(scratch, 'tree');
    mkdirSync(join(tree, 'below'), { recursive: true });
    writeFileSync(join(tree, 'below/file'), '');
    const mounted = await mountIn(tree, kind);
    const { signal } = new AbortController();
    const takingOut = takeOut(tree, [{ name: 'below' }], scratch, signal);
    await expect(takingOut).rejects.toMatchObject({ code: 'CONFIGURATION' });
    mounted.expectIntact();
  });
});

describe.skipIf(!mayMount)('What is mounted from a mirror', () => {
  /** Mounts a directory in another place. @returns that place, and the mirror as it was. */
  async function bound(mirror: SmallMirror, directory: string) {
    const view = join(mirror.home, "somebody's view");
    mkdirSync(view);
    await execa('mount', ['--bind', directory, view]);
    return { view, before: describeTree(mirror.home) };
  }

  test.each([
    ['the current snapshot', 'mirror/current'],
    ['a directory in it', 'mirror/current/below'],
    ['all snapshots', 'mirror/snapshots'],
    ['the tree of an in-place mirror', 'mirror/gate/live'],
    ['the directory above that tree', 'mirror/gate'],
    ['a served directory', 'served'],
  ])(
    'such as %s becomes no mirror, is not adopted and holds no served directory: the message names the mirror',
    async (_, part) => {
      const mirror = smallMirror();
      if (part.includes('gate')) await runForJson(['init', mirror.root, '--in-place']);
      if (part === 'served')
        await runForJson(['init', mirror.root, '--serve-at', join(mirror.home, part)]);
      await mirror.sync();
      await smallMirror({ home: join(mirror.home, 'other') }).sync();
      const { view, before } = await bound(mirror, join(mirror.home, part));
      const other = join(mirror.home, 'other/mirror');
      for (const words of [
        ['init', view],
        ['init', join(view, 'new', 'one')],
        ['init', view, '--in-place'],
        ['init', view, '--serve-at', join(view, 'new')],
        ['init', other, '--serve-at', view],
        ['init', other, '--serve-at', join(view, 'new')],
        ['init', '--adopt', view],
        ['sync', mirror.source, view],
        ['shims', view, '--mirror', other, 'apt'],
      ]) {
        const result = await runProgram(words);
        expectFailure(result, 64, new RegExp(`part of the mirror ${mirror.root}\n`));
      }
      expect(difference(before, describeTree(mirror.home))).toEqual([]);
    },
  );

  test('keeps nobody from making a mirror beside it, by whatever path', async () => {
    const mirror = await fourSnapshots();
    const { view } = await bound(mirror, mirror.home);
    await runForJson(['sync', mirror.source, join(view, 'new')]);
    expect(existsSync(join(mirror.home, 'new/current/file'))).toBe(true);
  });
});

test.skipIf(!mayMount)(
  'a mount in staging stops every writer, whatever tree it is in',
  async () => {
    const mirror = await fourSnapshots();
    const tree = mirror.state('staging/x.clone');
    mkdirSync(join(tree, 'below'), { recursive: true });
    const mounted = await mountIn(tree);
    for (const verb of ['sync', 'prune', 'rollback']) {
      const result = await runProgram([verb, mirror.root]);
      expectFailure(result, 78, new RegExp(`: ${mounted.at} is mounted in it`));
    }
    mounted.expectIntact();
    await mounted.unmount();
    await runForJson(['sync', mirror.root]);
    expect(existsSync(tree)).toBe(false);
  },
);

test.skipIf(!mayMount)(
  'a mount whose name is not UTF-8 gets no command that would name another',
  async () => {
    const mirror = await fourSnapshots();
    const at = `"$(printf "%s/m\\376" "$1")"`;
    const inTree = (script: string) =>
      execa('sh', ['-c', script, 'sh', join(mirror.root, 'snapshots/d')]);
    await inTree(`mkdir ${at} && mount -t tmpfs tmpfs ${at}`);
    try {
      const result = await runProgram(['sync', mirror.root]);
      expectFailure(result, 78, /Its name is not valid UTF-8: find it with findmnt/);
    } finally {
      await inTree(`umount ${at}`);
    }
  },
);
