import { randomBytes } from 'node:crypto';
import {
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ProgramOptions, runForJson, runProgram } from '../support/program.ts';
import { runPush } from '../support/push.ts';
import { type RsyncDaemon, startRsyncDaemon } from '../support/rsyncd.ts';
import { makeScratch, scratchDirectory } from '../support/scratch.ts';
import { type SmallMirror, smallMirror } from '../support/small-mirror.ts';
import { type SshDaemon, startSshDaemon } from '../support/sshd.ts';
import { atTransfer, standInFor } from '../support/stand-in.ts';
import { describeTree, difference } from '../support/tree.ts';

const scratch = makeScratch();
let rsyncd: RsyncDaemon;
let sshd: SshDaemon;

beforeAll(async () => {
  rsyncd = await startRsyncDaemon([{ name: 'served', path: scratch.path }]);
  sshd = await startSshDaemon();
});

afterAll(async () => {
  await rsyncd?.stop();
  await sshd?.stop();
  await scratch.remove();
});

const MEGABYTES = 2_000_000;

interface Way {
  init: readonly string[];
  words: readonly string[];
  isPushed?: true;
}

/** How a mirror is brought up to its source. */
const ways: Record<string, Way> = {
  'by a plan': { init: [], words: [] },
  'by a plan that keeps hard links': { init: [], words: ['--', '-H'] },
  'by a plan of copies': { init: [], words: ['--strategy', 'copy'] },
  'by a whole pass': { init: [], words: ['--strategy', 'link-dest'] },
  'by a whole pass that keeps hard links': {
    init: [],
    words: ['--strategy', 'link-dest', '--', '-H'],
  },
  'by checksums': { init: [], words: ['--', '-c'] },
  'in place': { init: ['--in-place'], words: [] },
  'in place, with hard links': { init: ['--in-place'], words: ['--', '-H'] },
  'in place without --delay-updates': {
    init: ['--in-place'],
    words: ['--without', 'temp-excludes'],
  },
  'by a push': { init: [], words: [], isPushed: true },
};

/** A mirror of a directory that the daemon serves, and how to sync it. */
interface ServedMirror extends SmallMirror {
  bringUp(words?: readonly string[], program?: ProgramOptions): Promise<void>;
  /** The bytes of content that came with the last sync. */
  received(): unknown;
}

async function servedMirror(way: Way): Promise<ServedMirror> {
  const home = join(scratch.path, randomBytes(6).toString('hex'));
  const root = join(scratchDirectory(), 'mirror');
  const mirror = smallMirror({ home, root });
  const url = mirror.source.replace(scratch.path, rsyncd.url('served'));
  await runForJson(['init', root, ...way.init]);
  return {
    ...mirror,
    bringUp: async (words = way.words, program = {}) => {
      const more = ['--allow-shrink', ...words];
      if (!way.isPushed) {
        await runForJson(['sync', `${url}/`, root, ...more], program);
        return;
      }
      const pushed = await runPush(sshd, mirror, { words: more, program });
      expect(pushed.exitCode, pushed.stderr).toBe(0);
    },
    received: () => mirror.history().at(-1)?.['newBytes'],
  };
}

function expectEqual({ source, root }: SmallMirror): void {
  const current = join(root, 'current');
  expect(difference(describeTree(source), describeTree(current))).toEqual([]);
}

describe.for(Object.entries(ways))('%s', ([, way]) => {
  test('of a package with a new version only what has changed is transferred', async () => {
    const mirror = await servedMirror(way);
    const [one, other] = [randomBytes(MEGABYTES), randomBytes(MEGABYTES)];
    mirror.change({ 'pool/foo_1.9-1_amd64.deb': one, 'pool/bar-1.0-2.fc40.x86_64.rpm': other });
    await mirror.bringUp();
    mirror.change({
      'pool/foo_1.9-1_amd64.deb': null,
      'pool/foo_1.10-1_amd64.deb': Buffer.concat([one, Buffer.from('more')]),
      'pool/bar-1.1-1.fc41.x86_64.rpm': Buffer.concat([Buffer.from('more'), other]),
    });
    await mirror.bringUp();
    expectEqual(mirror);
    expect(mirror.received()).toBeLessThan(10_000);
    expect(existsSync(join(mirror.root, '.mirrorlatch/staging/.basis'))).toBe(false);
  });

  test('a file that becomes like its earlier version during the sync has its own content', async () => {
    const mirror = await servedMirror(way);
    const [old, put] = [randomBytes(100_000), randomBytes(100_000)];
    mirror.change({ 'pool/foo-1.iso': old, 'pool/foo-2.iso': null });
    utimesSync(join(mirror.source, 'pool/foo-1.iso'), 1_600_000_000, 1_600_000_000);
    await mirror.bringUp();
    mirror.change({ 'pool/foo-2.iso': Buffer.concat([old, old]) });
    const moved = join(mirror.home, 'moved');
    writeFileSync(moved, put);
    utimesSync(moved, 1_600_000_000, 1_600_000_000);
    // Another name of the file, which has no earlier version by itself.
    const [file, other] = ['pool/foo-2.iso', 'pool/z link'].map((name) =>
      join(mirror.source, name),
    );
    linkSync(String(file), String(other));
    const script = `[ ! -e '${moved}' ] || { mv '${moved}' '${file}'; ln -f '${file}' '${other}'; }`;
    const PATH = standInFor('rsync', join(scratchDirectory(), 'bin'), atTransfer(script));
    // A look would only see that size and time are those of the source.
    await mirror.bringUp(['--without', 'settle', ...way.words], { env: { PATH } });
    expectEqual(mirror);
  });
});

test('the user can choose that files are transferred as a whole', async () => {
  const mirror = await servedMirror({ init: [], words: [] });
  let content = randomBytes(100_000);
  mirror.change({ 'foo-1.iso': content });
  await mirror.bringUp();
  for (const [at, options] of [['-W'], ['--no-fuzzy'], ['--size-only'], ['--no-perms']].entries()) {
    content = Buffer.concat([content, Buffer.from('more')]);
    mirror.change({ [`foo-${at + 1}.iso`]: null, [`foo-${at + 2}.iso`]: content });
    await mirror.bringUp(['--', ...options]);
    expect(mirror.received(), options.join(' ')).toBe(content.length);
  }
});

test('no earlier version is looked for behind a symlink, nor is one used', async () => {
  const mirror = await servedMirror({ init: [], words: ['--without', 'safe-links'] });
  const content = randomBytes(100_000);
  mirror.change({ 'real/foo-1.iso': content });
  symlinkSync('real', join(mirror.source, 'link'));
  symlinkSync('real/foo-1.iso', join(mirror.source, 'bar-1.iso'));
  await mirror.bringUp();
  mirror.change({
    link: null,
    'link/foo-2.iso': Buffer.concat([content, content]),
    'bar-2.iso': Buffer.concat([content, content]),
  });
  await mirror.bringUp();
  expectEqual(mirror);
  expect(mirror.received()).toBe(4 * content.length);
});

test('what a killed sync has left of earlier versions is of no consequence', async () => {
  const mirror = await servedMirror({ init: ['--in-place'], words: [] });
  const content = randomBytes(100_000);
  mirror.change({ 'foo-1.iso': content });
  await mirror.bringUp();
  mirror.change({ 'foo-1.iso': null, 'foo-2.iso': Buffer.concat([content, content]) });
  const PATH = standInFor(
    'rsync',
    join(scratchDirectory(), 'bin'),
    atTransfer('kill -9 $PPID; exit 9'),
  );
  const url = mirror.source.replace(scratch.path, rsyncd.url('served'));
  const killed = await runProgram(['sync', `${url}/`, mirror.root, '--allow-shrink'], {
    env: { PATH },
  });
  expect(killed.signal).toBe('SIGKILL');
  const left = join(mirror.root, '.mirrorlatch/staging/.basis');
  expect(readdirSync(left)).toEqual(['foo-2.iso']);
  await mirror.bringUp();
  expectEqual(mirror);
  expect(existsSync(left)).toBe(false);
});

/** Picks one of some values. */
type Pick = <T>(...values: T[]) => T;

/** Names, sizes and times that are likely to be taken for each other; contents have parts in common. */
function changeAtRandom({ source, root, change }: SmallMirror, pick: Pick): void {
  const parts = [randomBytes(100_000), randomBytes(100_000)];
  for (let count = 0; count < 12; count += 1) {
    const directory = pick('.', 'pool', '\u00e9/below');
    const version = pick('-', '_') + pick('1.0', '1.1', '2', '1.0-1');
    const name = join(
      directory,
      pick('foo', 'foo-bar', 'x86_64') + version + pick('.iso', '_amd64.deb'),
    );
    // Of a file of the same name, size and time rsync would look no further.
    if (existsSync(join(source, name)) || existsSync(join(root, 'current', name))) {
      change({ [name]: null });
      continue;
    }
    const time = pick(1_600_000_000, 1_700_000_000);
    change({ [name]: pick(...parts).subarray(0, pick(16_384, 20_000, 20_001, 100_000)) });
    utimesSync(join(source, name), time, time);
  }
}

test.for(Object.entries(ways).filter(([, { isPushed }]) => !isPushed))(
  '%s: whatever the names, sizes and times, the tree is that of the source',
  async ([, way]) => {
    const mirror = await servedMirror(way);
    mkdirSync(join(mirror.source, 'pool'));
    mkdirSync(join(mirror.source, '\u00e9/below'), { recursive: true });
    const generations = fc.asyncProperty(fc.gen(), async (draw) => {
      for (let generation = 0; generation < 3; generation += 1) {
        changeAtRandom(mirror, (...values) => draw(fc.constantFrom, ...values));
        await mirror.bringUp();
        expectEqual(mirror);
      }
    });
    await fc.assert(generations, { numRuns: 1, endOnFailure: true });
  },
);
