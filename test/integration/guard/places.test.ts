import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { describe, expect, onTestFinished, test } from 'vitest';
import { expectFailure } from '../../support/expect-failure.ts';
import {
  guardedCallers,
  guards,
  inShell,
  pathOf,
  runGuarded,
  startGuarded,
} from '../../support/guards.ts';
import { makeLoopFilesystem, whyNoLoopFilesystem } from '../../support/loop-filesystem.ts';
import { mayMount } from '../../support/privilege.ts';
import { runForJson, transcript } from '../../support/program.ts';
import { scratchDirectory } from '../../support/scratch.ts';
import { mirrorsWith, smallMirror } from '../../support/small-mirror.ts';
import { standInFor } from '../../support/stand-in.ts';

const mirrors = mirrorsWith('first', 'second');
const pins = ['namespace', 'cwd'];
const noMount = mayMount ? '' : ' (skipped: only root with CAP_SYS_ADMIN mounts)';

/** Prints the pinned id, the working directory, and the content of three kinds of paths. */
const look = (root: string): string[] =>
  inShell(
    `printf '%s|' "$MIRRORLATCH_ID" "$MIRRORLATCH_PIN" "$PWD" "$MIRRORLATCH_ROOT"
     cat file "$PWD/file" "$MIRRORLATCH_SNAPSHOT/file" "$1/current/file"
     printf '|%s' "$(ls -x "$1/snapshots")"`,
    root,
  );

const seenBy = (root: string, pin: string, id = 'second'): string =>
  [
    ...[id, pin, join(root, 'snapshots', id), root],
    `${id}${id}${id}second`,
    pin === 'namespace' ? id : 'first  second',
  ].join('|');

describe('I1: a mirror is pinned', () => {
  test.for([
    `spaces  and quotes ' " \`ticks\` $(touch proof) $\{x} %s *?[x] ,ro,x=y`,
    '\nnew\n\nline and tab\t\n',
    'back\\slash \\012 \\x41',
    'ünïcode ✓ 漢字 #hash;semi&amp|pipe:colon',
  ])('if ROOT is called %j', async (name) => {
    const home = scratchDirectory();
    const root = join(home, name);
    await execa('cp', ['-a', '--', (await mirrors()).root, root]);
    for (const { guard, caller } of guardedCallers) {
      for (const pin of pins) {
        const result = await runGuarded(guard, root, look(root), {
          caller,
          options: ['--pin', pin],
        });
        expect(result.stdout, transcript(result)).toBe(seenBy(root, pin));
      }
    }
    expect(existsSync(join(home, 'proof'))).toBe(false);
  });

  test('if ROOT is relative, is ., is behind a symlink, or begins with a dash', async () => {
    const { root, home } = await mirrors();
    symlinkSync('mirror', join(home, '-link'));
    symlinkSync(root, join(home, 'absolute'));
    for (const guard of guards) {
      for (const [index, [given, cwd]] of [
        ['mirror', home],
        ['.', root],
        ['..', join(root, 'snapshots')],
        ['./-link', home],
        [`${home}/absolute/`, '/'],
        [`${home}/-link/../mirror//`, '/'],
      ].entries()) {
        const pin = pins[index % 2] ?? '';
        const result = await runGuarded(guard, [given ?? ''], look(root), {
          cwd: cwd ?? '/',
          options: ['--pin', pin],
        });
        expect(result.stdout, transcript(result)).toBe(seenBy(root, pin));
      }
    }
  });

  test.skipIf(!mayMount)(
    `if ROOT is a mount point with nosuid, nodev, noexec and noatime${noMount}`,
    async () => {
      const { root, home } = await mirrors();
      const mounted = join(home, 'mounted');
      mkdirSync(mounted);
      await execa('mount', [
        ...['-t', 'tmpfs', '-o', 'mode=755,nosuid,nodev,noexec,noatime'],
        ...['none', mounted],
      ]);
      await execa('cp', ['-a', '--', `${root}/.`, mounted]);
      for (const { guard, caller } of guardedCallers) {
        for (const pin of pins) {
          const result = await runGuarded(guard, mounted, look(mounted), {
            caller,
            options: ['--pin', pin],
          });
          expect(result.stdout, transcript(result)).toBe(seenBy(mounted, pin));
          expect(result.stderr).toBe('');
        }
        const flags = await runGuarded(
          guard,
          mounted,
          ['findmnt', '-no', 'VFS-OPTIONS', '--target', '.'],
          { caller, options: ['--pin', 'namespace'] },
        );
        expect(flags.stdout, transcript(flags)).toBe('ro,nosuid,nodev,noexec,noatime\n');
      }
    },
  );

  test.skipIf(!mayMount)(
    `if ROOT is on another filesystem and mounted in a second place${whyNoLoopFilesystem}`,
    async () => {
      const disk = await makeLoopFilesystem('ext4', {
        mount: ['nosuid', 'nodev', 'noexec', 'noatime'],
      });
      onTestFinished(() => disk.remove());
      const { root, home } = await mirrors();
      const there = join(disk.path, 'mirror');
      const bound = join(home, 'bound');
      await execa('cp', ['-a', '--', root, there]);
      mkdirSync(bound);
      await execa('mount', ['--bind', there, bound]);
      onTestFinished(async () => {
        await execa('umount', [bound]);
      });
      for (const { guard, caller } of guardedCallers) {
        for (const place of [there, bound]) {
          const result = await runGuarded(guard, place, look(place), {
            caller,
            options: ['--pin', 'namespace'],
          });
          expect(result.stdout, transcript(result)).toBe(seenBy(place, 'namespace'));
          expect(result.stderr).toBe('');
        }
      }
    },
  );

  test.skipIf(!mayMount)(
    `under every other path that leads to it, whatever is published${noMount}`,
    async () => {
      const mirror = await mirrors();
      const { root, home } = mirror;
      const [whole = '', above = '', snapshots = '', below = ''] = [
        ...['whole %s \n', '-above', 'snapshots'].map((name) => join(home, name)),
        join(root, 'a bind'),
      ];
      for (const [source, place] of [
        [root, whole],
        [home, above],
        [join(root, 'snapshots'), snapshots],
        [root, below],
      ] as const) {
        mkdirSync(place);
        await execa('mount', ['--bind', '--', source, place]);
        onTestFinished(async () => {
          await execa('umount', ['--', place]);
        });
      }
      for (const [index, { guard, caller }] of guardedCallers.entries()) {
        const [id, next] = [`before-${index}`, `after-${index}`];
        const given = index % 2 === 0 ? root : whole;
        // A bind is not recursive, so the mount inside is seen through ROOT alone.
        const roots = [root, whole, join(above, 'mirror'), ...(given === root ? [below] : [])];
        await mirror.publish(id, { file: id });
        const running = startGuarded(
          guard,
          given,
          inShell(
            `echo ready; while [ ! -d "$1" ]; do sleep 0.02; done; shift
             ls -x "$1"; shift
             for root; do cat "$root/current/file"; ls -x "$root/snapshots"; touch "$root/current/new"; done; pwd`,
            // The mirror's own directories are not seen inside.
            join(home, next),
            snapshots,
            ...roots,
          ),
          { caller, cwd: `${whole}/current`, options: ['--chdir', 'no'] },
        );
        await expect.poll(running.printedSoFar).toBe('ready\n');
        await mirror.publish(next, { file: next });
        mkdirSync(join(home, next));
        const result = await running.result;
        expect(result.stdout, transcript(result)).toBe(
          ['ready', id, ...roots.map(() => `${id}${id}`), `${whole}/snapshots/${id}`, ''].join(
            '\n',
          ),
        );
        expect(result.stderr.match(/Read-only file system/g)).toHaveLength(roots.length);
      }
    },
  );

  test('under the path of a directory that it adopted', async () => {
    const home = scratchDirectory();
    const [site, source] = [join(home, 'site'), join(home, 'source')];
    for (const directory of [site, source]) {
      mkdirSync(directory);
      writeFileSync(join(directory, 'file'), 'adopted');
    }
    await runForJson(['init', '--adopt', site]);
    chmodSync(home, 0o755);
    const root = join(home, 'site.mirror');
    for (const { guard, caller } of guardedCallers) {
      const before = readFileSync(join(site, 'file'), 'utf8');
      const running = startGuarded(
        guard,
        root,
        inShell(
          'cat "$1/file"; echo; while [ ! -e "$2" ]; do sleep 0.02; done; cat "$1/file"',
          site,
          join(home, guard.name + caller.name),
        ),
        { caller },
      );
      await expect.poll(running.printedSoFar).toBe(`${before}\n`);
      writeFileSync(join(source, 'file'), guard.name + caller.name);
      await runForJson(['sync', source, root, '--allow-shrink']);
      writeFileSync(join(home, guard.name + caller.name), '');
      const result = await running.result;
      expect(result.stdout, transcript(result)).toBe(`${before}\n${before}`);
      expect(readFileSync(join(site, 'file'), 'utf8')).not.toBe(before);
    }
  });

  test('I14: but not under the path of --serve-at, so a command that names it is refused', async () => {
    const mirror = await mirrors();
    const served = join(mirror.home, 'served');
    symlinkSync('served', join(mirror.home, 'link'));
    await runForJson(['init', mirror.root, '--serve-at', served]);
    await mirror.publish('third', { file: 'third' });
    chmodSync(mirror.home, 0o755);
    for (const { guard, caller } of guardedCallers) {
      const run = (command: string[], options: string[] = [], cwd = '/') =>
        runGuarded(guard, mirror.root, command, {
          caller,
          options,
          through: inShell('cd "$0" && exec "$@"').toSpliced(3, 1, cwd),
        });
      const refused = await run(['cat', `${served}/file`]);
      expectFailure(
        refused,
        125,
        /file leads through .*served, which cannot be pinned/,
        /current$/m,
      );
      expectFailure(
        await run(['cat', 'file'], ['--chdir', 'no'], served),
        125,
        /working directory/,
      );
      for (const [words, ...more] of [
        [['cat', 'served/file'], ['--chdir', 'no'], mirror.home],
        [['cat', 'link/file'], ['--chdir', 'no'], mirror.home],
        [['cat', `${mirror.root}/../served//file`]],
        [['cat', `/.${served}`.replaceAll('/', '//')]],
        [['true', `--from=${served}/file`]],
        [['true', `-C${served}`]],
        [inShell(`cat <${served}/./file; ls`)],
      ] as [string[], string[]?, string?][]) {
        expectFailure(await run(words, ...more), 125, /cannot be pinned/);
      }
      const pinned = await run([
        ...['cat', `${mirror.root}/current/file`, `${served}-not`],
        ...[`https://host${served}/file`, `x${served}`],
      ]);
      expect(pinned.stdout, transcript(pinned)).toBe('third');
    }
  });

  test('I11: also for those who cannot reach the path of --serve-at, or where its parent is missing', async () => {
    const mirror = await mirrors();
    const parent = join(mirror.home, 'web');
    mkdirSync(parent);
    await runForJson(['init', mirror.root, '--serve-at', join(parent, 'served')]);
    await mirror.publish('third', { file: 'third' });
    chmodSync(mirror.home, 0o755);
    chmodSync(parent, 0o750);
    const ordinary = guardedCallers.filter(({ caller }) => caller.user !== undefined);
    const readAs = async (allowed: typeof guardedCallers) => {
      for (const { guard, caller } of allowed) {
        for (const pin of pins) {
          const options = ['--pin', pin];
          const result = await runGuarded(guard, mirror.root, ['cat', 'file'], { caller, options });
          expect(result.stdout, transcript(result)).toBe('third');
        }
      }
    };
    await readAs(ordinary);
    renameSync(parent, `${parent}.old`);
    await readAs(guardedCallers);
  });

  test.skipIf(!mayMount)(
    `and nothing else is mounted over if another user exchanges a directory above it${noMount}`,
    async () => {
      for (const guard of guards) {
        const { root, home } = await mirrors();
        const victim = join(home, 'victim');
        mkdirSync(victim);
        writeFileSync(join(victim, 'file'), 'of the victim');
        const exchange = `case "$*" in *mode=*) mv '${root}' '${root}.moved'; ln -s victim '${root}' ;; esac`;
        const path = standInFor('mount', join(home, 'bin'), exchange);
        const result = await runGuarded(guard, root, ['ls', victim], {
          env: { PATH: `${path.split(':')[0]}:${pathOf(guard)}` },
        });
        expectFailure(result, 125, /cannot be pinned/);
        expect(readdirSync(victim)).toEqual(['file']);
      }
    },
  );

  test.skipIf(!mayMount)(
    `nor if he exchanges it under another path of the mirror${noMount}`,
    async () => {
      for (const guard of guards) {
        const { root, home } = await mirrors();
        const [bound, victim] = [join(home, 'bound'), join(home, 'victim')];
        mkdirSync(bound);
        mkdirSync(victim);
        writeFileSync(join(victim, 'file'), 'of the victim');
        await execa('mount', ['--bind', home, bound]);
        onTestFinished(async () => {
          await execa('umount', [bound]);
        });
        const exchange = `case "$*" in *rbind*' /proc/self/fd/0 .' | *rbind*' . ${bound}'*)
          nsenter --target ${process.pid} --mount sh -c "mv '${root}' '${root}.moved'; ln -s victim '${root}'" ;; esac`;
        const path = standInFor('mount', join(home, 'bin'), exchange);
        const result = await runGuarded(guard, root, ['ls', join(bound, 'victim')], {
          options: ['--chdir', 'no'],
          env: { PATH: `${path.split(':')[0]}:${pathOf(guard)}` },
        });
        expect(result.stdout, transcript(result)).toBe('file\n');
        expect(existsSync(`${root}.moved`)).toBe(true);
      }
    },
  );

  test('together with others, each with its own names in the environment', async () => {
    const all = [await mirrors(), await mirrors(), await mirrors()].map(({ root }) => root);
    for (const { guard, caller } of guardedCallers) {
      for (const pin of pins) {
        const result = await runGuarded(
          guard,
          all,
          inShell(
            `pwd; for n in '' _2 _3; do
               eval "printf '%s\\n' \\"\\$MIRRORLATCH_ROOT$n\\" \\"\\$MIRRORLATCH_SNAPSHOT$n\\" \\"\\$MIRRORLATCH_ID$n\\" \\"\\$MIRRORLATCH_PIN$n\\""
             done; for root; do ls "$root/snapshots"; done`,
            ...all,
          ),
          { caller, options: ['--pin', pin] },
        );
        expect(result.stdout, transcript(result)).toBe(
          [
            `${all[0]}/snapshots/second`,
            ...all.flatMap((root) => [root, `${root}/snapshots/second`, 'second', pin]),
            ...all.flatMap(() => (pin === 'namespace' ? ['second'] : ['first', 'second'])),
            '',
          ].join('\n'),
        );
      }
    }
  });

  test('if the reader is started by a symlink, by a relative path and in its own directory', async () => {
    const { root, home } = await mirrors();
    const file = join(root, '.mirrorlatch', 'reader');
    mkdirSync(join(home, 'bin'));
    symlinkSync(file, join(home, 'bin', 'first'));
    symlinkSync('first', join(home, 'bin', 'a name\n'));
    for (const { shell } of guards) {
      for (const [reader, cwd] of [
        [join(home, 'bin', 'first'), '/'],
        [join(home, 'bin', 'a name\n'), '/'],
        ['./a name\n', join(home, 'bin')],
        ['mirror/.mirrorlatch/reader', home],
        ['reader', join(root, '.mirrorlatch')],
      ] as const) {
        if (shell === undefined && !reader.includes('/')) continue;
        for (const pin of pins) {
          const [program = '', ...words] = [...(shell ?? []), reader, '--pin', pin, ...look(root)];
          const { stdout, stderr } = await execa(program, words, { cwd, reject: false });
          expect(stdout, stderr).toBe(seenBy(root, pin));
        }
      }
    }
  });
});

describe('with --chdir no', () => {
  const stay = ['--pin', 'namespace', '--chdir', 'no'];

  test('a command keeps its working directory, also inside current and beside the mirror', async () => {
    const { root, home } = await mirrors();
    symlinkSync('mirror', join(home, 'link'));
    for (const { guard, caller } of guardedCallers) {
      for (const cwd of [home, root, `${root}/current/below`, `${home}/link/current`]) {
        const result = await runGuarded(
          guard,
          root,
          inShell('pwd; cat "$1/current/file"; ls "$1/snapshots"; ls -d "$PWD/../../first"', root),
          // Node does not set PWD, so a shell does.
          { caller, options: stay, through: inShell('cd "$0" && exec "$@"').toSpliced(3, 1, cwd) },
        );
        expect(result.stdout, transcript(result)).toBe(`${cwd}\nsecondsecond\n`);
      }
    }
  });

  test('a working directory without a path is refused, and is no obstacle otherwise', async () => {
    const { root, home } = await mirrors();
    for (const { guard, caller } of guardedCallers) {
      const run = (...options: string[]) =>
        runGuarded(guard, root, inShell('echo "$PWD"; touch made', '{snapshot}'), {
          caller,
          options,
          through: inShell('cd "$(mktemp -d)" && rmdir "$PWD" && exec "$@" 2>&1'),
        });
      for (const pin of pins) {
        const refused = await run('--pin', pin, '--chdir', 'no');
        expect(refused.exitCode, transcript(refused)).toBe(125);
        expect(refused.stdout).toMatch(/the working directory was deleted/);
      }
      const inside = await run('--pin', 'namespace');
      expect(inside.stdout, transcript(inside)).toContain(join(root, 'snapshots', 'second'));
    }
    expect(existsSync(join(root, 'current', 'made'))).toBe(false);
    expect(existsSync(join(home, 'made'))).toBe(false);
  });

  test('a working directory in another snapshot is refused with a hint', async () => {
    const { root } = await mirrors();
    writeFileSync(join(root, 'current', 'only-here'), '');
    for (const { guard, caller } of guardedCallers) {
      const cwd = join(root, 'snapshots', 'first', 'below');
      const result = await runGuarded(guard, root, ['true'], { caller, cwd, options: stay });
      expectFailure(result, 125, /snapshots\/first\/below does not exist in the pin/, /--chdir no/);
      expect(result.stderr).toContain(`: cd ${root}/current\n`);
      expect(result.stderr).toContain(`: mirrorlatch run ${root} --snapshot first\n`);
    }
  });

  test('--pin cwd is refused, because nothing would be pinned', async () => {
    const { root } = smallMirror();
    for (const guard of guards) {
      const result = await runGuarded(guard, root, ['true'], {
        options: ['--pin', 'cwd', '--chdir', 'no'],
      });
      expectFailure(result, 125, /nothing would be pinned/, /Leave one of them out/);
    }
  });
});
