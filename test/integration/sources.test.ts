import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { buildAwkwardTree } from '../support/awkward-tree.ts';
import { freePort } from '../support/daemon.ts';
import { eventually } from '../support/eventually.ts';
import {
  type ProgramResult,
  runForJson,
  runProgram,
  startProgram,
  transcript,
} from '../support/program.ts';
import { type RsyncDaemon, startRsyncDaemon } from '../support/rsyncd.ts';
import { makeScratch, scratchDirectory } from '../support/scratch.ts';
import { type SshDaemon, startSshDaemon } from '../support/sshd.ts';
import { describeTree, difference } from '../support/tree.ts';

const scratch = makeScratch();
const served = join(scratch.path, 'served');
const password = 'let me in';
let rsyncd: RsyncDaemon;
let sshd: SshDaemon;

beforeAll(async () => {
  mkdirSync(served);
  rsyncd = await startRsyncDaemon([
    { name: 'open', path: served },
    { name: 'narrow', path: served, maxConnections: 1 },
    { name: 'guarded', path: served, auth: { user: 'reader', password } },
  ]);
  sshd = await startSshDaemon();
});

afterAll(async () => {
  await rsyncd?.stop();
  await sshd?.stop();
  await scratch.remove();
});

/** A kind of source: how to address a directory below `served`, and the options of rsync. */
interface Transport {
  readonly name: string;
  /** Its own directory below `served`. */
  readonly place: string;
  source(directory: string): string;
  rsyncOptions(): readonly string[];
  /** The bytes that the source has sent since the server was started. */
  sent(): Promise<number>;
}

/** The file to which the remote shell of the ssh tests copies all that the other side sends. */
const received = join(scratch.path, 'received-by-ssh');

const remote: readonly Transport[] = [
  {
    name: 'rsync://host/module/path',
    place: 'url',
    source: (directory) => `${rsyncd.url('open')}/${directory}`,
    rsyncOptions: () => [],
    sent: sentByDaemon,
  },
  {
    name: 'host::module/path',
    place: 'double-colon',
    source: (directory) => `127.0.0.1::open/${directory}`,
    rsyncOptions: () => [`--port=${rsyncd.port}`],
    sent: sentByDaemon,
  },
  {
    name: 'host:path over ssh',
    place: 'ssh',
    source: (directory) => `${sshd.host}:${join(served, directory)}`,
    // Otherwise rsync gives its shell a non-blocking pipe, and tee loses what does not fit.
    rsyncOptions: () => ['-e', countingShell(), '--blocking-io'],
    sent: () => Promise.resolve(statSync(received).size),
  },
];

const local: Transport = {
  name: 'a local directory',
  place: 'local',
  source: (directory) => join(served, directory),
  rsyncOptions: () => [],
  sent: () => Promise.resolve(0),
};

describe.for([local, ...remote])('from $name', (transport) => {
  const sync = (directory: string, root: string) =>
    runForJson(['sync', transport.source(directory), root, '--', ...transport.rsyncOptions()]);

  test('the awkward tree arrives byte for byte, and a second sync finds nothing to do', async () => {
    const root = join(scratchDirectory(), 'mirror');
    const directory = `awkward ${transport.place}`;
    buildAwkwardTree(join(served, directory));
    const first = await sync(directory, root);
    expect(first).toMatchObject({ outcome: 'published' });
    expect(
      difference(describeTree(join(served, directory)), describeTree(join(root, 'current'))),
    ).toEqual([]);
    expect(await sync(directory, root)).toMatchObject({ outcome: 'unchanged' });
  });

  test('a trailing slash of the source makes no difference', async () => {
    const root = join(scratchDirectory(), 'mirror');
    makeServed('slash', { 'below/file': 'content' });
    await sync('slash', root);
    const [own, ...rest] = [transport.source('slash/'), root];
    const again = await runForJson(['sync', own, ...rest, '--', ...transport.rsyncOptions()]);
    expect(again).toMatchObject({ outcome: 'unchanged' });
    expect(readFileSync(join(root, 'current/below/file'), 'utf8')).toBe('content');
  });
});

describe.for(remote)('from $name', (transport) => {
  const sync = (directory: string, root: string, ...options: string[]) =>
    runForJson([
      'sync',
      transport.source(directory),
      root,
      ...options,
      '--',
      ...transport.rsyncOptions(),
    ]);

  test('I7: only the difference of a changed or renamed file is transferred', async () => {
    const root = join(scratchDirectory(), 'mirror');
    const directory = `delta ${transport.place}`;
    const size = 2_000_000;
    const old = noise(size, 1);
    const big = noise(size, 2);
    makeServed(directory, { 'package_1.0-1_all.deb': old, big, small: 'small' });
    await sync(directory, root);
    const before = await transport.sent();
    expect(before).toBeGreaterThan(2 * size);

    const renamed = Buffer.concat([
      old.subarray(0, size / 2),
      Buffer.from('+'),
      old.subarray(size / 2),
    ]);
    makeServed(directory, {
      'package_1.0-2_all.deb': renamed,
      big: Buffer.concat([big, Buffer.from('appended')]),
    });
    rmSync(join(served, directory, 'package_1.0-1_all.deb'));
    // To the shrink guard the old name of a renamed file is a loss.
    const second = await sync(directory, root, '--allow-shrink');
    expect(second).toMatchObject({ outcome: 'published' });
    expect((await transport.sent()) - before).toBeLessThan(size / 20);
    expect(
      difference(describeTree(join(served, directory)), describeTree(join(root, 'current'))),
    ).toEqual([]);
  });

  test('a missing path ends the sync with 66, and nothing is published', async () => {
    const root = join(scratchDirectory(), 'mirror');
    const result = await runProgram([
      'sync',
      transport.source('no such directory'),
      root,
      '--retry-delay',
      '30s',
      '--',
      ...transport.rsyncOptions(),
    ]);
    expectFailure(result, 66, /no such directory/);
    expect(existsSync(join(root, 'current'))).toBe(false);
  });
});

test('a mirror on another host is refused as a source before anything comes, and what is current in it is named', async () => {
  const [upstream, there, here] = ['upstream', 'there', 'here'].map((name) =>
    join(served, `mirrored-${name}`),
  ) as [string, string, string];
  mkdirSync(upstream);
  writeFileSync(join(upstream, 'file'), 'content');
  await runForJson(['sync', upstream, there]);
  const url = `${rsyncd.url('open')}/mirrored-there`;
  const words = /is the root of a mirror, not a tree/;
  const refused = await runProgram(['sync', url, here]);
  expectFailure(refused, 64, words);
  expect(refused.stderr).toMatch(/as the source: '?rsync:\S+\/mirrored-there\/current'?$/m);
  expect(existsSync(join(here, 'current'))).toBe(false);
  expect(await runForJson(['sync', `${url}/current`, here])).toMatchObject({
    outcome: 'published',
  });
});

describe('an rsync daemon', () => {
  test('that has too many connections is tried again until it has room', async () => {
    const root = join(scratchDirectory(), 'mirror');
    makeServed('busy', { file: 'content' });
    const place = await rsyncd.occupy('narrow');
    onTestFinished(() => place.release());
    const sync = startProgram([
      'sync',
      `${rsyncd.url('narrow')}/busy`,
      root,
      '--retries',
      '8',
      '--retry-delay',
      '200ms',
    ]);
    await refusal();
    place.release();
    const result = await sync.result;
    expect(result.exitCode, transcript(result)).toBe(0);
    expect(readFileSync(join(root, 'current/file'), 'utf8')).toBe('content');
  });

  test('that never has room ends the sync with 69 after the allowed number of tries', async () => {
    const root = join(scratchDirectory(), 'mirror');
    makeServed('busy', { file: 'content' });
    const place = await rsyncd.occupy('narrow');
    onTestFinished(() => place.release());
    const before = countRefusals();
    const result = await runProgram([
      'sync',
      `${rsyncd.url('narrow')}/busy`,
      root,
      '--retries',
      '2',
      '--retry-delay',
      '100ms',
    ]);
    expectFailure(result, 69, /max connections/);
    expect(countRefusals() - before).toBe(3);
    expect(existsSync(join(root, 'current'))).toBe(false);
  });

  test('that does not know the module ends the sync with 66 at once', async () => {
    const root = join(scratchDirectory(), 'mirror');
    const result = await runProgram(['sync', rsyncd.url('other'), root]);
    expectFailure(result, 66, /Unknown module 'other'/);
    expect(result.stderr).toMatch(/\. List its modules with: rsync rsync:\/\/127\.0\.0\.1:\d+\/$/m);
    expect(result.stderr, 'it did not try again').not.toMatch(/follows in/);
    expect(existsSync(join(root, 'current'))).toBe(false);
  });

  test('with a password accepts the right one, and a wrong one ends the sync with 77 at once', async () => {
    const home = scratchDirectory();
    makeServed('secret', { file: 'content' });
    const source = `rsync://reader@127.0.0.1:${rsyncd.port}/guarded/secret`;
    const attempt = (root: string, secret: string, ...more: string[]) =>
      runProgram(['sync', source, join(home, root), '--retry-delay', '30s', ...more], {
        env: { RSYNC_PASSWORD: secret },
      });
    expectFailure(await attempt('wrong', 'guess'), 77, /auth failed/);
    const right = await attempt('right', password);
    expect(right.exitCode, transcript(right)).toBe(0);

    const passwordFile = join(home, 'password');
    writeFileSync(passwordFile, `${password}\n`, { mode: 0o600 });
    const byFile = await attempt('file', 'guess', '--', `--password-file=${passwordFile}`);
    expect(byFile.exitCode, transcript(byFile)).toBe(0);
  });

  test('that starts after some tries serves the sync', async () => {
    const root = join(scratchDirectory(), 'mirror');
    const port = await freePort();
    makeServed('late', { file: 'content' });
    const sync = startProgram([
      'sync',
      `rsync://127.0.0.1:${port}/open/late`,
      root,
      '--retries',
      '10',
      '--retry-delay',
      '300ms',
    ]);
    await eventually(() => expect(sync.saidSoFar()).toMatch(/try 1 of 10 follows/));
    const late = await startRsyncDaemon([{ name: 'open', path: served }], port);
    const result = await sync.result;
    await late.stop();
    expect(result.exitCode, transcript(result)).toBe(0);
  });

  test('that does not run ends the sync with 69 after its tries', async () => {
    const root = join(scratchDirectory(), 'mirror');
    const result = await runProgram([
      'sync',
      'rsync://127.0.0.1:1/module',
      root,
      '--retries',
      '1',
      '--retry-delay',
      '100ms',
    ]);
    expectFailure(result, 69, /refused/);
  });
});

describe('a remote shell', () => {
  const trySync = (source: string, root: string, options: readonly string[]) =>
    runProgram([
      'sync',
      source,
      root,
      '--retries',
      '1',
      '--retry-delay',
      '100ms',
      '--',
      ...options,
    ]);

  test('that is not installed ends the sync with 69 and a hint how to install it', async () => {
    const root = join(scratchDirectory(), 'mirror');
    const result = await runProgram([
      'sync',
      'host:/path',
      root,
      '--retry-delay',
      '30s',
      '--',
      '-e',
      'no-such-remote-shell',
    ]);
    expectFailure(result, 69, /remote shell|no-such-remote-shell/);
    expect(result.stderr).toContain('apt-get install openssh-client');
  });

  test('that cannot connect ends the sync with 69', async () => {
    const root = join(scratchDirectory(), 'mirror');
    const result = await trySync('127.0.0.1:/path', root, [
      '-e',
      'ssh -o BatchMode=yes -o ConnectTimeout=5 -p 1',
    ]);
    expectFailure(result, 69, /Connection refused/);
  });

  test('with an unknown host key ends the sync with 77', async () => {
    const root = join(scratchDirectory(), 'mirror');
    const result = await trySync('upstream:/path', root, [
      '-e',
      `${sshd.remoteShell} -o UserKnownHostsFile=/dev/null`,
    ]);
    expectFailure(result, 77, /Host key verification failed/);
  });

  test('that finds no rsync on the other host makes the sync report it', async () => {
    const root = join(scratchDirectory(), 'mirror');
    const result = await trySync(`${sshd.host}:${served}`, root, [
      '-e',
      sshd.remoteShell,
      '--rsync-path=no-such-rsync',
    ]);
    expectFailure(result, 69, /no-such-rsync/);
    expect(result.stderr).toContain('--rsync-path');
  });
});

test('an rsync at the other end that does not know --info, as before 3.1, is planned with, and what is left out named', async () => {
  const [root, old] = [join(scratchDirectory(), 'mirror'), join(scratchDirectory(), 'old')];
  const script = [
    '#!/bin/sh',
    'shift',
    'case "$*" in *--info*) echo "rsync: on remote machine: $4: unknown option" >&2; exit 1;; esac',
    'exec "$@"',
  ];
  writeFileSync(old, `${script.join('\n')}\n`, { mode: 0o755 });
  makeServed('old', { file: 'content' });
  symlinkSync('/etc', join(served, 'old/out'));
  const words = ['sync', `host:${join(served, 'old')}`, root, '--retries', '0', '--', '-e', old];
  const { plan } = await runForJson(words);
  expect(plan).toMatchObject({ leftOut: [{ why: 'unsafe-link', count: 1 }] });
  makeServed('old', { file: 'changed' });
  expect(await runForJson(['sync', root])).toMatchObject({ outcome: 'published' });
});

test('a remote shell that prints something by itself ends the sync with 69 and a look at ~/.bashrc', async () => {
  const root = join(scratchDirectory(), 'mirror');
  const chatty = join(scratchDirectory(), 'chatty');
  writeFileSync(chatty, '#!/bin/sh\nshift; echo Welcome; exec sh -c "$*"\n', { mode: 0o755 });
  const result = await runProgram(['sync', `host:${served}`, root, '--', '-e', chatty]);
  expectFailure(result, 69, /shell at the other end prints something by itself/);
  expect(result.stderr).toContain('~/.bashrc on that host: for a command, such as ssh host true,');
});

describe('a source that is taken for one on another host, although it is here,', () => {
  test.each([
    ['sync', 'a:b/src', 'mirror', '--retries', '0', '--', '-e', 'false'],
    ['sync', 'src', 'a:b/src', '--retries', '0', '--', '-e', 'false'],
    ['init', 'mirror', '--source', 'a:b/src'],
  ])('is pointed out at once by %j', async (...words) => {
    const home = scratchDirectory();
    mkdirSync(join(home, 'a:b/src'), { recursive: true });
    mkdirSync(join(home, 'src'));
    const { stderr } = await runProgram(words, { cwd: home });
    expect(stderr).toMatch(/^mirrorlatch: warning: a:b\/src is taken .* is written \.\/a:b\/src$/m);
  });
});

test.each([['a:b/new'], ['a:b/new/deeper']])(
  'a ROOT to be made, %s, in a directory that is here is pointed out at once',
  async (root) => {
    const home = scratchDirectory();
    mkdirSync(join(home, 'a:b/src'), { recursive: true });
    const words = ['sync', './a:b/src', root, '--retries', '0', '--', '-e', 'false'];
    const { stderr } = await runProgram(words, { cwd: home });
    const said = `mirrorlatch: warning: ${root} is taken for a path on another host; the path here is written ./${root}\n`;
    expect(stderr).toContain(said);
    const other = await runProgram(words.with(2, `c:${root}`), { cwd: home });
    expect(other.stderr).not.toContain('is taken for');
  },
);

describe('a source that rsync would misread', () => {
  test.for([
    '-oProxyCommand=touch proof:/path',
    '-evil:/path',
    '-evil::module',
    'rsync://-evil/module',
    'user@-evil:/path',
    '::module',
    ':/path',
    '',
  ])('such as %j is refused with 64 and changes nothing', async (source) => {
    const home = scratchDirectory();
    // `init` takes a source too, and there a leading dash does get past the options.
    for (const args of [
      ['sync', source, 'mirror'],
      ['init', 'mirror', `--source=${source}`],
    ]) {
      const result = await runProgram(args, { cwd: home });
      expect(result.exitCode, transcript(result)).toBe(64);
      expect(result.stderr).not.toBe('');
      expect(existsSync(join(home, 'mirror'))).toBe(false);
      expect(existsSync(join(home, 'proof'))).toBe(false);
    }
  });

  test.for(['a:b', 'host::module', '-dash', ' ', 'new\nline', '*', '#x'])(
    'such as the local directory %j is mirrored if it is written as a path',
    async (name) => {
      const home = scratchDirectory();
      mkdirSync(join(home, name));
      writeFileSync(join(home, name, 'file'), 'content');
      await runForJson(['sync', `./${name}`, 'relative'], { cwd: home });
      await runForJson(['sync', join(home, name), join(home, 'absolute')]);
      for (const root of ['relative', 'absolute']) {
        expect(readFileSync(join(home, root, 'current/file'), 'utf8')).toBe('content');
      }
    },
  );
});

describe('a local source', () => {
  test('that does not exist ends with 66 and makes no mirror', async () => {
    const home = scratchDirectory();
    const result = await runProgram(['sync', join(home, 'absent'), join(home, 'mirror')]);
    expectFailure(result, 66, /absent/);
    expect(existsSync(join(home, 'mirror'))).toBe(false);
  });

  test('that is a file is refused', async () => {
    const home = scratchDirectory();
    writeFileSync(join(home, 'file'), 'content');
    const result = await runProgram(['sync', join(home, 'file'), join(home, 'mirror')]);
    expect([64, 66]).toContain(result.exitCode);
    expect(result.stderr).toContain(join(home, 'file'));
    expect(existsSync(join(home, 'mirror'))).toBe(false);
  });

  test('that vanishes after a sync leaves the published snapshots', async () => {
    const home = scratchDirectory();
    const { source, root } = makeLocal(home);
    const { id } = await runForJson(['sync', source, root]);
    rmSync(source, { recursive: true });
    expectFailure(await runProgram(['sync', root]), 66, /source/);
    expect(readFileSync(join(root, 'snapshots', String(id), 'file'), 'utf8')).toBe('content');
    expect(readFileSync(join(root, 'current/file'), 'utf8')).toBe('content');
  });

  test('that is misspelt is no failed sync of the mirror, and the remembered one is named', async () => {
    const home = scratchDirectory();
    const { source, root } = makeLocal(home);
    await runForJson(['sync', source, root]);
    const misspelt = await runProgram(['sync', `${source}x`, root]);
    const wayOut = `remembers ${source}/; to sync from there: mirrorlatch sync ${root}\n`;
    expectFailure(misspelt, 66, new RegExp(wayOut));
    expect(await runForJson(['status', root])).toMatchObject({
      isHealthy: true,
      lastSync: { event: 'published' },
    });
  });

  test.for([
    { remembered: 'disk/source', named: 'link' },
    { remembered: 'link', named: 'disk/source' },
    { remembered: 'link/below', named: 'disk/source/below' },
  ])(
    'that is the same through a symlink to what is missing now is a failed sync: $named',
    async ({ remembered, named }) => {
      const home = scratchDirectory();
      const root = join(home, 'mirror');
      mkdirSync(join(home, 'disk/source/below'), { recursive: true });
      writeFileSync(join(home, 'disk/source/below/file'), 'content');
      symlinkSync('disk/source', join(home, 'link'));
      await runForJson(['sync', join(home, remembered), root]);
      renameSync(join(home, 'disk'), join(home, 'gone'));
      expectFailure(await runProgram(['sync', join(home, named), root]), 66, /./);
      expect((await runProgram(['status', root])).exitCode).toBe(69);
    },
  );

  test('that is missing is a failed sync if it was said to be meant', async () => {
    const home = scratchDirectory();
    const { source, root } = makeLocal(home);
    await runForJson(['sync', source, root]);
    const words = ['sync', join(home, 'none'), root, '--other-source'];
    expectFailure(await runProgram(words), 66, /none/);
    expect((await runProgram(['status', root])).exitCode).toBe(69);
  });

  test('whose symlink leads back to itself through what is missing is missing', async () => {
    const home = scratchDirectory();
    const { source, root } = makeLocal(home);
    await runForJson(['sync', source, root]);
    symlinkSync('none/../loop', join(home, 'loop'));
    expectFailure(await runProgram(['sync', join(home, 'loop'), root]), 66, /loop/);
  });

  test('that is a symlink to a directory is followed', async () => {
    const home = scratchDirectory();
    const { source, root } = makeLocal(home);
    symlinkSync(source, join(home, 'link'));
    await runForJson(['sync', join(home, 'link'), root]);
    expect(difference(describeTree(source), describeTree(join(root, 'current')))).toEqual([]);
  });
});

describe('the source of a mirror', () => {
  test('is remembered by the first sync as an absolute path with its rsync options', async () => {
    const home = scratchDirectory();
    const { source } = makeLocal(home);
    writeFileSync(join(source, 'excluded'), 'never copied');
    await runForJson(['sync', './source', 'mirror', '--', '--exclude=excluded'], { cwd: home });
    writeFileSync(join(source, 'new'), 'later');
    const later = await runForJson(['sync', join(home, 'mirror')], { cwd: '/' });
    expect(later).toMatchObject({ outcome: 'published' });
    expect(readFileSync(join(home, 'mirror/current/new'), 'utf8')).toBe('later');
    expect(existsSync(join(home, 'mirror/current/excluded'))).toBe(false);
  });

  test('is remembered by init, which copies nothing', async () => {
    const home = scratchDirectory();
    const { source, root } = makeLocal(home);
    await runForJson(['init', root, '--source', source]);
    expect(existsSync(join(root, 'current'))).toBe(false);
    await runForJson(['sync', root]);
    expect(readFileSync(join(root, 'current/file'), 'utf8')).toBe('content');
  });

  test('is required if neither init nor a sync has named one', async () => {
    const root = join(scratchDirectory(), 'mirror');
    await runForJson(['init', root]);
    const result = await runProgram(['sync', root]);
    expect([64, 66, 78]).toContain(result.exitCode);
    expect(result.stderr).toMatch(/source/);
  });
});

function makeServed(directory: string, files: Readonly<Record<string, string | Buffer>>): void {
  for (const [path, content] of Object.entries(files)) {
    const file = join(served, directory, path);
    mkdirSync(join(file, '..'), { recursive: true });
    writeFileSync(file, content);
  }
}

function makeLocal(home: string): { source: string; root: string } {
  const source = join(home, 'source');
  mkdirSync(source);
  writeFileSync(join(source, 'file'), 'content');
  return { source, root: join(home, 'mirror') };
}

/** Bytes without repetition, so that neither compression nor a delta can save any. */
function noise(size: number, seed: number): Buffer {
  const bytes = Buffer.alloc(size);
  let state = seed;
  for (let index = 0; index < size; index += 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[index] = state >>> 24;
  }
  return bytes;
}

/** A remote shell that copies all that the other side sends to a file. */
function countingShell(): string {
  const shell = join(scratch.path, 'remote-shell');
  writeFileSync(shell, `#!/bin/sh\n${sshd.remoteShell} "$@" | tee -a ${received}\n`);
  chmodSync(shell, 0o755);
  return shell;
}

/** Waits for the daemon, which logs a connection at its end, after the client has gone. */
async function sentByDaemon(): Promise<number> {
  const log = () => readFileSync(rsyncd.log, 'utf8');
  const pids = (what: RegExp) => [...log().matchAll(what)].map(([, pid]) => pid);
  await eventually(() =>
    expect(pids(/\[(\d+)\] (?:sent [\d,]+ bytes|rsync error:)/g)).toEqual(
      expect.arrayContaining(pids(/\[(\d+)\] rsync on /g)),
    ),
  );
  const counts = log().matchAll(/ sent ([\d,]+) bytes {2}received/g);
  return [...counts].reduce((sum, [, count = '']) => sum + Number(count.replaceAll(',', '')), 0);
}

function countRefusals(): number {
  return readFileSync(rsyncd.log, 'utf8').split(/max connections \(\d+\) reached/).length - 1;
}

/** Waits until the daemon has refused another client. */
async function refusal(): Promise<void> {
  const before = countRefusals();
  await expect.poll(countRefusals).toBeGreaterThan(before);
}

function expectFailure(result: ProgramResult, exitCode: number, said?: RegExp): void {
  expect(result.exitCode, transcript(result)).toBe(exitCode);
  expect(result.stderr).toMatch(/^mirrorlatch: /m);
  if (said !== undefined) expect(result.stderr).toMatch(said);
}
