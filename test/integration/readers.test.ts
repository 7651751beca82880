import {
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { execa, execaSync } from 'execa';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { expectFailure } from '../support/expect-failure.ts';
import { mayMount, nobody, runsAsRoot } from '../support/privilege.ts';
import { nobodyRunsTheProgram, runForJson, runProgram, startProgram } from '../support/program.ts';
import { makeScratch } from '../support/scratch.ts';
import { mirrorsWith, type SmallMirror, smallMirror } from '../support/small-mirror.ts';
import { standInFor, takeOver } from '../support/stand-in.ts';

interface Kept {
  readonly id: string;
  readonly reasons: readonly string[];
  readonly readers: readonly { readonly pid: number; readonly by: string; readonly user: string }[];
}

interface Pruned {
  readonly removed: readonly string[];
  readonly kept: readonly Kept[];
}

/** A way in which a process uses a snapshot, with or without a lease. */
interface Way {
  readonly name: string;
  /** How prune describes it. */
  readonly by: readonly string[];
  readonly whyNot?: string;
  /** A command that uses `snapshot` in this way until it is ended. */
  command(mirror: SmallMirror, id: string): readonly string[];
  readonly asNobody?: boolean;
}

const SLEEP = ['sleep', '600'];
const inShell = (script: string, ...args: readonly string[]): readonly string[] => [
  'sh',
  '-c',
  script,
  'sh',
  ...args,
];
const snapshotOf = ({ root }: SmallMirror, id: string): string => join(root, 'snapshots', id);
const notRoot = runsAsRoot ? '' : ' (skipped: only root can)';
const noMount = mayMount ? '' : ' (skipped: only root with CAP_SYS_ADMIN mounts)';

const ways: readonly Way[] = [
  {
    name: 'a lease that an ordinary user holds',
    by: ['lease'],
    whyNot: notRoot,
    asNobody: true,
    command: (mirror, id) => [
      'flock',
      '--shared',
      '--no-fork',
      mirror.state('leases', id),
      ...SLEEP,
    ],
  },
  {
    name: 'a lease that only a child of its first holder still holds',
    by: ['lease'],
    command: (mirror, id) =>
      inShell('exec 9<"$1"; flock -s 9; exec sleep 600', mirror.state('leases', id)),
  },
  {
    name: 'a working directory deep in it',
    by: ['cwd'],
    command: (mirror, id) =>
      inShell('cd "$1" && exec sleep 600', join(snapshotOf(mirror, id), 'below')),
  },
  {
    name: 'a working directory entered through current',
    by: ['cwd'],
    // Only the path went through the link; the kernel knows the snapshot.
    command: (mirror, id) => inShell('cd -P "$1" && exec sleep 600', snapshotOf(mirror, id)),
  },
  {
    name: 'an open file',
    by: ['fd'],
    command: (mirror, id) => inShell('exec sleep 600 <"$1"', join(snapshotOf(mirror, id), 'file')),
  },
  {
    name: 'an open file, from a working directory that is that of the leases',
    by: ['fd'],
    command: (mirror, id) =>
      inShell(
        'cd "$1" && exec sleep 600 <"$2"',
        mirror.state('leases'),
        join(snapshotOf(mirror, id), 'file'),
      ),
  },
  ...(
    [
      ['cwd', 'a working directory', 'cd "$2" && exec 9<"$1" sleep 600'],
      ['fd', 'an open directory', 'exec 8<"$2/below" 9<"$1" sleep 600'],
      ['fd', 'a file open for writing', 'exec 8>>"$2/file" 9<"$1" sleep 600'],
      ['maps', 'a mapped file', 'exec 9<"$1" "$2/bin/sleep" 600'],
    ] as const
  ).map(([by, what, script]) => ({
    name: `${what}, of a process that has the directory of the leases open, as serve has`,
    by: [by],
    command: (mirror: SmallMirror, id: string) =>
      inShell(script, mirror.state('leases'), snapshotOf(mirror, id)),
  })),
  {
    name: 'a mapped file',
    by: ['maps'],
    command: (mirror, id) => [join(snapshotOf(mirror, id), 'bin', 'sleep'), '600'],
  },
  {
    name: 'a root directory (chroot)',
    by: ['root', 'cwd'],
    whyNot: notRoot,
    command: (mirror, id) => ['chroot', snapshotOf(mirror, id), '/bin/sleep', '600'],
  },
  {
    name: 'a bind mount of it in another mount namespace',
    by: ['mount'],
    whyNot: noMount,
    command: (mirror, id) => [
      ...['unshare', '--mount', '--propagation', 'private'],
      ...inShell('mount --bind "$1" /mnt && exec sleep 600', snapshotOf(mirror, id)),
    ],
  },
  {
    name: 'an open file below a bind mount of the whole ROOT in another mount namespace',
    by: ['fd'],
    whyNot: noMount,
    command: (mirror, id) => [
      ...['unshare', '--mount', '--propagation', 'private'],
      ...inShell(
        'mount --bind "$1" /mnt && exec sleep 600 <"/mnt/snapshots/$2/file"',
        mirror.root,
        id,
      ),
    ],
  },
  {
    name: 'a working directory below a bind mount of the parent of ROOT',
    by: ['cwd'],
    whyNot: noMount,
    command: (mirror, id) => [
      ...['unshare', '--mount', '--propagation', 'private'],
      ...inShell(
        'mount --bind "$1" /mnt && cd "/mnt/$2/snapshots/$3" && exec sleep 600',
        dirname(mirror.root),
        basename(mirror.root),
        id,
      ),
    ],
  },
];

describe('a snapshot that no rule keeps stays while it is used', () => {
  const scratch = makeScratch();
  const possible = ways.filter(({ whyNot = '' }) => whyNot === '');
  const idOf = (way: Way): string => `way-${ways.indexOf(way)}`;
  let mirror: SmallMirror;
  const pids = new Map<Way, number>();
  const ends: (() => Promise<void>)[] = [];
  let dryRun: Pruned;
  let first: Pruned;
  let second: Pruned;

  beforeAll(async () => {
    mirror = smallMirror({ home: join(scratch.path, 'home') });
    putProgram(join(mirror.source, 'bin'), '/bin/sleep');
    for (const id of ['free', ...possible.map(idOf), 'last', 'latest']) {
      await mirror.publish(id, { file: id });
    }
    for (const way of possible) {
      const [file = '', ...args] = way.command(mirror, idOf(way));
      const child = execa(file, args, {
        reject: false,
        stdio: 'ignore',
        ...(way.asNobody ? { ...nobody, cwd: '/' } : {}),
      });
      const ended = child.then(() => {});
      ends.push(async () => {
        child.kill('SIGKILL');
        await ended;
      });
      pids.set(way, child.pid ?? 0);
      await sleeps(child.pid);
    }
    const prune = (...more: string[]) =>
      runForJson(['prune', mirror.root, '--keep-last', '1', '--grace', '0', ...more]);
    dryRun = (await prune('--dry-run')) as unknown as Pruned;
    first = (await prune()) as unknown as Pruned;
    for (const end of ends) await end();
    second = (await prune()) as unknown as Pruned;
  });

  afterAll(async () => {
    for (const end of ends) await end();
    await scratch.remove();
  });

  for (const way of ways) {
    test.skipIf((way.whyNot ?? '') !== '')(`by ${way.name}${way.whyNot ?? ''}`, () => {
      for (const { kept } of [dryRun, first]) {
        const found = kept.find(({ id }) => id === idOf(way));
        expect(found?.reasons).toEqual(['is held by a reader']);
        const reader = found?.readers.find(({ pid }) => pid === pids.get(way));
        expect(way.by).toContain(reader?.by);
        expect(reader?.user).toBe(way.asNobody ? 'nobody' : 'root');
      }
      expect(second.removed).toContain(idOf(way));
    });
  }

  test('and an unused one is removed at once', () => {
    expect(first.removed).toEqual(['free']);
    expect(second.kept.map(({ id }) => id).sort()).toEqual(['last', 'latest']);
  });
});

const threeSnapshots = mirrorsWith('first', 'second', 'third');

test('the prune at the end of a sync also keeps snapshots that are read, and reports why', async () => {
  const mirror = await threeSnapshots();
  const reader = execa('sleep', ['600'], { cwd: snapshotOf(mirror, 'first'), reject: false });
  mirror.change({ file: 'fourth' });
  const rules = ['--keep-last', '1', '--grace', '0'];
  const { pruned } = (await mirror.sync('--id', 'fourth', ...rules)) as { pruned: unknown };
  reader.kill('SIGKILL');
  await reader;
  expect(pruned).toMatchObject({
    removed: ['second'],
    kept: expect.arrayContaining([
      {
        id: 'first',
        reasons: ['is held by a reader'],
        readers: [expect.objectContaining({ pid: reader.pid, by: 'cwd', name: 'sleep' })],
      },
    ]),
  });
});

test('I5: a command that a guard has pinned also keeps another snapshot of which it has a file open', async () => {
  const mirror = await threeSnapshots();
  const file = join(snapshotOf(mirror, 'first'), 'file');
  const command = inShell('exec sleep 600 <"$1"', file);
  const guard = startProgram(['run', '--pin', 'cwd', mirror.root, '--', ...command], {
    byLauncher: true,
  });
  onTestFinished(async () => {
    guard.kill('SIGTERM');
    await guard.result;
  });
  await eventually(async () => {
    const [first] = (await runForJson(['list', mirror.root])) as unknown as Kept[];
    expect(first?.readers).toEqual([expect.objectContaining({ name: 'sleep', by: 'fd' })]);
  });
  for (const id of ['fourth', 'fifth', 'sixth']) {
    await mirror.publish(id, { file: id }, '--keep-last', '1', '--grace', '0');
  }
  expect(mirror.snapshots()).toEqual(['fifth', 'first', 'sixth', 'third']);
});

test('I5: a reader that comes after prune has looked for readers keeps its snapshot', async () => {
  const mirror = await threeSnapshots();
  const lease = mirror.state('leases', 'first');
  const pid = join(mirror.home, 'pid');
  // flock(1) takes the lease, as descriptor 3, right before the removal.
  const reads = `flock --shared --no-fork '${lease}' sleep 600 3>&- >/dev/null 2>&1`;
  const isHeld = `until grep -q "FLOCK .* READ $! " /proc/locks; do sleep 0.1; done`;
  const comes = `if [ /proc/self/fd/3 -ef '${lease}' ]; then
    PATH='${process.env['PATH']}'
    ${reads} & echo $! >'${pid}'
    ${isHeld}
  fi`;
  const PATH = standInFor('flock', join(mirror.home, 'programs'), comes);
  const rules = ['--keep-last', '1', '--grace', '0'];
  const pruned = await runForJson(['prune', mirror.root, ...rules], { env: { PATH } });
  process.kill(Number(readFileSync(pid, 'utf8')), 'SIGKILL');
  expect(pruned).toMatchObject({
    removed: [],
    kept: expect.arrayContaining([{ id: 'first', reasons: ['is held by a reader'], readers: [] }]),
  });
  expect(mirror.snapshots()).toContain('first');
});

test('I4: prune removes nothing more once the lock is lost', async () => {
  const mirror = await threeSnapshots();
  await mirror.publish('fourth', { file: 'fourth' });
  // flock(1) takes the first of two leases, as descriptor 3: then another host takes the lock.
  const lease = mirror.state('leases', 'first');
  const isLost = `[ ! /proc/self/fd/3 -ef '${lease}' ] || ${takeOver(mirror)}`;
  const PATH = standInFor('flock', join(mirror.home, 'programs'), isLost);
  const words = ['prune', mirror.root, '--keep-last', '1', '--grace', '0'];
  const result = await runProgram(words, { env: { PATH } });
  expectFailure(result, 75, /the lock of .* was lost to another host/);
  expect(mirror.snapshots()).toEqual(['fourth', 'second', 'third']);
});

test('I4: prune empties the trash no further once the lock is lost, and says so', async () => {
  const mirror = await threeSnapshots();
  await mirror.publish('fourth', { file: 'fourth' });
  // rm(1) is started for each tree: during the first, another host takes the lock.
  const lost = join(mirror.home, 'taken');
  const isLost = `[ -e '${lost}' ] || ${takeOver(mirror)}`;
  const PATH = standInFor('rm', join(mirror.home, 'programs'), isLost);
  const words = ['prune', mirror.root, '--keep-last', '1', '--grace', '0'];
  const result = await runProgram(words, { env: { PATH } });
  expectFailure(result, 75, /the lock of .* was lost to another host/);
  expect(readdirSync(mirror.state('trash'))).toHaveLength(1);
});

const whyNotAsNobody = nobodyRunsTheProgram
  ? ''
  : ' (skipped: only root can become nobody, who has to reach Node and the program)';

test.skipIf(!nobodyRunsTheProgram)(
  `a lease counts even if the pruning user cannot see its holder, in a dry run too${whyNotAsNobody}`,
  async () => {
    const mirror = await threeSnapshots();
    execaSync('chown', ['-R', `${nobody.uid}:${nobody.gid}`, mirror.home]);
    const lease = mirror.state('leases', 'first');
    const reader = execa('flock', ['--shared', '--no-fork', lease, ...SLEEP], { reject: false });
    await sleeps(reader.pid);
    const rules = ['--keep-last', '1', '--grace', '0'];
    for (const more of [['--dry-run'], []]) {
      expect(
        await runForJson(['prune', mirror.root, ...rules, ...more], { user: nobody }),
      ).toMatchObject({
        removed: [],
        kept: expect.arrayContaining([
          { id: 'first', reasons: ['is held by a reader'], readers: [] },
        ]),
      });
    }
    reader.kill('SIGKILL');
    await reader;
    expect(await runForJson(['prune', mirror.root, ...rules], { user: nobody })).toMatchObject({
      removed: ['first'],
    });
  },
);

test('list shows the readers of each snapshot, and how many it cannot see', async () => {
  const mirror = await threeSnapshots();
  const reader = execa('sleep', ['600'], { cwd: snapshotOf(mirror, 'first'), reject: false });
  const listed = (await runForJson(['list', mirror.root])) as unknown as Kept[];
  reader.kill('SIGKILL');
  await reader;
  expect(listed.map(({ id, readers }) => [id, readers.map(({ by }) => by)])).toEqual([
    ['first', ['cwd']],
    ['second', []],
    ['third', []],
  ]);
});

/** Copies a program and the libraries that it needs, so that it runs in a chroot. */
function putProgram(directory: string, program: string): void {
  mkdirSync(directory, { recursive: true });
  copyFileSync(realpathSync(program), join(directory, basename(program)));
  const { stdout } = execaSync('ldd', [program]);
  for (const [, library = ''] of stdout.matchAll(/(\/\S+) \(0x/g)) {
    const place = join(dirname(directory), dirname(library));
    mkdirSync(place, { recursive: true });
    copyFileSync(realpathSync(library), join(place, basename(library)));
  }
  writeFileSync(join(directory, 'made-by'), 'the test');
}

/** Waits until the process has become sleep(1). */
async function sleeps(pid: number | undefined): Promise<void> {
  await eventually(() => expect(readlinkSync(`/proc/${pid}/exe`)).toMatch(/\/sleep$/));
}
