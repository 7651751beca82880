import { appendFileSync, chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa, execaSync } from 'execa';
import { describe, expect, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { guards, startGuarded } from '../support/guards.ts';
import { whyNotInstalled } from '../support/installed.ts';
import {
  makeImage,
  makeUncleanImage,
  mountImage,
  mountTmpfs,
  unmountImage,
  whyNoLoopFilesystem,
} from '../support/loop-filesystem.ts';
import { mayMount, nobody } from '../support/privilege.ts';
import {
  nobodyRunsTheProgram,
  type ProgramOptions,
  runForJson,
  runProgram,
  transcript,
} from '../support/program.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { mirrorsWith, smallMirror } from '../support/small-mirror.ts';
import { standInFor } from '../support/stand-in.ts';
import { describeTree, difference } from '../support/tree.ts';

const MIB = 1024 * 1024;

const twoSnapshots = mirrorsWith('first', 'second');
const noMount = mayMount ? '' : ' (skipped: only root with CAP_SYS_ADMIN)';
const whyNotAsNobody = nobodyRunsTheProgram ? '' : ' (skipped: only root can become nobody)';

/** What doctor says of one thing. */
interface Examination {
  readonly title: string;
  readonly state: string;
  readonly found: string;
  readonly remedy: string | null;
}

/** What doctor finds out, by title; of one mirror, if it is given one. */
async function examine(roots: readonly string[], options: ProgramOptions = {}) {
  const result = await runProgram(['doctor', ...roots, '--json'], options);
  const { isSound, system, mirrors } = result.json() as unknown as {
    isSound: boolean;
    system: Examination[];
    mirrors: { root: string; examinations: Examination[] }[];
  };
  expect(result.exitCode, transcript(result)).toBe(isSound ? 0 : 69);
  const byTitle = (all: readonly Examination[]) => new Map(all.map((one) => [one.title, one]));
  const [first] = mirrors;
  return { isSound, system: byTitle(system), mirror: byTitle(first?.examinations ?? []) };
}

/** Words that run a program in a mount namespace of its own, in which `script` has run. */
const where = (script: string, ...args: readonly string[]) => [
  ...['unshare', '--mount', '--propagation', 'private', '--', 'sh', '-c'],
  `${script} && shift ${args.length} && exec "$@"`,
  ...['sh', ...args],
];

/** Words that run a program where a limit of user_namespaces(7) is none at all. */
const withNo = (limit: string) => [
  ...['unshare', '--user', '--map-root-user', '--', 'sh', '-c'],
  `echo 0 > /proc/sys/user/${limit} && exec "$@"`,
  'sh',
];

const mayTakeAway =
  execaSync(
    withNo('max_inotify_instances')[0] ?? '',
    [...withNo('max_inotify_instances').slice(1), 'true'],
    { reject: false },
  ).exitCode === 0;

describe('doctor', () => {
  test('finds nothing bad in a healthy mirror, ends with 0 and changes nothing', async () => {
    const { home, root } = await twoSnapshots();
    const before = describeTree(home);
    const { isSound, mirror } = await examine([root]);
    expect([...mirror.values()].filter(({ state }) => state !== 'ok')).toEqual([]);
    expect(isSound).toBe(true);
    // Probes come and go in staging, whose time of change no reader sees.
    const changes = difference(before, describeTree(home));
    expect(changes.filter((change) => !/staging" has mtime/.test(change))).toEqual([]);
  });

  test('finds nothing bad in a mirror that is written in place', async () => {
    const { root, sync } = smallMirror();
    await runForJson(['init', root, '--in-place']);
    await sync();
    const { isSound, mirror } = await examine([root]);
    expect(isSound).toBe(true);
    const others = [...mirror.values()].filter(({ state }) => state !== 'ok');
    expect(others.map(({ title }) => title)).toEqual(['hard links', 'reflinks']);
  });

  test('prints a line each, and below it the way out, for several mirrors', async () => {
    const [one, other] = [await twoSnapshots(), await twoSnapshots()];
    chmodSync(other.state('mirror.json'), 0o666);
    const result = await runProgram(['doctor', one.root, other.root]);
    expect(result.exitCode).toBe(69);
    expect(result.stdout).toMatch(/^this host\n {2}ok {7}Node\.js /);
    expect(result.stdout).toContain(`\n\n${one.root}\n  ok       settings `);
    expect(result.stdout).toContain(`\n\n${other.root}\n  bad      settings `);
    expect(result.stdout).toContain(`\n            chmod go-w ${other.state('mirror.json')}\n`);
  });

  test('refuses what is no mirror before it looks at anything', async () => {
    const home = scratchDirectory();
    const result = await runProgram(['doctor', home]);
    expect(result.exitCode).toBe(66);
    expect(result.stdout).toBe('');
  });

  test('tells of broken settings in a line, and looks on', async () => {
    const { root, state } = await twoSnapshots();
    writeFileSync(state('mirror.json'), '{');
    const { isSound, mirror } = await examine([root]);
    expect(isSound).toBe(false);
    expect(mirror.get('settings')).toMatchObject({ state: 'bad' });
    expect(mirror.get('writers')).toMatchObject({ state: 'skipped' });
    expect(mirror.get('hard links')).toMatchObject({ state: 'ok' });
  });

  test.runIf(nobodyRunsTheProgram)(
    `names the owner of a mirror to another user, and the command for root${whyNotAsNobody}`,
    async () => {
      const { root, state } = await twoSnapshots();
      const asNobody = await examine([root], { user: nobody, env: { HOME: '/nonexistent' } });
      expect(asNobody.isSound).toBe(true);
      expect(asNobody.mirror.get('owner')?.remedy).toContain(`sudo mirrorlatch doctor ${root}`);
      expect(asNobody.mirror.get('hard links')).toMatchObject({ state: 'skipped' });
      await execa('chown', ['-R', 'nobody', root, state()]);
      const { mirror } = await examine([root]);
      expect(mirror.get('owner')).toMatchObject({ state: 'warning' });
      expect(mirror.get('owner')?.remedy).toContain('runuser -u nobody -- mirrorlatch doctor');
    },
  );
});

describe('doctor looks at this host:', () => {
  test('at the umask of cron', async () => {
    const { system } = await examine([], { umask: '077' });
    expect(system.get('umask')).toMatchObject({ state: 'warning' });
    expect(system.get('umask')?.found).toMatch(/^077/);
  });

  test('at programs that are missing', async () => {
    const few = scratchDirectory();
    for (const program of ['rsync', 'sh', 'cp', 'find', 'sync', 'touch', 'chmod'])
      symlinkSync(execaSync('which', [program]).stdout, join(few, program));
    const { system } = await examine([], { env: { PATH: few } });
    expect(system.get('tools of a sync')).toMatchObject({
      state: 'bad',
      found: 'flock, setpriv are not in PATH',
    });
    const none = scratchDirectory();
    const without = await examine([], { env: { PATH: none } });
    expect(without.system.get('rsync')).toMatchObject({ state: 'bad' });
    expect(without.system.get('rsync')?.remedy).toContain('apt-get install rsync');
  });

  test('at an rsync whose holes nobody has mended', async () => {
    const old = scratchDirectory();
    const script = '#!/bin/sh\necho "rsync  version 3.4.0  protocol version 32"\n';
    writeFileSync(join(old, 'rsync'), script, { mode: 0o755 });
    const { system } = await examine([], { env: { PATH: `${old}:${process.env['PATH']}` } });
    expect(system.get('rsync')).toMatchObject({ state: 'warning' });
    expect(system.get('rsync')?.remedy).toContain('apt-get install --only-upgrade rsync');
  });

  test.runIf(mayMount)(`at namespaces that nobody may make${noMount}`, async () => {
    const through = [
      ...withNo('max_user_namespaces'),
      ...['setpriv', '--bounding-set=-sys_admin', '--inh-caps=-sys_admin', '--'],
    ];
    const { system } = await examine([], { through });
    expect(system.get('namespaces')).toMatchObject({
      state: 'bad',
      remedy: 'As root, allow them with: sysctl -w user.max_user_namespaces=10000',
    });
  });

  test.runIf(mayTakeAway).each([
    ['max_inotify_instances', 'fs.inotify.max_user_instances'],
    ['max_inotify_watches', 'fs.inotify.max_user_watches'],
  ])('at the limits of inotify (%s)', async (limit, sysctl) => {
    const { system } = await examine([], { through: withNo(limit) });
    expect(system.get('inotify')).toMatchObject({ state: 'warning' });
    expect(system.get('inotify')?.remedy).toContain(`sysctl -w ${sysctl}=`);
  });

  test.runIf(mayMount)(`at crontabs in which cron finds no mirrorlatch${noMount}`, async () => {
    const crontabs = scratchDirectory();
    const file = join(crontabs, 'mirror');
    const through = where('mount --bind "$1" /etc/cron.d', crontabs);
    const jobs = 'MAILTO=root\n5 * * * * root mirrorlatch sync /srv/mirror/debian\n';
    writeFileSync(file, jobs, { mode: 0o644 });
    const { isSound, system } = await examine([], { through });
    expect(isSound).toBe(false);
    expect(system.get('cron')).toMatchObject({ state: 'bad' });
    expect(system.get('cron')?.found).toMatch(/^\/etc\/cron\.d\/mirror, line 2: .* mirrorlatch /);

    const programs = scratchDirectory();
    writeFileSync(join(programs, 'mirrorlatch'), '#!/bin/sh\n', { mode: 0o755 });
    const PATH = `${programs}:${process.env['PATH']}`;
    const helped = await examine([], { through, env: { PATH } });
    expect(helped.system.get('cron')?.remedy).toBe(
      `Write at the top of that file: PATH=${programs}:/usr/bin:/bin`,
    );
    writeFileSync(file, `PATH=${PATH}\n${jobs}`);
    const mended = await examine([], { through, env: { PATH } });
    expect(mended.system.get('cron')).toMatchObject({
      state: 'ok',
      found: '/etc/cron.d/mirror, line 3',
    });
    chmodSync(file, 0o666);
    const passedOver = await examine([], { through, env: { PATH } });
    expect(passedOver.system.get('cron')).toMatchObject({ state: 'bad' });
    expect(passedOver.system.get('cron')?.found).toContain('cron passes over');
  });

  test('at the clock and at timers of systemd, as its programs tell', async () => {
    const programs = scratchDirectory();
    const say = (program: string, lines: readonly string[]) =>
      writeFileSync(join(programs, program), ['#!/bin/sh', ...lines, ''].join('\n'), {
        mode: 0o755,
      });
    const env = { PATH: `${programs}:${process.env['PATH']}` };
    say('timedatectl', ['echo no']);
    const timers = 'mirrorlatch-sync@.timer disabled enabled';
    say('systemctl', [
      'case "$*" in',
      'is-system-running) echo running ;;',
      `list-unit-files*) echo '${timers}' ;;`,
      'esac',
    ]);
    const { system } = await examine([], { env });
    expect(system.get('clock')).toMatchObject({
      state: 'warning',
      remedy: 'As root: timedatectl set-ntp true',
    });
    expect(system.get('systemd')).toMatchObject({
      state: 'warning',
      remedy: 'As root: systemctl enable --now mirrorlatch-sync@NAME.timer',
    });
    say('systemctl', [
      'case "$*" in',
      'is-system-running) echo degraded; exit 1 ;;',
      '*--state=failed*) echo "mirrorlatch-sync@debian.service loaded failed failed Sync" ;;',
      'esac',
    ]);
    const failed = await examine([], { env });
    expect(failed.system.get('systemd')).toMatchObject({
      state: 'bad',
      remedy: 'See why with: systemctl status mirrorlatch-sync@debian.service',
    });
  });
});

describe('doctor looks at a mirror:', () => {
  test.runIf(mayMount)(`at inodes that run out${noMount}`, async () => {
    const mirror = smallMirror({ root: await mountTmpfs('size=20m,nr_inodes=120,mode=0755') });
    mirror.change(Object.fromEntries([...'abcdefghij'].map((name) => [name, name])));
    await mirror.sync();
    const roomy = (await examine([mirror.root])).mirror;
    expect(roomy.get('space')).toMatchObject({ state: 'ok' });
    expect(roomy.get('filesystem')).toMatchObject({ state: 'warning' });
    const other = join(mirror.root, 'other');
    mkdirSync(other);
    const fill = 'i=0; while : >"$0/$i"; do i=$((i + 1)); done; rm "$0/0" "$0/1" "$0/2" "$0/3"';
    await execa('sh', ['-c', fill, other], { reject: false });
    await execa('sh', ['-c', 'cd "$0" && rm 0 1 2 3 4', other]);
    const { isSound, mirror: found } = await examine([mirror.root]);
    expect(isSound).toBe(false);
    expect(found.get('space')).toMatchObject({ state: 'bad' });
    expect(found.get('space')?.found).toMatch(/a recent sync needed 12 inodes/);
  });

  test.skipIf(whyNoLoopFilesystem !== '')(
    `at a filesystem that keeps whole seconds alone${whyNoLoopFilesystem}`,
    async () => {
      const home = scratchDirectory();
      const disk = join(home, 'disk');
      const options = { size: 16 * MIB, mkfs: ['-I', '128'] };
      await makeImage('ext4', join(home, 'image'), options);
      await mountImage(join(home, 'image'), disk);
      try {
        chmodSync(disk, 0o755);
        const mirror = smallMirror({ root: join(disk, 'mirror') });
        await mirror.sync();
        expect((await examine([mirror.root])).mirror.get('times')).toMatchObject({
          state: 'warning',
        });
      } finally {
        await unmountImage(disk);
      }
    },
  );

  test.skipIf(whyNoLoopFilesystem !== '')(
    `at a directory that takes Name for name${whyNoLoopFilesystem}`,
    async ({ skip }) => {
      const home = scratchDirectory();
      const disk = join(home, 'disk');
      const options = { size: 16 * MIB, mkfs: ['-O', 'casefold'] };
      await makeImage('ext4', join(home, 'image'), options);
      try {
        await mountImage(join(home, 'image'), disk);
      } catch {
        skip('this kernel has no case-folding');
      }
      try {
        const root = join(disk, 'mirror');
        mkdirSync(root);
        chmodSync(disk, 0o755);
        await execa('chattr', ['+F', root]);
        const mirror = smallMirror({ root });
        await mirror.sync();
        expect((await examine([root])).mirror.get('names')).toMatchObject({ state: 'bad' });
      } finally {
        await unmountImage(disk);
      }
    },
  );

  test.runIf(mayMount)(`at what is mounted below its root${noMount}`, async () => {
    const { root } = await twoSnapshots();
    const place = join(root, 'snapshots', 'second', 'below');
    const { mirror } = await examine([root], {
      through: where('mount -t tmpfs tmpfs "$1"', place),
    });
    expect(mirror.get('mounts')).toMatchObject({
      state: 'bad',
      remedy: `If that is not wanted: umount ${place}`,
    });
  });

  test.skipIf(whyNoLoopFilesystem !== '')(
    `at a filesystem that its superblock does not call clean${whyNoLoopFilesystem}`,
    async () => {
      const home = scratchDirectory();
      const disk = join(home, 'disk');
      await makeUncleanImage(join(home, 'image'));
      await mountImage(join(home, 'image'), disk);
      try {
        chmodSync(disk, 0o755);
        const root = join(disk, 'mirror');
        await runForJson(['init', root]);
        const { mirror } = await examine([root]);
        expect(mirror.get('filesystem')).toMatchObject({ state: 'bad' });
        expect(mirror.get('filesystem')?.remedy).toMatch(/fsck \/dev\/loop\d+$/);
      } finally {
        await unmountImage(disk);
      }
    },
  );

  test.runIf(mayMount)(`at the layers of a container${noMount}`, async () => {
    const { home } = await twoSnapshots();
    for (const name of ['upper', 'work', 'merged']) mkdirSync(join(home, name));
    const layers = `lowerdir=${home}/mirror,upperdir=${home}/upper,workdir=${home}/work`;
    const through = where('mount -t overlay -o "$1" overlay "$2"', layers, `${home}/merged`);
    const { mirror } = await examine([join(home, 'merged')], { through });
    expect(mirror.get('filesystem')).toMatchObject({ state: 'warning' });
    expect(mirror.get('filesystem')?.found).toMatch(/^overlay/);
  });

  test('at locks that keep nobody out', async () => {
    const mirror = await twoSnapshots();
    const PATH = standInFor('flock', join(mirror.home, 'bin'), 'exit 0');
    const { mirror: found } = await examine([mirror.root], { env: { PATH } });
    expect(found.get('locks')).toMatchObject({ state: 'bad' });
  });

  test('at directories above it that keep readers out', async () => {
    const { home, root } = await twoSnapshots();
    chmodSync(home, 0o700);
    const { isSound, mirror } = await examine([root]);
    expect(isSound).toBe(true);
    expect(mirror.get('readers get in')).toMatchObject({
      state: 'warning',
      remedy: `If they are to read the mirror: chmod o+x ${home}`,
    });
  });

  test('at a root in which any user may exchange things', async () => {
    const { root } = await twoSnapshots();
    chmodSync(root, 0o777);
    const { mirror } = await examine([root]);
    expect(mirror.get('writers')).toMatchObject({ state: 'bad' });
    expect(mirror.get('writers')?.remedy).toContain(`chmod o-w ${root}`);
  });

  test('at a clock that is behind its last sync', async () => {
    const { root, state } = await twoSnapshots();
    const at = new Date(Date.now() + 86_400_000).toISOString();
    appendFileSync(state('history.jsonl'), `${JSON.stringify({ event: 'pruned', id: 'x', at })}\n`);
    const { mirror } = await examine([root]);
    expect(mirror.get('clock')).toMatchObject({ state: 'bad' });
    expect(mirror.get('clock')?.remedy).toContain('date -u');
  });

  test(`at readers that hold an old snapshot for days${whyNotInstalled('faketime')}`, async ({
    skip,
  }) => {
    if (whyNotInstalled('faketime') !== '') skip();
    const mirror = await twoSnapshots();
    const [run] = guards;
    if (run === undefined) throw new Error('there is no guard');
    const guarded = startGuarded(run, mirror.root, ['sleep', '600']);
    try {
      await eventually(async () => {
        const { snapshots } = await runForJson(['status', mirror.root]);
        expect(JSON.stringify(snapshots)).toContain('"by":"lease"');
      });
      const through = ['faketime', '-f', '+4d'];
      await mirror.publish('third', { file: 'third' });
      expect((await examine([mirror.root], { through })).mirror.get('stale readers')).toMatchObject(
        {
          state: 'ok',
        },
      );
      await mirror.publish('fourth', { file: 'fourth' });
      await runForJson(['init', mirror.root, '--keep-last', '1', '--grace', '0']);
      expect((await examine([mirror.root])).mirror.get('stale readers')).toMatchObject({
        state: 'ok',
      });
      const later = await examine([mirror.root], { through });
      expect(later.isSound).toBe(true);
      const found = later.mirror.get('stale readers');
      expect(found).toMatchObject({ state: 'warning' });
      expect(found?.found).toMatch(/^sleep \(pid \d+, \w+\) keeps second from being pruned/);
      expect(found?.remedy).toMatch(/ps -o pid,lstart,args -p \d+$/);
    } finally {
      guarded.kill('SIGKILL');
      await guarded.result;
    }
  });
});
