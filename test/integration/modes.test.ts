import { chmodSync, cpSync, mkdirSync, readFileSync, statSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { execaSync } from 'execa';
import { describe, expect, test } from 'vitest';
import { expectFailure } from '../support/expect-failure.ts';
import { runForJson, runProgram, transcript } from '../support/program.ts';
import { launcher } from '../support/project.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { mirrorsWith, smallMirror } from '../support/small-mirror.ts';

const oneSnapshot = mirrorsWith('first');

const modeOf = (path: string) => statSync(path).mode & 0o7777;

/** Runs the command that a message ends with. */
function paste(message: string): void {
  const command = /: mirrorlatch (.*)$/m.exec(message)?.[1];
  expect(execaSync('sh', ['-c', `'${launcher}' ${command}`]).exitCode).toBe(0);
}

test.each(['init', 'sync'])(
  '%s under umask 077 makes ROOT and what is missing above it readable',
  async (verb) => {
    const mirror = smallMirror();
    const root = join(mirror.home, 'new/parent/mirror');
    const words = verb === 'init' ? ['init', root] : ['sync', mirror.source, root];
    const result = await runProgram(words, { umask: '077' });
    expect(result.exitCode, transcript(result)).toBe(0);
    for (const path of [
      'new',
      'new/parent',
      'new/parent/mirror',
      'new/parent/mirror/.mirrorlatch',
    ]) {
      expect(modeOf(join(mirror.home, path)), path).toBe(0o755);
    }
  },
);

describe.each([
  ['a mirror with snapshots', [], 'current'],
  ['an in-place mirror', ['--in-place'], 'gate/live'],
] as const)('%s', (_, flags, tree) => {
  test('warns once a sync of a source that not every user may enter, and says what opens it', async () => {
    const mirror = smallMirror({ root: join(scratchDirectory(), "it's a mirror") });
    await runForJson(['init', mirror.root, ...flags, '--', '--exclude=a b']);
    chmodSync(mirror.source, 0o700);
    const first = await runProgram(['sync', mirror.source, mirror.root]);
    expect(first.stderr.match(/which has mode 0700/g), transcript(first)).toHaveLength(1);
    const unchanged = await runProgram(['sync', mirror.root]);
    expect(unchanged.stderr.match(/which has mode 0700/g)).toHaveLength(1);
    paste(unchanged.stderr);
    expect(mirror.settings()).toMatchObject({ rsyncOptions: ['--exclude=a b', '--chmod=Da+rx'] });
    const opened = await runProgram(['sync', mirror.root]);
    expect(opened.stderr).not.toMatch(/mode 0700/);
    expect(modeOf(`${join(mirror.root, tree)}/`)).toBe(0o755);
  });

  test('says even under --quiet that not every user may enter it, once, unless ROOT is for its owner alone', async () => {
    const mirror = smallMirror();
    await runForJson(['init', mirror.root, ...flags]);
    const quiet = async () => {
      mirror.change({ new: `${Math.random()}` });
      const result = await runProgram(['sync', mirror.source, mirror.root, '--quiet']);
      expect(result.exitCode, transcript(result)).toBe(0);
      return result.stderr;
    };
    expect(await quiet()).toBe('');
    chmodSync(mirror.source, 0o700);
    expect(await quiet()).toMatch(
      /^.*warning: not every user may read .*, which has mode 0700 as its source; to change that: .*\n$/,
    );
    expect(await quiet()).toBe('');
    const status = await runProgram(['status', mirror.root]);
    expect(status.exitCode, 'this may be wanted').toBe(0);
    expect(status.stdout).toMatch(/^access +not every user may read the current tree/m);

    chmodSync(mirror.source, 0o755);
    expect(await quiet()).toBe('');
    chmodSync(mirror.source, 0o700);
    chmodSync(mirror.root, 0o700);
    expect(await quiet()).toBe('');
    expect((await runProgram(['sync', mirror.root])).stderr).not.toMatch(/every user/);
  });

  test('says even under --quiet that every user may write to something, once, and status says it of all that is there', async () => {
    const mirror = smallMirror();
    await runForJson(['init', mirror.root, ...flags]);
    mirror.change({ 'a b': '1' });
    for (const name of ['file', 'a b']) chmodSync(join(mirror.source, name), 0o666);
    const access = async () => {
      const { stdout } = await runProgram(['status', mirror.root]);
      return stdout.match(/^access .*$/gm);
    };
    const first = await runProgram(['sync', mirror.source, mirror.root, '--quiet']);
    expect(first.stderr).toMatch(
      /^.*warning: every user may write to ('a b', file|file, 'a b'); to change that: .*\n$/,
    );
    const two = [expect.stringMatching(/^access +every user may write to .*'a b'/)];
    expect(await access()).toEqual(two);

    mirror.change({ new: 'new' });
    const second = await runProgram(['sync', mirror.root, '--quiet']);
    expect(second.stderr).toBe('');
    expect(await access(), 'what the clone has').toEqual(two);
    mirror.change({ other: 'other' });
    chmodSync(join(mirror.source, 'other'), 0o666);
    const third = await runProgram(['sync', mirror.root, '--quiet']);
    expect(third.stderr, 'status says it').toBe('');
    expect(await runForJson(['status', mirror.root])).toMatchObject({
      isHealthy: true,
      current: { writableByAll: { count: 3, names: expect.arrayContaining(['a b', 'file']) } },
    });

    await runForJson(['init', mirror.root, '--', '--chmod=o-w']);
    expect((await runProgram(['sync', mirror.root, '--quiet'])).stderr).toBe('');
    expect(await access()).toBeNull();
  });

  test('I2: an adoption says that every user may write to something, and what mends it, and status says it too', async () => {
    const mirror = smallMirror();
    const adopted = join(mirror.home, 'adopted');
    cpSync(mirror.source, adopted, { recursive: true });
    for (const tree of [mirror.source, adopted]) {
      mkdirSync(join(tree, 'open'));
      chmodSync(join(tree, 'open'), 0o777);
    }
    const words = ['init', mirror.root, '--adopt', adopted, '--source', mirror.source, ...flags];
    const result = await runProgram(words);
    expect(result.exitCode, transcript(result)).toBe(0);
    expect(result.stderr.match(/every user may write to .*/g)).toEqual([
      `every user may write to open; to change that: mirrorlatch init ${mirror.root} -- '--chmod=o-w'`,
    ]);
    expect(await runForJson(['status', mirror.root])).toMatchObject({
      current: { writableByAll: { count: 1, names: ['open'] } },
    });

    paste(/.*every user may write.*/.exec(result.stderr)?.[0] ?? '');
    const mended = await runProgram(['sync', mirror.root]);
    expect(mended.exitCode, transcript(mended)).toBe(0);
    expect(modeOf(join(mirror.root, tree, 'open')) & 0o002).toBe(0);
  });

  test('warns once a sync of what every user may write to, and says what mends it', async () => {
    const mirror = smallMirror();
    await runForJson(['init', mirror.root, ...flags]);
    mirror.change({ 'x/1': '1', 'x/2': '2', 'x/3': '3' });
    for (const name of ['file', 'x/1', 'x/2', 'x/3']) chmodSync(join(mirror.source, name), 0o666);
    mkdirSync(join(mirror.source, 'sticky'));
    chmodSync(join(mirror.source, 'sticky'), 0o1777);
    symlinkSync('file', join(mirror.source, 'link'));
    const first = await runProgram(['sync', mirror.source, mirror.root, '--json']);
    expect(first.json()).toMatchObject({ plan: { writableByAll: { count: 5 } } });

    mirror.change({ new: 'new' });
    chmodSync(join(mirror.source, 'new'), 0o646);
    chmodSync(mirror.source, 0o700);
    const second = await runProgram(['sync', mirror.root]);
    expect(second.stderr.match(/every user may write to .*/g)).toEqual([
      `every user may write to new; to change that: mirrorlatch init ${mirror.root} -- '--chmod=o-w'`,
    ]);
    const unchanged = await runProgram(['sync', mirror.root]);
    expect(unchanged.stderr).not.toMatch(/every user may write/);

    for (const line of second.stderr.split('\n').filter((one) => / to change that: /.test(one))) {
      paste(line);
    }
    const mended = await runProgram(['sync', mirror.root]);
    expect(mended.stderr).not.toMatch(/every user/);
    for (const name of ['file', 'x/1', 'sticky', 'new']) {
      expect(modeOf(join(mirror.root, tree, name)) & 0o002, name).toBe(0);
    }
  });
});

test('a ROOT for its owner alone hides no warning where the tree is served elsewhere', async () => {
  const mirror = smallMirror();
  await runForJson(['init', mirror.root, '--serve-at', join(mirror.home, 'www')]);
  chmodSync(mirror.source, 0o700);
  chmodSync(mirror.root, 0o700);
  const result = await runProgram(['sync', mirror.source, mirror.root, '--quiet']);
  expect(result.stderr, transcript(result)).toMatch(/not every user may read .* mode 0700/);
});

describe.each([
  ['a mirror with snapshots', []],
  ['an in-place mirror', ['--in-place']],
] as const)('%s, by lock', (_, flags) => {
  test('says even under --quiet that not every user may enter what its command made, once', async () => {
    const mirror = smallMirror();
    await runForJson(['init', mirror.root, ...flags]);
    const lock = (script: string) =>
      runProgram([
        ...['lock', mirror.root, '--quiet', '--', 'sh', '-c'],
        `cd "$MIRRORLATCH_STAGING" && ${script}`,
      ]);
    expect((await lock('echo 1 >1 && chmod 0700 .')).stderr).toMatch(
      /^.*warning: not every user may read .*, which has mode 0700; to change that: .*\n$/,
    );
    expect((await lock('echo 2 >2')).stderr).toBe('');
  });

  test('warns of what its command made that every user may write to, or not every user may enter', async () => {
    const mirror = smallMirror({ root: join(scratchDirectory(), "it's a mirror") });
    await runForJson(['init', mirror.root, ...flags]);
    const lock = (script: string) =>
      runProgram(['lock', mirror.root, '--', 'sh', '-c', `cd "$MIRRORLATCH_STAGING" && ${script}`]);
    const makes = 'mkdir -p x && echo 1 >x/1 && echo 2 >2 && chmod 0666 x/1 2 && ln -sf 2 link';
    const first = await lock(`${makes} && chmod 0700 .`);
    expect(first.exitCode, transcript(first)).toBe(0);
    expect(first.stderr.match(/every user may write to .*?;/g)).toHaveLength(1);
    expect(first.stderr).toMatch(/every user may write to (2, x\/1|x\/1, 2);/);
    expect(first.stderr).toMatch(/not every user may read .*, which has mode 0700;/);
    const status = await runProgram(['status', mirror.root]);
    expect(status.exitCode, 'this may be wanted').toBe(0);
    expect(status.stdout).toMatch(
      /^access +not every user may read the current tree, .* mode 0700$/m,
    );

    const other = await lock('echo 3 >3');
    expect(other.stderr, 'what it did not touch').not.toMatch(/every user may write/);
    expect((await runProgram(['status', mirror.root])).stdout, 'all that is there').toMatch(
      /^access +every user may write to (2, x\/1|x\/1, 2)$/m,
    );
    for (const line of first.stderr.split('\n').filter((text) => text.includes('to change that')))
      paste(line);
    const mended = await lock('echo 4 >4');
    expect(mended.stderr).not.toMatch(/every user/);
    expect(modeOf(join(mirror.root, 'current', '2'))).toBe(0o664);
    expect(modeOf(join(mirror.root, 'current', '.'))).toBe(0o755);
    expect((await runProgram(['status', mirror.root])).stdout).not.toMatch(/^access/m);
  });
});

describe('a mirror as the source of another', () => {
  test.each(['', 'snapshots', '.mirrorlatch', '.mirrorlatch/logs'])(
    'is refused as a whole, and so is its part %j',
    async (part) => {
      const mirror = await oneSnapshot();
      const words = ['sync', join(mirror.root, part), join(mirror.home, 'second')];
      const hint = new RegExp(
        `mirrorlatch run ${mirror.root} .* ${mirror.root}/current ${mirror.home}/second`,
      );
      const what = part === '' ? /is the root of a mirror, not/ : /is a part of a mirror, not/;
      expectFailure(await runProgram(words), 64, what, hint);
    },
  );

  test.each(['current', 'snapshots/first', 'snapshots/first/below'])(
    'is accepted as %s',
    async (part) => {
      const mirror = await oneSnapshot();
      const root = join(mirror.home, 'second');
      await runForJson(['sync', join(mirror.root, part), root]);
      expect(readFileSync(join(root, 'current/file'), 'utf8')).toMatch(/first|content/);
    },
  );
});
