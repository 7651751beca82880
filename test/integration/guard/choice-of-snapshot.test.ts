import {
  chmodSync,
  chownSync,
  existsSync,
  lchownSync,
  mkdirSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { expectFailure } from '../../support/expect-failure.ts';
import {
  type GuardOptions,
  guardedCallers,
  guards,
  inShell,
  runGuarded,
} from '../../support/guards.ts';
import { nobody, runsAsRoot } from '../../support/privilege.ts';
import { type ProgramResult, runForJson, transcript } from '../../support/program.ts';
import { mirrorsWith, type SmallMirror } from '../../support/small-mirror.ts';

const mirrors = mirrorsWith('first', 'second', 'third');
const prune = (root: string) => runForJson(['prune', root, '--keep-last', '1', '--grace', '0']);

describe('--snapshot', () => {
  test('pins another snapshot than the current one, by id or as `previous`', async () => {
    const { root } = await mirrors();
    for (const { guard, caller } of guardedCallers) {
      for (const [given, id] of [
        ['first', 'first'],
        ['previous', 'second'],
        ['current', 'third'],
      ] as const) {
        const result = await runGuarded(
          guard,
          root,
          inShell('cat file "$1/current/file"; ls "$1/snapshots"', root),
          { caller, options: ['--snapshot', given] },
        );
        expect(result.stdout, transcript(result)).toBe(`${id}${id}${id}\n`);
      }
    }
  });

  test('takes the path of a snapshot, as a shell completes it, but of no other mirror', async () => {
    const [{ root, home }, other] = [await mirrors(), await mirrors()];
    const ways: [given: string, id: string][] = [
      ['first/', 'first'],
      ['snapshots/second', 'second'],
      ['mirror/snapshots/first//', 'first'],
      [join(root, 'snapshots', 'second'), 'second'],
      [join(root, 'previous'), 'second'],
      [join(root, 'current/'), 'third'],
    ];
    for (const guard of guards) {
      const pinned = (given: string) =>
        runGuarded(guard, root, ['cat', 'file'], { cwd: home, options: ['--snapshot', given] });
      for (const [given, id] of ways) {
        const result = await pinned(given);
        expect(result.stdout, transcript(result)).toBe(id);
      }
      for (const given of [join(other.root, 'snapshots', 'first'), 'snapshots/first/below', '/']) {
        expectFailure(await pinned(given), 125, /is not a snapshot of .*\/mirror\n/);
      }
    }
  });

  test('fails for a snapshot that is gone, or pins the current one with --or-current', async () => {
    const { root } = await mirrors();
    await prune(root);
    for (const { guard, caller } of guardedCallers) {
      const options = ['--snapshot', 'first'];
      const refused = await runGuarded(guard, root, ['cat', 'file'], { caller, options });
      expectFailure(refused, 125, /has no snapshot first/, /--or-current/);
      const current = await runGuarded(guard, root, ['cat', 'file'], {
        caller,
        options: [...options, '--or-current'],
      });
      expect(current.stdout, transcript(current)).toBe('third');
      expect(current.stderr).toMatch(/has no snapshot first: using the current one/);
    }
  });
});

describe('a sticky pin', () => {
  const [run] = guards;

  /** Runs `cat file` guarded, with the test's own state directory. */
  const cat = (
    { root, home }: SmallMirror,
    words: readonly string[],
    { env, ...options }: GuardOptions = {},
  ): Promise<ProgramResult> =>
    runGuarded(run, root, ['cat', 'file'], {
      ...options,
      options: words,
      env: { XDG_STATE_HOME: join(home, 'state'), ...env },
    });

  for (const { caller } of guardedCallers.filter(({ guard }) => guard === run)) {
    test(`is used again until it is pruned, by ${caller.name}`, async () => {
      const mirror = await mirrors();
      chmodSync(mirror.home, 0o777);
      const none = await cat(mirror, ['--reuse', 'apt'], { caller });
      expectFailure(none, 125, /no snapshot .* is remembered/, /--sticky/);
      expect((await cat(mirror, ['--reuse', 'apt', '--or-current'], { caller })).stdout).toBe(
        'third',
      );
      expect((await cat(mirror, ['--sticky', 'apt'], { caller })).stdout).toBe('third');
      await mirror.publish('fourth', { file: 'fourth' });
      expect((await cat(mirror, ['--reuse', 'apt'], { caller })).stdout).toBe('third');
      expect((await cat(mirror, [], { caller })).stdout).toBe('fourth');
      expectFailure(await cat(mirror, ['--reuse', 'other'], { caller }), 125, /remembered/);
      await mirror.publish('fifth', { file: 'fifth' });
      await prune(mirror.root);
      const gone = await cat(mirror, ['--reuse', 'apt'], { caller });
      expectFailure(gone, 125, /has no snapshot third/, /--or-current/);
      const current = await cat(mirror, ['--reuse', 'apt', '--or-current'], { caller });
      expect(current.stdout, transcript(current)).toBe('fifth');
      expect(statSync(join(mirror.home, 'state', 'mirrorlatch', 'sticky')).mode & 0o777).toBe(
        0o700,
      );
      expect(readdirSync(join(mirror.home, 'state', 'mirrorlatch', 'sticky'))).toHaveLength(1);
    });
  }

  test('is separate for each mirror, however its path is written', async () => {
    const [one, other] = [await mirrors(), await mirrors()];
    await other.publish('fourth', { file: 'fourth' });
    const env = { XDG_STATE_HOME: join(one.home, 'state') };
    const both = await runGuarded(run, [one.root, other.root], ['true'], {
      options: ['--sticky', 'x'],
      env,
    });
    expect(both.exitCode, transcript(both)).toBe(0);
    await one.publish('fourth', { file: 'fourth' });
    await other.publish('fifth', { file: 'fifth' });
    const again = await runGuarded(
      run,
      [`${other.root}/../mirror/`, one.root],
      inShell('cat "$1/current/file" "$2/current/file"', one.root, other.root),
      { options: ['--reuse', 'x'], env },
    );
    expect(again.stdout, transcript(again)).toBe('thirdfourth');
  });

  test('must have a name that a file can have', async () => {
    const mirror = await mirrors();
    for (const name of ['', '../x', '-x', 'a/b', 'a\nb']) {
      expectFailure(await cat(mirror, [`--sticky=${name}`]), 125, /name/);
    }
    expect(existsSync(join(mirror.home, 'x'))).toBe(false);
  });

  test('is written through no symlink, and only for a command that is started', async () => {
    const { root, home } = await mirrors();
    const [file, other] = [join(home, 'remembered'), join(home, 'other')];
    const link = inShell('ln -sfn "$1" "$2.$$" && shift 2 && exec "$@"', other, file);
    for (const { guard, caller } of guardedCallers) {
      if (guard === guards[0] || caller.user !== undefined) continue;
      rmSync(file, { force: true });
      const remember = { caller, options: ['--remember', file], through: link };
      const none = await runGuarded(guard, root, ['no-such-command'], remember);
      expect([none.exitCode, existsSync(file)], transcript(none)).toEqual([127, false]);
      mkdirSync(other, { recursive: true });
      const result = await runGuarded(guard, root, ['cat', file], remember);
      expect(result.stdout, transcript(result)).toBe('third\n');
      rmSync(other, { recursive: true });
      await runGuarded(guard, root, ['true'], remember);
      expect(existsSync(other)).toBe(false);
    }
  });

  test('is written to no directory of another user, nor into the snapshot', async () => {
    const { root, home } = await mirrors();
    const directory = join(home, 'of another');
    mkdirSync(directory);
    if (runsAsRoot) chownSync(directory, nobody.uid, nobody.gid);
    for (const { guard, caller } of guardedCallers) {
      if (guard === guards[0] || caller.user !== undefined) continue;
      const relative = await runGuarded(guard, root, ['cat', join(home, 'id')], {
        caller,
        cwd: home,
        options: ['--remember', 'id'],
      });
      expect(relative.stdout, transcript(relative)).toBe('third\n');
      if (!runsAsRoot) continue;
      const [own, link] = [join(home, 'own'), join(directory, 'link')];
      mkdirSync(own, { recursive: true });
      if (!existsSync(link)) symlinkSync(own, link);
      lchownSync(link, nobody.uid, nobody.gid);
      for (const place of [directory, link]) {
        const options = ['--remember', join(place, 'id')];
        const result = await runGuarded(guard, root, ['echo', 'ran'], { caller, options });
        expectFailure(result, 125, /cannot be remembered in .*belongs to another user/);
        expect(result.stdout).toBe('');
      }
    }
  });

  test('is chosen by --preset: a refresh remembers it, an installation reuses it', async () => {
    const mirror = await mirrors();
    const bin = join(mirror.home, 'bin');
    mkdirSync(bin);
    writeFileSync(join(bin, 'apt-get'), '#!/bin/sh\ncat "$MIRRORLATCH_SNAPSHOT/file"\n');
    chmodSync(join(bin, 'apt-get'), 0o755);
    const aptGet = (...words: string[]) =>
      runGuarded(run, mirror.root, ['apt-get', ...words], {
        options: ['--preset'],
        env: { XDG_STATE_HOME: join(mirror.home, 'state') },
        through: inShell('PATH=$0:$PATH exec "$@"').toSpliced(3, 1, bin),
      });
    expect((await aptGet('-q', 'update')).stdout).toBe('third');
    await mirror.publish('fourth', { file: 'fourth' });
    expect((await aptGet('install', '-y', 'hello')).stdout).toBe('third');
    expect((await aptGet('update')).stdout).toBe('fourth');
    expect((await aptGet('install', 'hello')).stdout).toBe('fourth');
  });

  test('that is gone or unknown is named, with the command that remembers another', async () => {
    const mirror = await mirrors();
    const words = (result: ProgramResult) => transcript(result).replaceAll(mirror.root, 'ROOT');
    const unknown = await cat(mirror, ['--reuse', 'foo']);
    expectFailure(unknown, 125, /remembered under the name "foo"/);
    expect(words(unknown)).toMatch(
      /: mirrorlatch run ROOT --reuse foo --or-current -- cat .*: mirrorlatch run ROOT --sticky foo -- COMMAND$/m,
    );
    const install = ['apt-get', 'install', 'hello'];
    const env = { XDG_STATE_HOME: join(mirror.home, 'state') };
    const reused = (options: string[]) => runGuarded(run, mirror.root, install, { options, env });
    const again = /run apt-get update again: mirrorlatch run ROOT (.*) -- apt-get update$/m;
    for (const [options, remembering] of [
      [['--preset'], '--preset'],
      [['--reuse', 'apt'], '--sticky apt'],
    ] as const) {
      const never = await reused([...options]);
      expect(never.exitCode).toBe(125);
      expect(again.exec(words(never))?.[1]).toBe(remembering);
    }
    await cat(mirror, ['--sticky', 'apt']);
    await mirror.publish('fourth', { file: 'fourth' });
    await mirror.publish('fifth', { file: 'fifth' });
    await prune(mirror.root);
    for (const [options, remembering] of [
      [['--preset'], '--preset'],
      [['--reuse', 'apt'], '--sticky apt'],
    ] as const) {
      const gone = await reused([...options]);
      expectFailure(gone, 125, /has no snapshot third/, /--or-current/, /mirrorlatch list \//);
      expect(again.exec(words(gone))?.[1]).toBe(remembering);
    }
  });
});
