import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from './measure.ts';
import { isInstalled } from './session.ts';
import { startBareNginx } from './web-servers.ts';

/** Commands of ours that others are held against. */
export const OURS = { all: 'check --check-content', sizes: 'check, sizes only' };

/** A look of another program at a mirror in which nothing is to be changed. */
interface Look {
  readonly name: string;
  /** Of ours, what looks at the same. */
  readonly ours: string;
  /** Not measured. */
  readonly before?: Command;
  readonly command: Command;
}

/** A program that keeps a mirror of the archive of its own. */
interface Peer {
  readonly name: string;
  /** Brings its mirror up to date. Not measured. */
  readonly update: readonly Command[];
  readonly looks: readonly Look[];
}

/** Where a peer works. */
interface Place {
  /** The archive, as a directory and by HTTP, the latter with a slash at its end. */
  readonly source: string;
  readonly url: string;
  /** An empty directory. */
  readonly room: string;
}

interface Candidate {
  readonly name: string;
  /** Programs, and the Debian packages they are in. */
  readonly needs: Readonly<Record<string, string>>;
  make(place: Place): Peer;
}

/** The programs that take part. */
interface Peers {
  readonly peers: readonly Peer[];
  /** Why others do not, a line each. */
  readonly leftOut: readonly string[];
  close(): Promise<void>;
}

export const NO_PEERS: Peers = { peers: [], leftOut: [], close: async () => {} };

/**
 * Starts what those of a kind of archive need.
 *
 * @param source the archive.
 * @param rooms an empty directory.
 */
export async function openPeers(
  kind: 'apt' | 'rpm-md',
  source: string,
  rooms: string,
): Promise<Peers> {
  const missing = ({ needs }: Candidate) =>
    Object.entries(needs).flatMap(([program, name]) => (isInstalled(program) ? [] : name));
  const leftOut = CANDIDATES[kind].flatMap((one) =>
    missing(one).length === 0
      ? []
      : `${one.name} is left out: apt-get install ${missing(one).join(' ')}`,
  );
  const installed = CANDIDATES[kind].filter((one) => missing(one).length === 0);
  const server = installed.some(({ needs }) => 'nginx' in needs)
    ? await startBareNginx(rooms, source)
    : undefined;
  const peers = installed.map(({ name, make }) => {
    const room = join(rooms, name.replaceAll(' ', '-'));
    mkdirSync(room);
    return make({ source, url: server?.tree ?? '', room });
  });
  return { peers, leftOut, close: async () => server?.stop() };
}

/**
 * The packages of the archive, as hard links: the page cache then holds them once for all. What a peer writes, its
 * lists, it has to fetch by itself, as it might write into the files that are there.
 */
function linkPackages({ source, room }: Place): Command {
  const [from, to] = [join(source, 'pool'), join(room, 'pool')];
  return { file: 'rsync', args: ['-a', '--delete', `--link-dest=${from}`, `${from}/`, `${to}/`] };
}

/** debmirror(1) compares sizes; with `--checksums` it reads all packages. */
function debmirror(place: Place): Peer {
  const configuration = join(place.room, 'debmirror.conf');
  writeFileSync(configuration, '1;\n');
  const mirror = join(place.room, 'mirror');
  mkdirSync(mirror);
  const command = (...words: string[]) => ({
    file: 'debmirror',
    args: [
      ...[`--config-file=${configuration}`, '--method=file', `--root=${place.source}`],
      ...['--dist=stable', '--section=main', '--arch=amd64', '--nosource', '--rsync-extra=none'],
      ...['--ignore-release-gpg', '--no-check-gpg', '--nocleanup', ...words, mirror],
    ],
  });
  return {
    name: 'debmirror',
    update: [linkPackages({ ...place, room: mirror }), command()],
    looks: [
      { name: 'debmirror, sizes', ours: OURS.sizes, command: command() },
      { name: 'debmirror --checksums', ours: OURS.all, command: command('--checksums') },
    ],
  };
}

/** aptly(1) asks for the size of each package that its database names, and reads none. */
function aptly({ url, room }: Place): Peer {
  const configuration = join(room, 'aptly.conf');
  const settings = { rootDir: room, architectures: ['amd64'], gpgDisableVerify: true };
  writeFileSync(configuration, JSON.stringify(settings));
  const own = `aptly -config='${configuration}'`;
  const create = `${own} mirror show bench >/dev/null 2>&1 || ${own} mirror create bench ${url} stable main`;
  const update = { file: 'aptly', args: [`-config=${configuration}`, 'mirror', 'update', 'bench'] };
  return {
    name: 'aptly',
    update: [{ file: 'sh', args: ['-c', create] }, update],
    looks: [{ name: 'aptly mirror update', ours: OURS.sizes, command: update }],
  };
}

/**
 * What librepo writes into extended attributes of a package: its checksum, and the time of the file then. It does not
 * read a file that has these.
 */
const FORGET = `import os, sys
for directory, _, names in os.walk(sys.argv[1]):
    for path in (os.path.join(directory, name) for name in names):
        for attribute in os.listxattr(path):
            if attribute.startswith('user.Librepo.'):
                os.removexattr(path, attribute)
`;

function reposync(place: Place): Peer {
  const { source, room } = place;
  const configuration = join(room, 'dnf.conf');
  const lines = ['[main]', 'gpgcheck=0', '[bench]', 'name=bench', `baseurl=file://${source}`];
  writeFileSync(configuration, `${lines.join('\n')}\n`);
  const [root, mirror] = [join(room, 'root'), join(room, 'mirror')];
  mkdirSync(mirror);
  const command = {
    file: 'dnf',
    args: [
      ...['--quiet', `--config=${configuration}`, '--setopt=reposdir=/dev/null'],
      ...[`--installroot=${root}`, '--releasever=1', 'reposync', '--repo=bench', '--norepopath'],
      ...['--download-metadata', `--download-path=${mirror}`],
    ],
  };
  const forget = { file: 'python3', args: ['-c', FORGET, join(mirror, 'pool')] };
  return {
    name: 'dnf reposync',
    update: [linkPackages({ ...place, room: mirror }), command],
    looks: [
      { name: 'dnf reposync, nothing marked', ours: OURS.all, before: forget, command },
      { name: 'dnf reposync, all marked as right', ours: OURS.sizes, command },
    ],
  };
}

const CANDIDATES: Readonly<Record<'apt' | 'rpm-md', readonly Candidate[]>> = {
  apt: [
    { name: 'debmirror', needs: { debmirror: 'debmirror' }, make: debmirror },
    { name: 'aptly', needs: { aptly: 'aptly', nginx: 'nginx-light' }, make: aptly },
  ],
  'rpm-md': [
    {
      name: 'dnf reposync',
      needs: { dnf: 'dnf', '/usr/libexec/dnf-utils-3': 'dnf-plugins-core', python3: 'python3' },
      make: reposync,
    },
  ],
};
