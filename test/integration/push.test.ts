import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { push as pushTree } from '../../src/index.ts';
import { PROTOCOL } from '../../src/push/messages.ts';
import { seededRandom } from '../stress/scale.ts';
import { buildAwkwardTree } from '../support/awkward-tree.ts';
import { eventually } from '../support/eventually.ts';
import { expectFailure } from '../support/expect-failure.ts';
import {
  makeLoopFilesystem,
  makeUncleanImage,
  mountImage,
  unmountImage,
  whyNoLoopFilesystem,
} from '../support/loop-filesystem.ts';
import { nobody, runsAsRoot } from '../support/privilege.ts';
import {
  nobodyRunsTheProgram,
  type ProgramResult,
  type RunningProgram,
  runForJson,
  runProgram,
  startProgram,
  transcript,
} from '../support/program.ts';
import { bin } from '../support/project.ts';
import {
  countingShell,
  type PushTestOptions,
  pushProcesses,
  remoteProgram,
  runPush,
  startPush,
  statusOf,
} from '../support/push.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { holdRsync, rsyncProcesses } from '../support/slow-sync.ts';
import { mirrorsWith, type SmallMirror, smallMirror } from '../support/small-mirror.ts';
import { type SshDaemon, startSshDaemon } from '../support/sshd.ts';
import { atPublication, standInFor } from '../support/stand-in.ts';
import { describeTree, difference } from '../support/tree.ts';

const oneSnapshot = mirrorsWith('first');
let sshd: SshDaemon;

beforeAll(async () => {
  sshd = await startSshDaemon();
});

afterAll(() => sshd?.stop());

const push = (mirror: SmallMirror, options?: PushTestOptions): Promise<ProgramResult> =>
  runPush(sshd, mirror, options);

/** Runs a push with `--json`, which must succeed. */
async function pushForJson(
  mirror: SmallMirror,
  words: readonly string[] = [],
  options: PushTestOptions = {},
): Promise<Record<string, unknown>> {
  const result = await push(mirror, { ...options, words: [...words, '--json'] });
  expect(result.exitCode, transcript(result)).toBe(0);
  return result.json();
}

describe('a push over ssh', () => {
  test('makes the mirror on the other host byte for byte, and a second push finds nothing to do', async () => {
    const mirror = smallMirror();
    buildAwkwardTree(join(mirror.source, 'awkward'));
    expect(await pushForJson(mirror, ['--id', 'pushed'])).toMatchObject({
      outcome: 'published',
      id: 'pushed',
      previous: null,
      path: join(mirror.root, 'snapshots', 'pushed'),
      source: expect.stringMatching(/^\S+@\S+:\/.*\/source\/$/),
      strategy: 'plan',
    });
    isWhole(mirror);
    const destination = `ssh://${sshd.host}:${sshd.port}${mirror.root}`;
    expect(await pushForJson(mirror, [], { destination })).toMatchObject({
      outcome: 'unchanged',
      id: 'pushed',
    });
    const status = await statusOf(mirror.root);
    expect(status).toMatchObject({ isHealthy: true, findings: [], source: null });
    expect(status['filledBy']).toMatch(/^filled from \S+@\S+:\/.*\/source\/$/);
    const unnamed = await runProgram(['sync', mirror.root]);
    expectFailure(unnamed, 64, /has no source yet: it was filled from \S+\/source\/$/m);
  });

  test.for([
    { strategy: 'plan', shares: true },
    { strategy: 'link-dest', shares: true },
    { strategy: 'copy', shares: false },
  ])('by $strategy shares unchanged files: $shares', async ({ strategy, shares }) => {
    const mirror = await oneSnapshot();
    const before = describeTree(join(mirror.root, 'snapshots/first'));
    mirror.change({ file: 'second', 'below/new': 'new' });
    await pushForJson(mirror, ['--strategy', strategy, '--id', 'second']);
    isWhole(mirror);
    const inode = (id: string) => statSync(join(mirror.root, 'snapshots', id, 'below/file')).ino;
    expect(inode('second') === inode('first')).toBe(shares);
    expect(difference(before, describeTree(join(mirror.root, 'snapshots/first')))).toEqual([]);
  });

  test('prints what a sync prints, sent by the other host', async () => {
    const mirror = await oneSnapshot();
    mirror.change({ file: 'second' });
    const { stdout, stderr, exitCode } = await push(mirror, { words: ['--id', 'second'] });
    expect(exitCode, stderr).toBe(0);
    expect(stdout).toMatch(/^published second: 0 new, 1 changed, 0 deleted; 2 files in all/);
    for (const phase of [/planning/, /plan: 0 new, 1 changed/, /transferring/, /publishing/]) {
      expect(stderr).toMatch(phase);
    }
  });

  test('with --dry-run lists what would change and changes nothing', async () => {
    const mirror = await oneSnapshot();
    mirror.change({ file: null, ...manyFiles(250) });
    const before = describeTree(mirror.root);
    const planned = await pushForJson(mirror, ['--dry-run']);
    expect(planned).toMatchObject({
      outcome: 'planned',
      current: 'first',
      refusal: expect.stringContaining('vanish'),
    });
    const entries = planned['entries'] as { change: string; name: string }[];
    expect(entries).toContainEqual(expect.objectContaining({ change: 'deleted', name: 'file' }));
    expect(
      entries.filter(({ change, name }) => change === 'new' && /many/.test(name)),
    ).toHaveLength(251);
    expect(difference(before, describeTree(mirror.root))).toEqual([]);
    expect(existsSync(mirror.state('staging', 'first'))).toBe(false);
  });

  test('refuses a source that has shrunk, unless it is allowed', async () => {
    const mirror = await oneSnapshot();
    mirror.change({ below: null });
    expectFailure(await push(mirror), 65, /upstream: the source has shrunk: 50\.0 % of the files/);
    expect(mirror.linked('current')).toBe('first');
    expect(await pushForJson(mirror, ['--allow-shrink'])).toMatchObject({ outcome: 'published' });
    isWhole(mirror);
  });

  test('passes the options of the sync and of rsync on', async () => {
    const mirror = await oneSnapshot();
    await mirror.publish('second', { file: 'second' });
    mirror.change({ 'left out': '', third: 'third' });
    await pushForJson(
      mirror,
      [
        ...['--id', 'third', '--tag', 'release', '--without', 'delete'],
        ...['--keep-last', '1', '--keep-hourly', '1', '--keep-tag', 'none', '--grace', '0'],
      ],
      { rsync: ['--exclude=left*'] },
    );
    expect(mirror.snapshots()).toEqual(['second', 'third']);
    expect(JSON.parse(readFileSync(mirror.state('marks.json'), 'utf8'))).toMatchObject({
      snapshots: { third: { tags: ['release'] } },
    });
    expect(existsSync(join(mirror.root, 'current/third'))).toBe(true);
    expect(existsSync(join(mirror.root, 'current/left out'))).toBe(false);
  });

  test('says so where the mirror remembers another source, and publishes nothing while it is held', async () => {
    const mirror = await oneSnapshot();
    mirror.change({ file: 'second' });
    const other = await push(mirror, { words: ['--dry-run'] });
    expect(other.stderr).toMatch(/remembers the source .*; this push brings \S+@\S+:/);
    await runForJson(['rollback', mirror.root, 'current', '--hold', 'frozen']);
    expectFailure(await push(mirror), 75, /is held by .*: frozen; nothing was published/);
    expect(mirror.linked('current')).toBe('first');
  });

  test('says so where the mirror remembers no source, and another tree filled it before', async () => {
    const mirror = smallMirror();
    const other = smallMirror();
    await pushForJson(mirror);
    const again = await push(mirror);
    expect(again.stderr).not.toMatch(/brings/);
    const foreign = await push({ ...mirror, source: other.source }, { words: ['--allow-shrink'] });
    expect(foreign.exitCode, foreign.stderr).toBe(0);
    expect(foreign.stderr).toMatch(
      /mirror was filled from \S+@\S+\/source\/; this push brings \S+@\S+\/source\/$/m,
    );
    const pulled = await runProgram(['sync', mirror.source, mirror.root]);
    expect(pulled.exitCode, pulled.stderr).toBe(0);
    expect(pulled.stderr).toMatch(
      new RegExp(
        `mirror was filled from \\S+${other.source}/; this sync brings ${mirror.source}/$`,
        'm',
      ),
    );
    const next = await runProgram(['sync', mirror.root]);
    expect(next.stderr, 'it is remembered now').not.toMatch(/brings/);
  });

  test('of a program may wait for ever, and keep snapshots for ever', async () => {
    const { source, root, snapshots } = await oneSnapshot();
    writeFileSync(join(source, 'file'), 'second');
    const forever = Number.POSITIVE_INFINITY;
    const pushed = await pushTree({
      source,
      destination: `${sshd.host}:${root}`,
      remoteProgram,
      rsyncOptions: ['-e', sshd.remoteShell],
      id: 'second',
      lock: { waitMs: forever },
      retention: { keepLast: 1, graceMs: forever },
    });
    expect(pushed).toMatchObject({ outcome: 'published', id: 'second' });
    expect(snapshots()).toEqual(['first', 'second']);
  });

  test('I5: keeps a snapshot that a reader on the other host holds', async () => {
    const mirror = await oneSnapshot();
    const { stdout } = await execa(
      'sh',
      [mirror.state('reader'), '--pin', 'cwd', '--', 'sh', '-c', 'sleep 600 >&2 & pwd -P; echo $!'],
      { stderr: 'ignore' },
    );
    const [held = '', pid = ''] = stdout.split('\n');
    onTestFinished(() => {
      process.kill(Number(pid));
    });
    mirror.change({ file: 'second' });
    const words = ['--id', 'second', '--keep-last', '1', '--grace', '0'];
    const { pruned } = await pushForJson(mirror, words);
    expect(pruned).toMatchObject({ removed: [] });
    expect(readFileSync(join(held, 'file'), 'utf8')).toBe('first');
    expect(mirror.linked('current')).toBe('second');
  });

  test('retries if the source changes meanwhile, and publishes nothing incomplete', async () => {
    const mirror = await oneSnapshot();
    mirror.change({ zz: 'vanishes' });
    const running = await startSlowPush(mirror, { words: ['--retry-delay', '10ms', '--json'] });
    rmSync(join(mirror.source, 'zz'));
    const result = await running.result;
    expect(result.exitCode, transcript(result)).toBe(0);
    isWhole(mirror);
  });

  test('with --retries 0 does not try again there either', async () => {
    const mirror = await oneSnapshot();
    mirror.change({ zz: 'vanishes' });
    const running = await startSlowPush(mirror, { words: ['--retries', '0'] });
    rmSync(join(mirror.source, 'zz'));
    const result = await running.result;
    expectFailure(result, 69, /zz/);
    expect(result.stderr).not.toMatch(/follows in/);
    expect(mirror.linked('current')).toBe('first');
  });
});

test('I4, I6: a push writes an in-place mirror behind its gate, which a dropped connection leaves dirty, not closed', async () => {
  const mirror = smallMirror();
  await runForJson(['init', '--in-place', mirror.root]);
  expect(await pushForJson(mirror)).toMatchObject({ outcome: 'published', strategy: 'in-place' });
  isWhole(mirror);
  expect(await pushForJson(mirror)).toMatchObject({ outcome: 'unchanged' });
  const gate = async () => (await runForJson(['gate', 'status', mirror.root]))['state'];
  mirror.change({ slow: randomBytes(SLOW) });
  const running = startPush(sshd, mirror, {
    words: ['--retries', '0'],
    rsync: ['--bwlimit=100'],
  });
  await expect.poll(gate).toBe('closed');
  kill('the session', running, mirror.root);
  expectFailure(await running.result, 69, /the connection to upstream was lost/);
  await expect.poll(gate).toBe('dirty');
  await pushForJson(mirror);
  expect(await gate()).toBe('open');
  isWhole(mirror);
});

test('a push gives up after --drain when readers are inside an in-place mirror', async () => {
  const mirror = smallMirror();
  await runForJson(['init', mirror.root, '--in-place']);
  await pushForJson(mirror);
  const lease = mirror.state('gate.flock');
  const reader = execa('flock', ['--shared', '--no-fork', lease, 'sleep', '600'], {
    reject: false,
  });
  await eventually(() => expect(readlinkSync(`/proc/${reader.pid}/exe`)).toMatch(/\/sleep$/));
  mirror.change({ file: 'changed' });
  const result = await push(mirror, { words: ['--drain', '300ms'] });
  reader.kill('SIGKILL');
  await reader;
  expectFailure(result, 75, /readers are inside: sleep/);
});

describe('two pushes at once', () => {
  test('I4: the second push exits with 75 and names the first, and so does a sync on the other host', async () => {
    const mirror = await oneSnapshot();
    const running = await startSlowPush(mirror);
    const goOn = holdRsync(mirror.root);
    expectFailure(
      await push(mirror),
      75,
      /upstream: .* is locked: push from \S+@\S+:\/.* by \S+ \(pid \d+ on .*now: transferring/,
    );
    expectFailure(await startProgram(['sync', mirror.source, mirror.root]).result, 75, /push from/);
    const waiting = startPush(sshd, mirror, { words: ['--wait', '1h'] });
    await eventually(() => expect(waiting.saidSoFar()).toMatch(/waiting: /));
    goOn();
    expect((await running.result).exitCode).toBe(0);
    expect((await waiting.result).stdout).toMatch(/^unchanged: /);
    isWhole(mirror);
  });
});

describe('a connection that drops', () => {
  const victims = ['the session', 'ssh', 'the pusher', 'the receiver'] as const;

  test('I3, I4, I7, I9: at any moment, whichever process is killed, publishes nothing, releases the lock and loses nothing', {
    timeout: 240_000,
  }, async () => {
    const mirror = await oneSnapshot();
    const random = seededRandom();
    const size = 100_000;
    const told: string[] = [];
    let resumed = 0;
    for (let round = 0; round < 8; round += 1) {
      const victim = victims[round % victims.length] ?? 'ssh';
      // Between no file and all of them, and somewhere between two.
      const goal = Math.floor(random() * 13);
      const moment = Math.round(random() * 300);
      const before = mirror.linked('current');
      const whole = describeTree(join(mirror.root, 'current'));
      const names = Array.from({ length: 12 }, (_, at) => `round-${round}-${at}`);
      mirror.change(Object.fromEntries(names.map((name) => [name, randomBytes(size)])));
      const running = startPush(sshd, mirror, {
        words: ['--retries', '0', '--id', `killed-${round}`],
        rsync: ['--bwlimit=600'],
      });
      const staged = () => names.filter((name) => isStaged(mirror, name, size)).length;
      await expect.poll(() => pidsOf(victim, running, mirror.root)).not.toEqual([]);
      const isPublished = () => mirror.linked('current') === `killed-${round}`;
      await eventually(() => expect(staged() >= goal || isPublished()).toBe(true));
      await pause(moment);
      const killed = kill(victim, running, mirror.root);
      const { exitCode, signal } = await running.result;
      const here = `round ${round}: ${victim} killed ${killed}${moment} ms after file ${goal}: ${exitCode ?? signal}`;

      await expect
        .poll(() => pushProcesses(mirror.root).receivers.concat(rsyncProcesses(mirror.root)))
        .toEqual([]);
      const { lock } = (await statusOf(mirror.root)) as { lock: { state: { kind: string } } };
      expect(['free', 'dead'], here).toContain(lock.state.kind);
      if (isPublished()) isWhole(mirror);
      else {
        expect(exitCode, here).not.toBe(0);
        expect(mirror.linked('current'), here).toBe(before);
        expect(mirror.snapshots(), here).not.toContain(`killed-${round}`);
        expect(difference(whole, describeTree(join(mirror.root, 'current'))), here).toEqual([]);
      }

      const came = staged();
      if (came > 0 && !isPublished()) resumed += 1;
      const wasPublished = isPublished();
      const counting = countingShell(sshd, scratchDirectory());
      await pushForJson(mirror, ['--id', `after-${round}`], { remoteShell: counting.shell });
      isWhole(mirror);
      const missing = wasPublished ? 0 : names.length - came;
      expect(counting.sent(), here).toBeLessThan(missing * size + size / 2);
      told.push(`${here}, ${came} of ${names.length} files had come`);
    }
    expect(resumed, told.join('\n')).toBeGreaterThan(2);
  });

  test('is made again automatically, and the push continues', async () => {
    const mirror = await oneSnapshot();
    mirror.change({ early: randomBytes(300_000) });
    const counting = countingShell(sshd, scratchDirectory());
    const running = await startSlowPush(mirror, {
      words: ['--retry-delay', '10ms', '--json'],
      remoteShell: counting.shell,
    });
    const sent = counting.sent();
    expect(sent).toBeGreaterThan(300_000);
    kill('the session', running, mirror.root);
    const result = await running.result;
    expect(result.exitCode, transcript(result)).toBe(0);
    expect(result.json()).toMatchObject({
      outcome: 'published',
      recovered: [{ kind: 'unfinished-tree' }],
    });
    expect(counting.sent() - sent, 'early is not sent again').toBeLessThan(SLOW + 50_000);
    isWhole(mirror);
  });

  test('is not lost to a closed terminal, whose signals the push was started to ignore', async () => {
    const mirror = await oneSnapshot();
    const running = await startSlowPush(mirror, {
      words: ['--retries', '0'],
      program: { ownGroup: true, byLauncher: true, through: ['env', '--ignore-signal=HUP,INT'] },
    });
    for (const name of ['SIGHUP', 'SIGINT'] as const) process.kill(-running.pid, name);
    const result = await running.result;
    expect(result.exitCode, transcript(result)).toBe(0);
    expect(mirror.linked('current')).toBe('slow');
    isWhole(mirror);
  });

  test.for(['SIGTERM', 'SIGINT'] as const)(
    'after %s leaves everything in order',
    async (signal) => {
      const mirror = await oneSnapshot();
      const running = await startSlowPush(mirror);
      running.kill(signal);
      const result = await running.result;
      expect(result.exitCode, transcript(result)).toBe(signal === 'SIGINT' ? 130 : 143);
      expect(await statusOf(mirror.root)).toMatchObject({ lock: { state: { kind: 'free' } } });
      expect(mirror.linked('current')).toBe('first');
    },
  );
});

describe('a push fails', () => {
  const cases: readonly {
    readonly name: string;
    readonly exitCode: number;
    readonly said: readonly RegExp[];
    options(mirror: SmallMirror): PushTestOptions;
  }[] = [
    {
      name: 'mirrorlatch is not installed on the other host',
      exitCode: 69,
      said: [/no-such-program cannot be started on upstream/, /--remote-program PATH/],
      options: () => ({ words: ['--remote-program', 'no-such-program'] }),
    },
    {
      name: 'the other host has an older mirrorlatch without push',
      exitCode: 69,
      said: [
        new RegExp(`it speaks none, this one version ${PROTOCOL}`),
        /Install the same version on both hosts/,
      ],
      options: () => ({
        words: ['--remote-program', "sh -c 'echo error: unknown command receive >&2; exit 64' x"],
      }),
    },
    {
      name: 'the other host has another version',
      exitCode: 69,
      said: [new RegExp(`it speaks version 99, this one version ${PROTOCOL}`)],
      options: () => ({
        words: ['--remote-program', `echo '{"kind":"greeting","protocol":99}' #`],
      }),
    },
    {
      name: 'the login shell prints something',
      exitCode: 69,
      said: [/upstream: .* said "Welcome to this host"/, /~\/\.bashrc/],
      options: () => ({
        words: ['--remote-program', `echo Welcome to this host; ${remoteProgram}`],
      }),
    },
    {
      name: 'the other host does not answer',
      exitCode: 69,
      said: [/127\.0\.0\.1 cannot be reached: .*Connection refused/],
      options: ({ root }) => ({
        destination: `ssh://127.0.0.1:1${root}`,
        remoteShell: 'ssh -o BatchMode=yes',
        words: ['--retries', '0'],
      }),
    },
    {
      name: 'the host key is not known',
      exitCode: 77,
      said: [/cannot log in to upstream: .*Host key verification failed/, /Try it by hand/],
      options: () => ({ remoteShell: `${sshd.remoteShell} -o UserKnownHostsFile=/dev/null` }),
    },
    {
      name: 'ssh is not installed',
      exitCode: 69,
      said: [/the remote shell no-such-ssh cannot be started/, /apt-get install openssh-client/],
      options: () => ({ remoteShell: 'no-such-ssh' }),
    },
    {
      name: 'rsync is not installed on the other host',
      exitCode: 69,
      said: [/upstream: .*setpriv|rsync.* is not installed/, /apt-get install rsync/],
      options: () => ({ words: ['--remote-program', `PATH=/nowhere ${remoteProgram}`] }),
    },
    {
      name: 'ROOT is not a directory',
      exitCode: 64,
      said: [/upstream: \/dev\/null is not a directory/],
      options: () => ({ destination: `${sshd.host}:/dev/null/mirror` }),
    },
    {
      name: 'the mirror would be inside its own source',
      exitCode: 64,
      said: [/upstream: the mirror .* lies inside the source/],
      options: ({ source }) => ({ destination: `${sshd.host}:${source}/mirror` }),
    },
    {
      name: 'an option of rsync is bound to one host',
      exitCode: 64,
      said: [/--exclude-from=\/x cannot be used in a push/],
      options: () => ({ rsync: ['--exclude-from=/x'] }),
    },
  ];

  test.for(cases)('with the reason if $name', async ({ exitCode, said, options }) => {
    const mirror = smallMirror();
    const result = await push(mirror, options(mirror));
    expectFailure(result, exitCode, ...said);
    expect(existsSync(join(mirror.root, 'current'))).toBe(false);
  });

  test('with 64 if no source is given, both are remote, or ROOT is an rsync server', async () => {
    const words = [
      [['host:/mirror'], /no source is named/],
      [['a:/source', 'b:/mirror'], /both on another host/],
      [
        ['a:/x', 'b:/srv/x y;touch p'],
        /ssh b 'mirrorlatch sync a:\/x '\\''\/srv\/x y;touch p'\\'''$/m,
      ],
      [['/source', 'host::module'], /is an rsync server/],
      [['/source', 'ssh://host'], /names no mirror/],
      [['/source', '/mirror', '--remote-program', 'x'], /--remote-program needs a ROOT/],
    ] as const;
    for (const [paths, said] of words) {
      expectFailure(await startProgram(['sync', ...paths]).result, 64, said);
    }
  });

  test.skipIf(!nobodyRunsTheProgram || !runsAsRoot)(
    'with 77 without permission on the other host',
    async () => {
      const mirror = smallMirror();
      mkdirSync(mirror.root, { mode: 0o755 });
      const as = `setpriv --reuid ${nobody.uid} --regid ${nobody.gid} --clear-groups`;
      const words = ['--remote-program', `cd / && ${as} ${remoteProgram}`];
      expectFailure(await push(mirror, { words }), 77, /upstream: .*permission denied/);
    },
  );

  test.skipIf(whyNoLoopFilesystem !== '')(
    'with 74 if the disk of the other host is full',
    async () => {
      const disk = await makeLoopFilesystem('ext4', { size: 16 * 1024 * 1024 });
      onTestFinished(() => disk.remove());
      const mirror = smallMirror({ root: join(disk.path, 'mirror') });
      mirror.change({ big: randomBytes(20_000_000) });
      expectFailure(await push(mirror), 74, /upstream: .*does not fit|no space/);
    },
  );
});

test.skipIf(whyNoLoopFilesystem !== '')(
  'a push with --unclean refuse heeds the filesystem of the other host',
  async () => {
    const scratch = scratchDirectory();
    const [image, disk] = [join(scratch, 'image'), join(scratch, 'disk')];
    await makeUncleanImage(image);
    await mountImage(image, disk);
    onTestFinished(() => unmountImage(disk));
    const mirror = smallMirror({ root: join(disk, 'mirror') });
    expectFailure(await push(mirror, { words: ['--unclean', 'refuse'] }), 74, /is not clean/);
  },
);

test('a push that is ended while the other host publishes does not claim that nothing was published', async () => {
  const mirror = await oneSnapshot();
  mirror.change({ file: 'second' });
  const [started, go] = [join(mirror.home, 'started'), join(mirror.home, 'go')];
  const waits = atPublication(mirror, `: >'${started}'; until [ -e '${go}' ]; do sleep 0.1; done`);
  const PATH = standInFor('sync', join(mirror.home, 'programs'), waits);
  const program = `PATH='${PATH}' ${remoteProgram}`;
  const running = startPush(sshd, mirror, { words: ['--remote-program', program] });
  await expect.poll(() => existsSync(started)).toBe(true);
  running.kill('SIGTERM');
  await pause(500);
  writeFileSync(go, '');
  const result = await running.result;
  expectFailure(result, 143, /whether it did is not known/);
  expect(result.stderr).not.toMatch(/nothing was published/);
});

test('I16: a source that goes on during a push is published as one state of it', async () => {
  const mirror = await oneSnapshot();
  mirror.change({ index: 'v1' });
  const [runs, { source }] = [join(mirror.home, 'runs'), mirror];
  // The first server is for the plan. The second, for the transfer, finds a new index.
  const goesOn = `case "$*" in --server*)
    printf x >>'${runs}'
    if [ "$(cat '${runs}')" = xx ]; then
      echo new >'${source}/below/new'; echo 'v2: below/new' >'${source}/index'
    fi ;;
  esac`;
  const PATH = standInFor('rsync', join(mirror.home, 'programs'), goesOn);
  const result = await push(mirror, { program: { env: { PATH } } });
  expect(result.exitCode, transcript(result)).toBe(0);
  expect(result.stderr.match(/looking at the source again/g)).toHaveLength(2);
  expect(difference(describeTree(source), describeTree(join(mirror.root, 'current')))).toEqual([]);
});

test('the pushing host keeps no file of a push that is killed', async () => {
  const mirror = await oneSnapshot();
  const tmp = scratchDirectory();
  mirror.change({ slow: randomBytes(1_000_000) });
  const running = startPush(sshd, mirror, {
    rsync: ['--bwlimit=100'],
    program: { env: { TMPDIR: tmp } },
  });
  await expect.poll(() => rsyncProcesses(mirror.root)).not.toEqual([]);
  running.kill('SIGKILL');
  await running.result;
  expect(readdirSync(tmp)).toEqual([]);
});

describe('mirrorlatch receive, whatever it is sent,', () => {
  const request = (rsyncOptions: string[]): string =>
    JSON.stringify({
      kind: 'request',
      name: 'x',
      place: { bootId: '', path: '/', inode: '' },
      verb: 'sync',
      rsyncOptions,
      options: {},
    });

  test.for([
    { name: 'nothing', said: '', code: 'UNAVAILABLE' },
    { name: 'what is no JSON', said: 'hello\n', code: 'UNAVAILABLE' },
    { name: 'an unknown message', said: '{"kind":"rm"}\n', code: 'UNAVAILABLE' },
    { name: 'a line without end', said: 'x'.repeat(5_000_000), code: 'UNAVAILABLE' },
    { name: 'a wrong length', said: '{"kind":"data","run":1,"bytes":1e12}\n', code: 'UNAVAILABLE' },
    { name: 'to publish at once', said: '{"kind":"publish"}\n', code: 'UNAVAILABLE' },
    { name: 'a command to run', said: `${request(['--rsh=touch x'])}\n`, code: 'USAGE' },
    { name: 'a file to read', said: `${request(['--filter=. /etc/shadow'])}\n`, code: 'USAGE' },
    {
      name: 'an id that is a path',
      said: request([]).replace('{}', '{"id":"../x"}'),
      code: 'UNAVAILABLE',
    },
  ])('makes nothing and exits, for $name', async ({ said, code }) => {
    const root = join(scratchDirectory(), 'mirror');
    const receiver = execa(process.execPath, [bin, 'receive', root], {
      input: `${said}\n`,
      reject: false,
    });
    const { stdout, exitCode } = await receiver;
    const lines = stdout.split('\n').map((line) => JSON.parse(line));
    expect(lines[0]).toEqual({ kind: 'greeting', protocol: PROTOCOL });
    expect(lines.at(-1)).toMatchObject({ kind: 'failed', code });
    expect(exitCode).toBe(code === 'USAGE' ? 64 : 69);
    expect(existsSync(root)).toBe(false);
  });

  test('I8: never publishes without the final word of the pushing host, however complete the tree is', async () => {
    const mirror = await oneSnapshot();
    mirror.change({ file: 'second' });
    const running = pushWithoutFinalWord(mirror);
    await expect.poll(() => isStaged(mirror, 'file', 6)).toBe(true);
    await pause(1_000);
    running.kill('SIGTERM');
    expect((await running.result).exitCode).toBe(143);
    await expect.poll(() => pushProcesses(mirror.root).receivers).toEqual([]);
    expect(mirror.linked('current')).toBe('first');
    expect(mirror.snapshots()).toEqual(['first']);
  });

  test('I8: nor does it declare an in-place mirror whole', async () => {
    const mirror = smallMirror();
    await runForJson(['init', mirror.root, '--in-place']);
    await pushForJson(mirror);
    mirror.change({ file: 'second' });
    const running = pushWithoutFinalWord(mirror);
    const file = join(mirror.root, 'gate/live/file');
    await expect.poll(() => readFileSync(file, 'utf8')).toBe('second');
    await pause(1_000);
    running.kill('SIGTERM');
    expect((await running.result).exitCode).toBe(143);
    await expect.poll(() => pushProcesses(mirror.root).receivers).toEqual([]);
    expect(await runForJson(['gate', 'status', mirror.root])).toMatchObject({ state: 'dirty' });
  });
});

/** Starts a push whose connection passes everything except the final word. */
function pushWithoutFinalWord(mirror: SmallMirror): RunningProgram {
  const shell = join(scratchDirectory(), 'shell');
  const filter = `process.stdin.on('data', (chunk) => process.stdout.write(chunk.toString('latin1').replace('"kind":"publish"', '"kind":"alive"'), 'latin1'))`;
  writeFileSync(shell, `#!/bin/sh\n"$NODE" -e "$FILTER" | ${sshd.remoteShell} "$@"\n`);
  chmodSync(shell, 0o755);
  return startPush(sshd, mirror, {
    remoteShell: shell,
    words: ['--retries', '0'],
    program: { env: { NODE: process.execPath, FILTER: filter } },
  });
}

/** In bytes; transferred at about 100 KiB per second. */
const SLOW = 600_000;

/** Starts a push, and resolves when rsync is in the middle of a file. */
async function startSlowPush(
  mirror: SmallMirror,
  options: PushTestOptions = {},
): Promise<RunningProgram> {
  mirror.change({ slow: randomBytes(SLOW) });
  const running = startPush(sshd, mirror, {
    ...options,
    words: ['--id', 'slow', ...(options.words ?? [])],
    rsync: ['--bwlimit=100'],
  });
  const tree = mirror.state('staging', 'slow');
  await expect
    .poll(() => (existsSync(tree) ? readdirSync(tree) : []))
    .toContainEqual(expect.stringMatching(/^\.slow\.\w{6}$/));
  return running;
}

/** @returns true if it came too late. */
function kill(victim: string, running: RunningProgram, root: string): string {
  const pids = pidsOf(victim, running, root);
  for (const pid of pids) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It has already ended.
    }
  }
  return pids.length === 0 ? 'in vain ' : '';
}

function pidsOf(victim: string, running: RunningProgram, root: string): readonly number[] {
  const { sessions, clients, receivers } = pushProcesses(root);
  if (victim === 'the pusher') return [running.pid];
  if (victim === 'the session') return sessions;
  return victim === 'ssh' ? clients : receivers;
}

/** Whether a tree behind the gate has a complete file of this name. */
function isStaged(mirror: SmallMirror, name: string, size: number): boolean {
  return readdirSync(mirror.state('staging')).some((tree) => {
    const path = mirror.state('staging', tree, name);
    return existsSync(path) && statSync(path).size === size;
  });
}

function manyFiles(number: number): Record<string, string> {
  return Object.fromEntries(Array.from({ length: number }, (_, at) => [`many/${at}`, '']));
}

function isWhole(mirror: SmallMirror): void {
  expect(
    difference(describeTree(mirror.source), describeTree(join(mirror.root, 'current'))),
  ).toEqual([]);
}
