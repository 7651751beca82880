import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';
import { expectFailure } from '../support/expect-failure.ts';
import { inPlaceMirror } from '../support/in-place-mirror.ts';
import { nobody } from '../support/privilege.ts';
import {
  nobodyRunsTheProgram,
  runForJson,
  runProgram,
  startProcess,
  transcript,
} from '../support/program.ts';
import { launcher } from '../support/project.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { copiesOf, mirrorsWith, type SmallMirror, smallMirror } from '../support/small-mirror.ts';
import { describeTree, difference } from '../support/tree.ts';

const fourSnapshots = mirrorsWith('a', 'b', 'c', 'd');
const inPlace = copiesOf(async (mirror) => {
  await runForJson(['init', mirror.root, '--in-place']);
  await mirror.sync();
});

const whyNotAsNobody = nobodyRunsTheProgram
  ? ''
  : ' (skipped: only root can become nobody, who has to reach Node and the program)';

async function giveToNobody(path: string): Promise<void> {
  await execa('chown', ['-hR', `${nobody.uid}:${nobody.gid}`, path]);
}

async function ofNobody(mirror: SmallMirror): Promise<SmallMirror> {
  await giveToNobody(mirror.home);
  return mirror;
}

/** Runs a command line with `mirrorlatch` in PATH, as a person pastes it. */
/** Runs a command as root does in its home directory, which other users may not enter. */
function paste(command: string) {
  const bin = scratchDirectory();
  const cwd = join(bin, 'home');
  mkdirSync(cwd, { mode: 0o700 });
  writeFileSync(join(bin, 'mirrorlatch'), `#!/bin/sh\nexec '${launcher}' "$@"\n`, { mode: 0o755 });
  const env = { PATH: `${bin}:${process.env['PATH']}` };
  return startProcess(['sh', '-c', command], { env, cwd }).result;
}

describe.skipIf(!nobodyRunsTheProgram)(`root in a user's mirror${whyNotAsNobody}`, () => {
  test.each([
    ['sync', (m: SmallMirror) => ['sync', m.root], 77],
    ['sync with a source', (m: SmallMirror) => ['sync', m.source, m.root, '--quiet'], 77],
    ['sync that waits', (m: SmallMirror) => ['sync', m.root, '--at', '2999-01-01T03:00Z'], 77],
    ['lock', (m: SmallMirror) => ['lock', m.root, '--', 'true'], 125],
    ['lock alone', (m: SmallMirror) => ['lock', m.root, '--lock-only', '--', 'true'], 125],
    ['rollback', (m: SmallMirror) => ['rollback', m.root, 'a'], 77],
    ['prune', (m: SmallMirror) => ['prune', m.root, '--grace', '0'], 77],
    ['unlock', (m: SmallMirror) => ['unlock', m.root], 77],
    ['init', (m: SmallMirror) => ['init', m.root, '--keep-last', '7'], 77],
    ['pin', (m: SmallMirror) => ['pin', m.root, 'a'], 77],
    ['tag', (m: SmallMirror) => ['tag', m.root, 'a', 'release'], 77],
  ] as const)('%s changes nothing, and names the owner and the command', async (_, words, code) => {
    const mirror = await ofNobody(await fourSnapshots());
    mirror.change({ file: 'changed' });
    const before = describeTree(mirror.root);
    const result = await runProgram(words(mirror));
    expectFailure(result, code, /belongs to nobody, and this is root/, /runuser -u nobody -- /);
    expect(difference(before, describeTree(mirror.root))).toEqual([]);
  });

  test("root makes no new mirror in a user's directory either", async () => {
    const home = scratchDirectory();
    chownSync(home, nobody.uid, nobody.gid);
    for (const words of [
      ['init', join(home, 'below', 'mirror')],
      ['sync', scratchDirectory(), join(home, 'mirror')],
    ]) {
      expectFailure(await runProgram(words), 77, /belongs to nobody/, /runuser -u nobody -- /);
    }
    expect(readdirSync(home)).toEqual([]);
  });

  test.each(['--rsh', '--rsync-path'])(
    'a dry run does not run what the owner put in %s',
    async (option) => {
      const mirror = await fourSnapshots();
      const evil = join(mirror.home, 'evil');
      writeFileSync(evil, `#!/bin/sh\ntouch '${evil}.was-run'\n`, { mode: 0o755 });
      await runForJson(['init', mirror.root, '--source', 'host:/tree', '--', `${option}=${evil}`]);
      await ofNobody(mirror);
      const words = ['sync', mirror.root, '--dry-run', '--retries', '0'];
      expectFailure(
        await runProgram(words),
        77,
        /belongs to nobody/,
        /runuser -u nobody -- .* --dry-run/,
      );
      expect(existsSync(`${evil}.was-run`)).toBe(false);
    },
  );

  test("a dry run of a push is refused by the mirror's host, too", async () => {
    const mirror = await ofNobody(await fourSnapshots());
    const shell = join(scratchDirectory(), 'shell');
    writeFileSync(shell, '#!/bin/sh\nshift\nexec sh -c "$*"\n', { mode: 0o755 });
    const result = await runProgram(
      ['sync', mirror.source, `ssh://host${mirror.root}`, '--dry-run'].concat([
        '--remote-program',
        launcher,
        '--',
        '-e',
        shell,
      ]),
    );
    expectFailure(result, 77, /belongs to nobody/);
  });

  test('the command that the message gives does it', async () => {
    const mirror = await ofNobody(await fourSnapshots());
    mirror.change({ file: "it's changed" });
    await giveToNobody(mirror.source);
    const { stderr } = await runProgram(['sync', mirror.root, '--id', 'e', '--', '--exclude=a b']);
    const command = /: (runuser .*)$/m.exec(stderr)?.[1] ?? '';
    expect(command).toMatch(/ --id e -- '--exclude=a b'$/);
    const pasted = await paste(command);
    expect(pasted.exitCode, transcript(pasted)).toBe(0);
    expect(mirror.linked('current')).toBe('e');
    expect(statSync(join(mirror.root, 'snapshots/e')).uid).toBe(nobody.uid);
  });

  test('the gate stays as it is, but can be looked at', async () => {
    const mirror = inPlaceMirror(await ofNobody(await inPlace()));
    const before = describeTree(mirror.root);
    for (const verb of ['close', 'open']) {
      expectFailure(await runProgram(['gate', verb, mirror.root]), 77, /belongs to nobody/);
    }
    expect(await runForJson(['gate', 'status', mirror.root])).toMatchObject({ state: 'open' });
    expect(difference(before, describeTree(mirror.root))).toEqual([]);
  });

  test('looks are allowed', async () => {
    const mirror = await ofNobody(await fourSnapshots());
    const before = describeTree(mirror.root);
    for (const words of [
      ['status', mirror.root],
      ['list', mirror.root],
      ['current', mirror.root],
      ['prune', mirror.root, '--dry-run'],
    ]) {
      const result = await runProgram(words);
      expect(result.exitCode, transcript(result)).toBe(0);
    }
    expect(difference(before, describeTree(mirror.root))).toEqual([]);
  });

  test("is told whose mirror it makes of a user's directory", async () => {
    const directory = join(scratchDirectory(), 'tree');
    mkdirSync(directory);
    await giveToNobody(directory);
    const result = await runProgram(['init', '--adopt', directory]);
    expect(result.exitCode, transcript(result)).toBe(0);
    expect(result.stderr).toMatch(/tree belongs to nobody, but the mirror \S+ to root/);
  });

  test("makes no mirror in a user's directory", async () => {
    const root = join(scratchDirectory(), 'mirror');
    mkdirSync(root);
    chownSync(root, nobody.uid, nobody.gid);
    expectFailure(await runProgram(['init', root]), 77, /belongs to nobody/, /runuser -u nobody/);
    expect(describeTree(root).size).toBe(1);
  });
});

describe.skipIf(!nobodyRunsTheProgram)(`a user in root's mirror${whyNotAsNobody}`, () => {
  test('is told the same', async () => {
    const mirror = await fourSnapshots();
    const result = await runProgram(['prune', mirror.root], { user: nobody });
    expectFailure(result, 77, /belongs to root, and this is nobody/, /: sudo mirrorlatch prune /);
  });
});

describe.skipIf(!nobodyRunsTheProgram)(
  `a user who may not enter a directory${whyNotAsNobody}`,
  () => {
    test('is told which one that is, whose it is, and the command that its owner would run', async () => {
      const { home, source } = smallMirror();
      const closed = join(home, 'closed');
      mkdirSync(closed, { mode: 0o700 });
      const root = join(closed, 'below/mirror');
      const way = /: sudo mirrorlatch .*closed\/below\/mirror/;
      for (const words of [
        ['sync', `${source}/`, root],
        ['init', root],
        ['status', root],
      ]) {
        const result = await runProgram(words, { user: nobody });
        expectFailure(
          result,
          77,
          /: nobody may not enter \S+\/closed, so \S+ is out of reach/,
          way,
        );
      }
      chownSync(closed, nobody.uid, nobody.gid);
      chmodSync(closed, 0o600);
      const own = await runProgram(['init', root], { user: nobody });
      expectFailure(own, 77, /: nobody may not enter \S+\/closed,/, /: chmod u\+x \S+\/closed$/m);
    });
  },
);

describe.skipIf(!nobodyRunsTheProgram)(`what root left in a user's mirror${whyNotAsNobody}`, () => {
  test('does not keep other snapshots from being pruned, and is reported until it is mended', async () => {
    const mirror = await ofNobody(await fourSnapshots());
    const left = join(mirror.root, 'snapshots/a');
    await execa('chown', ['-hR', 'root:root', left]);
    mirror.change({ file: 'e' });
    const rules = ['init', mirror.root, '--keep-last', '1', '--grace', '0'];
    await runForJson(rules, { user: nobody });
    const words = ['sync', mirror.root, '--quiet', '--id', 'e'];
    const synced = await runProgram(words, { user: nobody });
    expect(synced.exitCode, transcript(synced)).toBe(0);
    expect(synced.stderr).toMatch(/snapshots\/a cannot be removed: it belongs to root/);
    expect(mirror.snapshots()).toEqual(['a', 'd', 'e']);
    const status = await runProgram(['status', mirror.root], { user: nobody });
    expect(status.exitCode).toBe(69);
    expect(status.stdout).toMatch(/snapshot a .*it belongs to root/);

    const command = /: (chown .*)$/m.exec(synced.stderr)?.[1] ?? '';
    expect((await paste(command)).exitCode).toBe(0);
    const pruned = await runForJson(['prune', mirror.root, '--keep-last', '1', '--grace', '0'], {
      user: nobody,
    });
    expect(pruned).toMatchObject({ removed: ['a'], failed: [] });
    expect(await runForJson(['status', mirror.root])).toMatchObject({ isHealthy: true });
  });

  test('and cannot be hard-linked makes a full copy for the true reason, said under --quiet', async () => {
    const mirror = await ofNobody(await fourSnapshots());
    await execa('chown', ['-hR', 'root:root', join(mirror.root, 'snapshots/d')]);
    chmodSync(mirror.source, 0o755);
    mirror.change({ file: 'e' });
    const synced = await runProgram(['sync', mirror.root, '--quiet'], { user: nobody });
    expect(synced.exitCode, transcript(synced)).toBe(0);
    expect(synced.stderr).toMatch(/nobody may not make hard links to those of another user: cp: /);
    const command = /: (chown .*)$/m.exec(synced.stderr)?.[1] ?? '';
    expect((await paste(command)).exitCode).toBe(0);
    mirror.change({ file: 'f' });
    const again = await runProgram(['sync', mirror.root, '--quiet'], { user: nobody });
    expect(again.stderr, transcript(again)).toBe('');
  });
});

describe.skipIf(!nobodyRunsTheProgram)(
  `a ROOT in which others could exchange things${whyNotAsNobody}`,
  () => {
    const writers = (root: string) => [
      ['sync', root],
      ['sync', root, '--dry-run'],
      ['prune', root, '--grace', '0'],
      ['rollback', root, 'a'],
      ['init', root, '--keep-last', '7'],
    ];

    test("is refused by every writer while it is another user's", async () => {
      const mirror = await fourSnapshots();
      chownSync(mirror.root, nobody.uid, nobody.gid);
      const mend = `chown root ${mirror.root}`;
      for (const words of writers(mirror.root)) {
        expectFailure(
          await runProgram(words),
          77,
          /belongs to the user nobody/,
          new RegExp(`: ${mend}$`, 'm'),
        );
      }
      await paste(mend);
      await mirror.sync();
    });

    test('is refused by every writer while every user may write to it, unless it is sticky', async () => {
      const mirror = await fourSnapshots();
      chmodSync(mirror.root, 0o777);
      const mend = `chmod o-w ${mirror.root}`;
      for (const words of writers(mirror.root)) {
        expectFailure(await runProgram(words), 77, /every user/, new RegExp(`: ${mend}$`, 'm'));
      }
      chmodSync(mirror.root, 0o1777);
      await mirror.sync();
      chmodSync(mirror.root, 0o777);
      await paste(mend);
      await mirror.sync();
    });

    test('is made no mirror of', async () => {
      const root = join(scratchDirectory(), 'open');
      mkdirSync(root);
      chmodSync(root, 0o777);
      expectFailure(await runProgram(['init', root]), 77, /every user/);
      expect(describeTree(root).size).toBe(1);
    });

    test("a user's mirror in root's directory is no such case", async () => {
      const mirror = await ofNobody(await fourSnapshots());
      chownSync(mirror.root, 0, 0);
      chmodSync(mirror.root, 0o1777);
      const result = await runProgram(['sync', mirror.root], { user: nobody });
      expect(result.exitCode, transcript(result)).toBe(0);
    });

    test('a directory that another put in the place of previous is named', async () => {
      const mirror = await fourSnapshots();
      rmSync(join(mirror.root, 'previous'));
      mkdirSync(join(mirror.root, 'previous'));
      mirror.change({ file: 'e' });
      expectFailure(
        await runProgram(['sync', mirror.root]),
        78,
        /\/previous is not a symlink/,
        /: mv /,
      );
    });

    test('a gate that became a symlink is not followed', async () => {
      const mirror = inPlaceMirror(await inPlace());
      const victim = join(mirror.home, 'victim');
      mkdirSync(join(victim, 'live'), { recursive: true });
      chmodSync(victim, 0o711);
      renameSync(join(mirror.root, 'gate'), join(mirror.root, 'other'));
      symlinkSync(victim, join(mirror.root, 'gate'));
      for (const verb of ['close', 'open']) {
        expectFailure(await runProgram(['gate', verb, mirror.root]), 78, /gate is a symlink to/);
      }
      expect(statSync(victim).mode & 0o777).toBe(0o711);
    });
  },
);
