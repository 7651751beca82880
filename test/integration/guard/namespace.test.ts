import { chmodSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { describe, expect, onTestFinished, test } from 'vitest';
import {
  guardedCallers,
  guards,
  inShell,
  oneOfEachKind,
  runGuarded,
  startGuarded,
} from '../../support/guards.ts';
import { mayMount, nobody, runsAsRoot } from '../../support/privilege.ts';
import { transcript } from '../../support/program.ts';
import { mirrorsWith, type SmallMirror } from '../../support/small-mirror.ts';

const mirrors = mirrorsWith('first', 'second', 'third');
const namespace = ['--pin', 'namespace'];
const notRoot = runsAsRoot ? '' : ' (skipped: only root can become one)';
const noMount = mayMount ? '' : ' (skipped: only root with CAP_SYS_ADMIN mounts)';

/** A mirror with entries that mirrorlatch did not make. */
async function mirrorWithMore(): Promise<SmallMirror> {
  const mirror = await mirrors();
  writeFileSync(join(mirror.root, 'notes with space'), 'notes\n');
  mkdirSync(join(mirror.root, '.hidden'));
  writeFileSync(join(mirror.root, '.hidden', 'file'), 'hidden\n');
  symlinkSync('.hidden', join(mirror.root, 'link'));
  symlinkSync('nowhere', join(mirror.root, '..broken'));
  mkdirSync(join(mirror.root, 'current-2024'));
  mkdirSync(join(mirror.home, 'elsewhere'));
  chmodSync(join(mirror.home, 'elsewhere'), 0o777);
  return mirror;
}

describe('I1: in a namespace pin', () => {
  for (const { guard, caller, name } of guardedCallers) {
    test(`the paths of the mirror show one snapshot and the other entries of ROOT, by ${name}`, async () => {
      const { root } = await mirrorWithMore();
      const result = await runGuarded(
        guard,
        root,
        inShell(
          `pwd; pwd -P; ls -A "$1"; ls -A "$1/snapshots"; readlink "$1/current"; readlink "$1/link"
           cat file "$1/notes with space" "$1/link/file"; test -r "$1/.mirrorlatch/mirror.json" && echo state`,
          root,
        ),
        { caller, options: namespace },
      );
      expect(result.stderr).toBe('');
      expect(result.stdout.split('\n')).toEqual([
        join(root, 'snapshots', 'third'),
        join(root, 'snapshots', 'third'),
        ...[
          '..broken',
          '.hidden',
          '.mirrorlatch',
          'current',
          'current-2024',
          'link',
          'notes with space',
        ],
        'snapshots',
        'third',
        'snapshots/third',
        '.hidden',
        'thirdnotes',
        'hidden',
        'state',
        '',
      ]);
    });

    test(`the whole mirror is read-only and nothing else is, by ${name}`, async () => {
      const { root, home } = await mirrorWithMore();
      await execa('chmod', ['-R', 'a+rwX', root]);
      const places = ['.', 'current', 'snapshots', 'snapshots/third/below', '.mirrorlatch'];
      const result = await runGuarded(
        guard,
        root,
        inShell(
          `for place; do touch "$place/new" && echo "$place/new"; done
           for file in file "$1/notes with space"; do { echo x >>"$file"; } && echo "$file"; done; :`,
          ...places.map((place) => join(root, place)),
          join(root, '.hidden'),
          join(home, 'elsewhere'),
        ),
        { caller, options: namespace },
      );
      expect(result.stdout).toBe(`${join(home, 'elsewhere')}/new\n`);
      expect(result.stderr.match(/Read-only file system/g), transcript(result)).toHaveLength(8);
    });
  }

  test.skipIf(!mayMount)(
    `mounts made outside appear inside, and those made inside do not leak out${noMount}`,
    async () => {
      const { root, home } = await mirrors();
      const shared = join(home, 'shared');
      for (const name of ['', 'outside', 'inside', 'done']) mkdirSync(join(shared, name));
      await execa('mount', ['--bind', shared, shared]);
      await execa('mount', ['--make-shared', shared]);
      for (const guard of oneOfEachKind) {
        const running = startGuarded(
          guard,
          root,
          inShell(
            `mount -t tmpfs inner "$1/inside" && : >"$1/inside/seen-inside"
             echo ready; while [ ! -e "$1/outside/seen" ]; do sleep 0.05; done
             ls "$1/inside"; umount "$1/inside"`,
            shared,
          ),
          { options: namespace },
        );
        await expect.poll(running.printedSoFar).toBe('ready\n');
        expect((await execa('ls', [join(shared, 'inside')])).stdout).toBe('');
        await execa('mount', ['-t', 'tmpfs', 'outer', join(shared, 'outside')]);
        writeFileSync(join(shared, 'outside', 'seen'), '');
        const result = await running.result;
        await execa('umount', [join(shared, 'outside')]);
        expect(result.stdout, transcript(result)).toBe('ready\nseen-inside\n');
        const { stdout } = await execa('cat', ['/proc/self/mountinfo']);
        expect(stdout.split('\n').filter((line) => line.includes(root))).toEqual([]);
      }
    },
  );

  test.skipIf(!mayMount)(`mounts in the snapshot and beside it are visible${noMount}`, async () => {
    const { root } = await mirrorWithMore();
    for (const place of [join(root, 'snapshots', 'third', 'below'), join(root, '.hidden')]) {
      await execa('mount', ['-t', 'tmpfs', 'inner', place]);
      writeFileSync(join(place, 'mounted'), 'mounted\n');
    }
    for (const { guard, caller } of guardedCallers) {
      const result = await runGuarded(
        guard,
        root,
        inShell('cat below/mounted "$1"', join(root, '.hidden', 'mounted')),
        { caller, options: namespace },
      );
      expect(result.stdout, transcript(result)).toBe('mounted\nmounted\n');
    }
  });

  test.skipIf(!mayMount)(
    `what is mounted in the mirror is read-only too, and keeps its options${noMount}`,
    async () => {
      const { root } = await mirrorWithMore();
      const mountOptions = 'mode=777,nosuid,noexec,nosymfollow';
      const places = [
        join(root, 'snapshots', 'third', 'below'),
        join(root, '.hidden'),
        join(root, '.hidden', 'a b%s'),
      ];
      for (const place of places) {
        mkdirSync(place, { recursive: true });
        await execa('mount', ['-t', 'tmpfs', '-o', mountOptions, 'inner', place]);
        onTestFinished(async () => {
          await execa('umount', [place]);
        });
      }
      for (const { guard, caller } of guardedCallers) {
        const result = await runGuarded(
          guard,
          root,
          inShell(
            'for place; do touch "$place/new" && echo "$place"; findmnt -no VFS-OPTIONS --target "$place" | tail -n 1; done',
            ...places,
          ),
          { caller, options: namespace },
        );
        expect(result.stdout, transcript(result)).toBe(
          'ro,nosuid,noexec,relatime,nosymfollow\n'.repeat(3),
        );
      }
    },
  );

  test.skipIf(!mayMount)(
    `what is mounted where the user may not go keeps no user from reading${noMount}`,
    async () => {
      const { root, state } = await mirrors();
      const place = state('staging', 'left', 'mounted');
      mkdirSync(place, { recursive: true });
      await execa('mount', ['-t', 'tmpfs', 'inner', place]);
      onTestFinished(async () => {
        await execa('umount', [place]);
      });
      for (const { guard, caller } of guardedCallers) {
        const result = await runGuarded(guard, root, inShell('cat file; touch "$1/new"', place), {
          caller,
          options: namespace,
        });
        expect([result.stdout, existsSync(join(place, 'new'))], transcript(result)).toEqual([
          'third',
          false,
        ]);
      }
    },
  );

  test.skipIf(!runsAsRoot)(
    `other users can read as well, whatever the umask of root${notRoot}`,
    async () => {
      const { root } = await mirrors();
      for (const guard of guards) {
        const result = await runGuarded(
          guard,
          root,
          [
            ...['setpriv', `--reuid=${nobody.uid}`, `--regid=${nobody.gid}`, '--clear-groups'],
            ...inShell('cat "$1/current/file" && umask', root),
          ],
          { options: namespace, through: inShell('umask 077 && exec "$@"') },
        );
        expect(result.stdout, transcript(result)).toBe('third0077\n');
      }
    },
  );

  test('entries of ROOT may come and go while the pin is made', async () => {
    const { root } = await mirrors();
    const churn = execa(
      process.execPath,
      [
        '-e',
        `const fs = require('node:fs');
         for (let n = 0; ; n = (n + 1) % 50) {
           const name = 'entry-' + n;
           fs.rmSync(name, { recursive: true, force: true });
           if (n % 3 === 0) fs.mkdirSync(name);
           else if (n % 3 === 1) fs.symlinkSync('x', name);
           else fs.writeFileSync(name, '');
           Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 0.3);
         }`,
      ],
      { cwd: root, reject: false },
    );
    onTestFinished(async () => {
      churn.kill('SIGKILL');
      await churn;
    });
    for (const { guard, caller } of guardedCallers) {
      const result = await runGuarded(guard, root, ['cat', `${root}/current/file`], {
        caller,
        options: namespace,
      });
      expect(result, transcript(result)).toMatchObject({ exitCode: 0, stdout: 'third' });
      expect(result.stderr).toBe('');
    }
  });
});
