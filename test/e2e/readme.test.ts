import { cpSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { expect, test } from 'vitest';
import { mayMount } from '../support/privilege.ts';
import { debianRepository } from '../support/repositories/debian-repository.ts';
import { makeGeneration } from '../support/repositories/generation.ts';
import type { Repository } from '../support/repositories/repository.ts';
import { rpmRepository } from '../support/repositories/rpm-repository.ts';
import { scratchDirectory } from '../support/scratch.ts';

const project = fileURLToPath(new URL('../..', import.meta.url));
const readme = readFileSync(join(project, 'README.md'), 'utf8');

/** The code blocks of the README in this language. */
function blocks(language: string): string[] {
  return [...readme.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, 'gms'))].map(
    ([, text]) => text ?? '',
  );
}

/** Every command line of the README, from top to bottom, cron's without its time and user. */
const commands = [...readme.matchAll(/^```(sh|cron)\n(.*?)^```/gms)]
  .flatMap(([, , text]) => (text ?? '').trim().split('\n'))
  .map((line) => line.replace(/^[\d* ]+root +/, ''));

test.runIf(mayMount)(
  'every command of the README does its work, in order, as printed',
  async () => {
    const place = scratchDirectory();
    const upstream = join(place, 'upstream');
    for (const directory of ['srv', 'bin', 'upstream/pool/main/l']) {
      mkdirSync(join(place, directory), { recursive: true });
    }
    writeFileSync(join(upstream, 'pool/main/l/left-out.deb'), 'left out');
    for (let count = 0; count < 9; count += 1)
      writeFileSync(join(upstream, `kept-${count}`), 'kept');
    await makeRepository(debianRepository, place);
    cpSync(join(place, 'debian'), upstream, { recursive: true });
    await makeRepository(rpmRepository, place);
    // The repository is not signed.
    writeFileSync(join(place, '.debmirror.conf'), '$check_gpg=0;\n$ignore_release_gpg=1;\n1;\n');
    writeFileSync(join(place, 'dnf.conf'), dnfConfiguration(place));
    writeFileSync(join(place, 'rsyncd.conf'), `use chroot = no\n[debian]\npath = ${upstream}\n`);
    symlinkSync(join(project, 'dist/mirrorlatch'), join(place, 'bin/mirrorlatch'));
    writeFileSync(join(place, 'apt.conf'), aptConfiguration(place));
    for (const directory of [
      'apt/lists/partial',
      'apt/archives/partial',
      'srv/old',
      'srv/upstream',
    ]) {
      mkdirSync(join(place, directory), { recursive: true });
    }
    for (const file of ['apt/status', 'srv/old/file', 'srv/upstream/file']) {
      writeFileSync(join(place, file), '');
    }
    writeFileSync(join(place, 'bin/to-web'), toWeb, { mode: 0o755 });
    // In a mount namespace of its own, where /srv and /usr/local/sbin are ours; rsync starts the server of
    // mirror.example.org itself (rsync(1), RSYNC_CONNECT_PROG). The source changes all the time.
    const script = [
      'set -eu',
      `mount --bind "$PLACE/srv" /srv`,
      'mount -t tmpfs tmpfs /usr/local/sbin',
      'mount --bind "$PLACE/dnf.conf" /etc/dnf/dnf.conf',
      'mkdir /srv/mirror',
      // A second mirror, for the commands that take two.
      'mirrorlatch sync "$UPSTREAM" /srv/mirror/security',
      ...commands.flatMap((command) => ['date +%N > "$UPSTREAM/changed"', command]),
    ].join('\n');
    const { all, exitCode } = await execa(
      'unshare',
      ['--mount', '--propagation', 'private', 'sh', '-xc', script],
      {
        env: {
          PATH: `${join(place, 'bin')}:${process.env['PATH']}`,
          PLACE: place,
          HOME: place,
          RSYNC_RSH: 'to-web',
          APT_CONFIG: join(place, 'apt.conf'),
          XDG_STATE_HOME: join(place, 'state'),
          UPSTREAM: upstream,
          RSYNC_CONNECT_PROG: `rsync --daemon --config=${join(place, 'rsyncd.conf')}`,
        },
        all: true,
        reject: false,
      },
    );
    expect(exitCode, all).toBe(0);
    expect(commands.length).toBeGreaterThan(10);
    expect(all).toContain('published 20260101T030000Z');
    const published = ['debs/current/dists/stable/Release', 'rpms/current/repodata/repomd.xml'];
    for (const file of [...published, 'files/current/built', 'site/current/file']) {
      expect(existsSync(join(place, 'srv/mirror', file)), `${file} of the recipes`).toBe(true);
    }
  },
);

test('the program of the README for Node can be run', async () => {
  const place = scratchDirectory();
  mkdirSync(join(place, 'upstream'));
  const [program = ''] = blocks('js');
  const here = program
    .replace('rsync://mirror.example.org/debian/', join(place, 'upstream/'))
    .replaceAll('/srv/mirror/debian', join(place, 'mirror'));
  expect(here).not.toBe(program);
  // In the project's directory its own name leads to its own exports.
  await execa('node', ['--input-type=module', '--eval', here], { cwd: project });
});

async function makeRepository(repository: Repository, place: string): Promise<void> {
  const [directory, work] = [join(place, repository.name), join(place, `${repository.name}-work`)];
  for (const path of [directory, work]) mkdirSync(path);
  await repository.make(directory, makeGeneration(1), work);
}

/** In place of ssh: web is this host, where only this namespace has our /srv. */
const toWeb = `#!/bin/sh
while [ "$1" != web ]; do shift; done
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
    `baseurl=file://${place}/rpm`,
    '',
  ].join('\n');
}

/** A place of its own for apt, and no source: the machine's packages are not touched. */
function aptConfiguration(place: string): string {
  return [
    'Dir::Etc::main "/dev/null";',
    'Dir::Etc::parts "/dev/null";',
    'Dir::Etc::sourcelist "/dev/null";',
    'Dir::Etc::sourceparts "/dev/null";',
    `Dir::State "${join(place, 'apt')}";`,
    `Dir::State::status "${join(place, 'apt/status')}";`,
    `Dir::Cache "${join(place, 'apt')}";`,
    'APT::Sandbox::User "root";',
    '',
  ].join('\n');
}
