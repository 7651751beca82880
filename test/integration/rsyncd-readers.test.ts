import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { execa } from 'execa';
import { describe, expect, onTestFinished, test } from 'vitest';
import { currentJson } from '../support/current-json.ts';
import { eventually } from '../support/eventually.ts';
import { mayMount, runsAsRoot } from '../support/privilege.ts';
import { runForJson } from '../support/program.ts';
import { launcher } from '../support/project.ts';
import { startRsyncDaemon } from '../support/rsyncd.ts';
import { copiesOf, type SmallMirror } from '../support/small-mirror.ts';

/** The connection is amid the first file, which is more than the buffers of the sockets hold, when more is published. */
const LARGE_BYTES = 24 * 1024 * 1024;
const LARGE_A_SECOND = '20m';

const oneSnapshot = copiesOf(async (mirror) => {
  mirror.change({ 'pool/a': randomBytes(LARGE_BYTES) });
  await mirror.publish('first', generation('first'));
});

/** What a connection is told to read, as the manual has it. */
const PINNED: readonly { what: string; path: string; sources: readonly string[] }[] = [
  { what: 'the whole of current', path: 'current', sources: ['module/'] },
  {
    what: 'two directories of current',
    path: 'current',
    sources: ['module/pool/', 'module/dists/'],
  },
  { what: 'the whole of current in ROOT', path: '.', sources: ['module/current/'] },
];

const CHROOT = runsAsRoot ? (['no', 'yes'] as const) : (['no'] as const);

describe('a client of an rsync daemon', () => {
  for (const { what, path, sources } of PINNED) {
    test.each(CHROOT)(
      `I1, I5: gets one snapshot, which prune leaves to it, if one run reads ${what}, with use chroot = %s`,
      async (chroot) => {
        const mirror = await oneSnapshot();
        const { url } = await serve(mirror, path, chroot);
        const marks = await readAmidPublications(mirror, sources.map(url));
        expect(marks).toEqual(['first']);
        await eventually(async () => {
          await prune(mirror);
          expect(mirror.snapshots()).not.toContain('first');
        });
      },
    );
  }

  test('gets the first file of one snapshot and the others of another if one run reads two directories through the symlink in ROOT', async () => {
    const mirror = await oneSnapshot();
    const { url } = await serve(mirror, '.', 'no');
    const sources = ['module/current/pool/', 'module/current/dists/'].map(url);
    expect(await readAmidPublications(mirror, sources)).toEqual(['third']);
  });

  test.skipIf(!mayMount)(
    'I1, I5: gets one snapshot from a daemon that a guard runs for its connection, whatever it reads',
    async () => {
      const mirror = await oneSnapshot();
      const url = await serveGuarded(mirror);
      const sources = ['module/current/pool/', 'module/current/dists/'].map(url);
      expect(await readAmidPublications(mirror, sources)).toEqual(['first']);
    },
  );

  test('gets one snapshot in two runs by the id in current.json', async () => {
    const mirror = await oneSnapshot();
    const { url } = await serve(mirror, '.', 'no');
    const here = join(mirror.home, 'here');
    mkdirSync(here);
    await execa('rsync', [url('module/current.json'), here]);
    const { path } = JSON.parse(readFileSync(join(here, 'current.json'), 'utf8'));
    await execa('rsync', ['-a', url(`module/${path}pool`), here]);
    await mirror.publish('second', generation('second'));
    await execa('rsync', ['-a', url(`module/${path}dists`), here]);
    expect(readFileSync(join(here, 'pool/z'), 'utf8')).toBe('first');
    expect(readFileSync(join(here, 'dists/index'), 'utf8')).toBe('first');
    expect(currentJson(mirror.root)).toMatchObject({ id: 'second' });
  });
});

function generation(mark: string): Record<string, string> {
  return { 'pool/z': mark, 'dists/index': mark };
}

/** Serves `path` of ROOT as `module`. */
async function serve(mirror: SmallMirror, path: string, chroot: string) {
  const module = { name: 'module', path: join(mirror.root, path) };
  const daemon = await startRsyncDaemon([{ ...module, more: [`use chroot = ${chroot}`] }]);
  onTestFinished(() => daemon.stop());
  return daemon;
}

/** Serves ROOT as `module`, as systemd does with `Accept=yes`, by a guarded daemon for each connection. */
async function serveGuarded({ root, home }: SmallMirror): Promise<(path: string) => string> {
  const configuration = join(home, 'rsyncd.conf');
  const user = runsAsRoot ? 'uid = root\ngid = root\n' : '';
  writeFileSync(configuration, `${user}[module]\npath = ${root}\n`);
  const daemon = ['rsync', '--daemon', `--config=${configuration}`];
  const server = createServer({ pauseOnConnect: true }, (socket) => {
    const guarded = execa(launcher, ['run', root, '--', ...daemon], {
      stdio: [socket, socket, 'ignore'],
      reject: false,
    });
    void guarded.finally(() => socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo;
  return (path) => `rsync://127.0.0.1:${port}/${path}`;
}

/**
 * Publishes two snapshots and prunes all that nothing keeps while a client is amid its first file.
 *
 * @returns of which snapshots the small files are that the client has in the end.
 */
async function readAmidPublications(
  mirror: SmallMirror,
  sources: readonly string[],
): Promise<string[]> {
  const here = join(mirror.home, 'here');
  mkdirSync(here);
  const client = execa('rsync', ['-a', `--bwlimit=${LARGE_A_SECOND}`, ...sources, here], {
    detached: true,
  });
  const signal = (name: NodeJS.Signals) => process.kill(-(client.pid ?? 0), name);
  const names = () => readdirSync(here, { recursive: true, encoding: 'utf8' });
  await eventually(() => expect(names().join()).toMatch(/\.a\.\w{6}/));
  signal('SIGSTOP');
  try {
    expect(names(), 'the client is amid its first file').not.toContain('z');
    for (const id of ['second', 'third']) await mirror.publish(id, generation(id));
    await prune(mirror);
    expect(mirror.snapshots()).toContain('first');
  } finally {
    signal('SIGCONT');
  }
  await client;
  const small = names().filter((name) => /(^|\/)(z|index)$/.test(name));
  expect(small).toHaveLength(2);
  return [...new Set(small.map((name) => readFileSync(join(here, name), 'utf8')))].sort();
}

async function prune({ root }: SmallMirror): Promise<void> {
  await runForJson(['prune', root, '--keep-last', '1', '--grace', '0']);
}
