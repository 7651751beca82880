import { cpSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { blocks, type Document, nameOfTopic, readme, topics } from '../support/documents.ts';
import { servePlainly } from '../support/http/plain-server.ts';
import { whyNotInstalled } from '../support/installed.ts';
import { mayMount } from '../support/privilege.ts';
import { project } from '../support/project.ts';
import { debianRepository } from '../support/repositories/debian-repository.ts';
import { makeGeneration } from '../support/repositories/generation.ts';
import type { Repository } from '../support/repositories/repository.ts';
import { rpmRepository } from '../support/repositories/rpm-repository.ts';
import { makeScratch, scratchDirectory } from '../support/scratch.ts';

const repositories = makeScratch();
beforeAll(async () => {
  if (!mayMount) return;
  await makeRepository(debianRepository, repositories.path);
  await makeRepository(rpmRepository, repositories.path);
});
afterAll(() => repositories.remove());

/** The entries below /srv after the commands of a document. */
const RESULTS: Readonly<Record<string, readonly string[]>> = {
  README: ['mirror/debian/current/kept-0', 'mirror/small/current/kept-0'],
  guard: ['reader'],
  hooks: ['debian-changed', 'mirror/debian/testing/kept-0'],
  'in-place': ['mirror/big/current/kept-0', 'old/file', 'served/kept-0', 'site/kept-0'],
  'other-tools': [
    'mirror/debs/current/dists/stable/Release',
    'mirror/rpms/current/repodata/repomd.xml',
    'mirror/files/current/built',
  ],
  push: ['mirror/site/current/file'],
  recipes: [
    'debian/kept-0',
    // The snapshots themselves are pruned later in the topic.
    'mirror/debian/.mirrorlatch/logs/20260101T030000Z.log',
    'mirror/debian/.mirrorlatch/logs/before-upgrade.log',
    'mirror/second/current/kept-0',
  ],
};

const documents = [readme, ...topics].filter((document) => commandsIn(document).length > 0);

/** What a document needs beyond what all need. */
const whyNot: Readonly<Record<string, string>> = {
  'other-tools': whyNotInstalled('debmirror', 'dnf', '/usr/libexec/dnf-utils-3'),
  'web-servers': whyNotInstalled('nginx'),
};
const executable = documents.filter((document) => !whyNot[nameOfTopic(document)]);
const others = documents.filter((document) => whyNot[nameOfTopic(document)]);

test.skip.for(others.map((document) => `${document.path}${whyNot[nameOfTopic(document)]}`))(
  'every command of %s works as printed, in order',
  () => {},
);

test('the README and each topic with results contain commands', () => {
  expect(commandsIn(readme).length).toBeGreaterThan(10);
  expect(documents.map(nameOfTopic)).toEqual(expect.arrayContaining(Object.keys(RESULTS)));
});

test.runIf(mayMount).for(executable)(
  'every command of $path works as printed, in order',
  async (document) => {
    const place = scratchDirectory();
    const upstream = makeUpstream(place);
    makeServed(place);
    writeConfigurations(place, upstream, document === readme ? ['debian'] : ['debian', 'security']);
    configureMirrors(place, document);
    const server = await servePlainly(join(place, 'srv/mirror'));
    // One that starts a server has ports of its own, which the network of all others is not.
    const network = startsServer(document)
      ? { unshare: ['--net'], env: {} }
      : { unshare: [], env: { http_proxy: server.url } };
    const { all, exitCode } = await execa(
      'unshare',
      ['--mount', '--propagation', 'private', ...network.unshare, 'sh', '-xc', scriptOf(document)],
      {
        env: {
          PATH: `${join(place, 'bin')}:${process.env['PATH']}`,
          PLACE: place,
          HOME: place,
          RSYNC_RSH: 'to-this-host',
          APT_CONFIG: join(place, 'apt.conf'),
          XDG_STATE_HOME: join(place, 'state'),
          ...network.env,
          UPSTREAM: upstream,
          RSYNC_CONNECT_PROG: `rsync --daemon --config=${join(place, 'rsyncd.conf')}`,
        },
        all: true,
        reject: false,
      },
    );
    expect(exitCode, all).toBe(0);
    const results = RESULTS[nameOfTopic(document)] ?? [];
    expect(results.filter((path) => !existsSync(join(place, 'srv', path)))).toEqual([]);
  },
);

test('the programs of the manual for Node can be run', async () => {
  const place = scratchDirectory();
  mkdirSync(join(place, 'upstream'));
  writeFileSync(join(place, 'upstream', 'file'), 'content');
  const programs = topics.flatMap((topic) => blocks(topic, 'js'));
  expect(programs).not.toEqual([]);
  for (const program of programs) {
    const here = program
      .replace('rsync://mirror.example.org/debian/', join(place, 'upstream/'))
      .replaceAll('/srv/mirror/debian', join(place, 'mirror'));
    expect(here).not.toBe(program);
    // In the project's directory its own name leads to its own exports.
    await execa('node', ['--input-type=module', '--eval', here], { cwd: project });
  }
});

/** Every command line of a document, from top to bottom. */
function commandsIn(document: Document): string[] {
  return blocks(document, 'sh', 'cron', 'ini')
    .flatMap((text) => text.split('\n'))
    .flatMap((line) => {
      const [, executed] = /^ExecStart=(.*)$/.exec(line) ?? [];
      if (executed !== undefined) return [executed];
      if (/^$|^\[\w+\]$|^[A-Z]\w*=/.test(line)) return [];
      // cron's lines without their time and user.
      return [line.replace(/^[\d*/ ]+ +\w+ +/, '')];
    });
}

function startsServer(document: Document): boolean {
  return commandsIn(document).some(isServer);
}

function isServer(command: string): boolean {
  return /^mirrorlatch serve .*--listen/.test(command) && !command.includes('-config');
}

/**
 * In namespaces of its own, where /srv, /usr/local/sbin and the ports of a server are ours; rsync starts the server of
 * mirror.example.org itself (rsync(1), RSYNC_CONNECT_PROG). The source changes all the time.
 */
function scriptOf(document: Document): string {
  return [
    'set -eu',
    `servers='' && trap 'for server in $servers; do kill "$server"; done' EXIT`,
    // Servers leave sockets in /run, and nginx its cache.
    ...(startsServer(document)
      ? [
          'ip link set lo up',
          'mount -t tmpfs tmpfs /run',
          // The server of the document is the one that its clients know.
          `echo '127.0.0.1 mirror.example.org' > "$PLACE/hosts" && mount --bind "$PLACE/hosts" /etc/hosts`,
        ]
      : []),
    `mount --bind "$PLACE/srv" /srv`,
    'mount -t tmpfs tmpfs /usr/local/sbin',
    '[ ! -e /etc/dnf/dnf.conf ] || mount --bind "$PLACE/dnf.conf" /etc/dnf/dnf.conf',
    // Debian's, to which a configuration is added.
    '[ ! -d /etc/nginx ] || { cp -a /etc/nginx "$PLACE" && mount --bind "$PLACE/nginx" /etc/nginx; }',
    'mkdir /srv/mirror',
    // A second mirror, for the commands that take two.
    'mirrorlatch sync "$UPSTREAM" /srv/mirror/security',
    // The README makes its own.
    ...(document === readme ? [] : [FIRST_SYNC, CHANGE, FIRST_SYNC]),
    ...commandsIn(document).flatMap((command) => [CHANGE, ending(command)]),
  ].join('\n');
}

const CHANGE = 'date +%N > "$UPSTREAM/changed"';
const FIRST_SYNC = 'mirrorlatch sync rsync://mirror.example.org/debian/ /srv/mirror/debian';

/**
 * A watch runs until it is ended, here once its command has done something. A server serves the commands that
 * follow.
 */
function ending(command: string): string {
  if (isServer(command)) {
    return `${command} >"$PLACE/serving" &
servers="$servers $!"
until grep -q ^serving "$PLACE/serving"; do kill -0 $!; sleep 0.1; done`;
  }
  if (!/^mirrorlatch watch .* -- /.test(command)) return command;
  return `${command} &
until [ -e /srv/debian/kept-0 ]; do sleep 0.1; done
kill $!
wait $! || test $? = 143`;
}

/** Some small files, and an apt repository. */
function makeUpstream(place: string): string {
  const upstream = join(place, 'upstream');
  mkdirSync(join(upstream, 'pool/main/l'), { recursive: true });
  writeFileSync(join(upstream, 'pool/main/l/left-out.deb'), 'left out');
  for (let count = 0; count < 9; count += 1) writeFileSync(join(upstream, `kept-${count}`), 'kept');
  cpSync(join(repositories.path, 'debian'), upstream, { recursive: true });
  return upstream;
}

/** The entries of /srv that the documents presuppose. */
function makeServed(place: string): void {
  for (const directory of ['debian', 'old', 'site', 'upstream']) {
    mkdirSync(join(place, 'srv', directory), { recursive: true });
  }
  for (const directory of ['old', 'site', 'upstream']) {
    writeFileSync(join(place, 'srv', directory, 'file'), '');
  }
}

/** What a document says of the configuration is the user's own. */
function configureMirrors(place: string, document: Document): void {
  const texts = blocks(document, 'toml');
  const directory = join(place, '.config/mirrorlatch');
  mkdirSync(directory, { recursive: true });
  if (texts.length > 0) writeFileSync(join(directory, 'config.toml'), texts.join('\n'));
}

/** @param mirrors whose packages apt installs. */
function writeConfigurations(place: string, upstream: string, mirrors: readonly string[]): void {
  for (const directory of ['bin', 'apt/lists/partial', 'apt/archives/partial']) {
    mkdirSync(join(place, directory), { recursive: true });
  }
  // The repository is not signed.
  writeFileSync(join(place, '.debmirror.conf'), '$check_gpg=0;\n$ignore_release_gpg=1;\n1;\n');
  writeFileSync(join(place, 'dnf.conf'), dnfConfiguration(place));
  writeFileSync(join(place, 'rsyncd.conf'), `use chroot = no\n[debian]\npath = ${upstream}\n`);
  writeFileSync(join(place, 'apt.conf'), aptConfiguration(place));
  writeFileSync(join(place, 'apt/status'), '');
  writeFileSync(join(place, 'sources.list'), mirrors.map(sourceOf).join(''));
  writeFileSync(join(place, 'bin/to-this-host'), toThisHost, { mode: 0o755 });
  symlinkSync(join(project, 'dist/mirrorlatch'), join(place, 'bin/mirrorlatch'));
}

async function makeRepository(repository: Repository, place: string): Promise<void> {
  const [directory, work] = [join(place, repository.name), join(place, `${repository.name}-work`)];
  for (const path of [directory, work]) mkdirSync(path);
  await repository.make(directory, makeGeneration(1), work);
}

function sourceOf(mirror: string): string {
  return `deb [trusted=yes] http://mirror.example.org/${mirror}/current stable main\n`;
}

/** In place of ssh: web and backup are this host, where only this namespace has our /srv. */
const toThisHost = `#!/bin/sh
while [ "$1" != web ] && [ "$1" != backup ]; do shift; done
shift
exec sh -c "$*"
`;

/** The repository `updates`, and a place of its own for what dnf keeps. */
function dnfConfiguration(place: string): string {
  return [
    '[main]',
    'gpgcheck=0',
    `cachedir=${place}/dnf/cache`,
    `persistdir=${place}/dnf/state`,
    `logdir=${place}/dnf/log`,
    '[updates]',
    'name=updates',
    `baseurl=file://${repositories.path}/rpm`,
    '',
  ].join('\n');
}

/** A place of its own for apt: the machine's packages are not touched. */
function aptConfiguration(place: string): string {
  return [
    'Dir::Etc::main "/dev/null";',
    'Dir::Etc::parts "/dev/null";',
    `Dir::Etc::sourcelist "${join(place, 'sources.list')}";`,
    'Dir::Etc::sourceparts "/dev/null";',
    `Dir::State "${join(place, 'apt')}";`,
    `Dir::State::status "${join(place, 'apt/status')}";`,
    `Dir::Cache "${join(place, 'apt')}";`,
    'APT::Sandbox::User "root";',
    '',
  ].join('\n');
}
