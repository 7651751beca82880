import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runForJson, runProgram, transcript } from '../support/program.ts';
import { type RsyncDaemon, startRsyncDaemon } from '../support/rsyncd.ts';
import { makeScratch, scratchDirectory } from '../support/scratch.ts';
import { describeTree, difference, type Tree } from '../support/tree.ts';

/**
 * The lines that distributions document for their mirrors, and where. SRC is a server of rsync, as there; what
 * is in SCRATCH lies in a directory of the test.
 */
const LINES: Readonly<Record<string, string | readonly string[]>> = {
  // https://salsa.debian.org/mirror-team/archvsync, bin/ftpsync: RSYNC_OPTIONS and RSYNC_OPTIONS2
  ftpsync:
    '-prltvHSB8192 --safe-links --chmod=D755,F644 --timeout=120 --stats --no-human-readable --include=*.diff/ --exclude=*.~tmp~/ --delete --delete-after SRC ROOT',
  'ftpsync, second stage':
    '-prltvHSB8192 --safe-links --chmod=D755,F644 --timeout 120 --stats --no-human-readable --no-inc-recursive --max-delete=40000 --delay-updates --delete --delete-delay --delete-excluded SRC ROOT',
  // https://wiki.ubuntu.com/Mirrors/Scripts
  Ubuntu:
    '--verbose --recursive --times --links --safe-links --hard-links --stats --delete-after SRC ROOT',
  'Ubuntu, second stage':
    '--recursive --times --links --safe-links --hard-links --stats --delete --delete-after SRC ROOT',
  // https://gitlab.archlinux.org/archlinux/infrastructure, roles/syncrepo/files/syncrepo-template.sh
  Arch: 'rsync -rlptH --safe-links --delete-delay --delay-updates --timeout=600 --contimeout=60 --no-motd -h -v --progress --exclude=*.links.tar.gz* --exclude=/other --exclude=/sources SRC ROOT',
  // https://wiki.archlinux.org/title/DeveloperWiki:NewMirrors, as of 2010 to 2014
  'Arch, before': '-rtlvH --delete-after --delay-updates --safe-links --max-delete=1000 SRC ROOT',
  // https://fedoraproject.org/wiki/Infrastructure/Mirroring
  Fedora: '-vaSH --delay-updates --delete-after SRC ROOT',
  'Fedora, private':
    '-vaH --exclude=debug* --numeric-ids --delete --delete-after --delay-updates SRC ROOT',
  // https://pagure.io/quick-fedora-mirror, RSYNCOPTS
  'quick-fedora-mirror': [
    '-aSH',
    '-f',
    'R .~tmp~',
    '--stats',
    '--delay-updates',
    '--out-format=@ %i  %n%L',
    'SRC',
    'ROOT',
  ],
  // http://www.centos.org/modules/tinycontent/index.php?id=22
  CentOS: 'rsync -aqzH --delete SRC ROOT',
  // https://docs.rockylinux.org/guides/mirror_management/add_mirror_manager
  Rocky: '-aqH --delete SRC ROOT',
  // https://wiki.almalinux.org/Mirrors.html
  AlmaLinux: '/usr/bin/rsync -rlptvSH --exclude .~tmp~ --delete-delay --delay-updates SRC ROOT',
  // https://gitweb.mageia.org/infrastructure/puppet, deployment/main_mirror/files/mirror/README.mirroring
  Mageia: '-a -H -S --delete-after SRC ROOT',
  // https://en.opensuse.org/openSUSE:Mirror_howto
  openSUSE:
    'rsync -rlpt SRC ROOT --exclude-from SCRATCH/list --delete-after --delete-excluded --max-delete=4000 --timeout=1800 -hi',
  // https://wiki.alpinelinux.org/wiki/How_to_setup_a_Alpine_Linux_mirror
  Alpine:
    '/usr/bin/rsync --archive --update --hard-links --delete --delete-after --delay-updates --timeout=600 SRC ROOT',
  // http://wikigentoo.ksiezyc.pl/HOWTO_Setup_local_Portage_and_Package_Mirror.htm
  Gentoo: 'rsync SRC ROOT -t --recursive -P --verbose --delete --delete-after --links -q',
  // https://www.kali.org/docs/community/setting-up-a-kali-linux-mirror/
  Kali: 'rsync -qaH SRC ROOT',
  // https://www.cpan.org/misc/how-to-mirror.html
  CPAN: '/usr/bin/rsync -av --delete SRC ROOT',
  // https://cran.r-project.org/mirror-howto.html
  CRAN: 'rsync -rptlzv --delete SRC ROOT',
  'CRAN, over ssh': 'rsync -e SCRATCH/ssh -rptlzv --delete cran-rsync@host::pub ROOT',
  // https://docs.freebsd.org/en/articles/hubs/
  FreeBSD: 'rsync -vaHz --delete SRC ROOT',
  // https://f-droid.org/docs/Running_a_Mirror/
  'F-Droid':
    '/usr/bin/rsync --links --delete --times --recursive --perms --hard-links --sparse --delay-updates --temp-dir /tmp/ SRC ROOT',
  // https://github.com/tuna/tunasync, worker/rsync_provider.go
  tunasync:
    'rsync -aHvh --no-o --no-g --stats --exclude .~tmp~/ --delete --delete-after --delay-updates --safe-links --timeout=120 --contimeout=120 -4 SRC ROOT',
  // https://pastebin.com/mEsgVVHx, for Slackware
  Slackware:
    '-aviPHz --delete-after --delete-excluded --partial-dir=.partial --log-file=SCRATCH/log SRC ROOT',
};

let upstream: ReturnType<typeof makeScratch>;
/** The directory that the server has as a module. */
let source: string;
let daemon: RsyncDaemon;

beforeAll(async () => {
  upstream = makeScratch();
  source = join(upstream.path, 'source');
  mkdirSync(source);
  daemon = await startRsyncDaemon([{ name: 'pub', path: source }]);
});

afterAll(async () => {
  await daemon.stop();
  await upstream.remove();
});

/** `--update` is refused there, of the others these have most options. */
const IN_PLACE = ['ftpsync, second stage', 'openSUSE', 'tunasync'];

describe('the documented line, twice with a change between, makes the tree that rsync makes', () => {
  const inPlace = IN_PLACE.map(
    (name) => [`${name}, in place`, '--in-place', LINES[name] ?? ''] as const,
  );
  const all = Object.entries(LINES).map(([name, line]) => [name, undefined, line] as const);
  test.each([...all, ...inPlace])('(%s)', async (_, mode, line) => {
    const scratch = scratchDirectory();
    writeFileSync(join(scratch, 'list'), '/project/other/\n');
    standInForSsh(join(scratch, 'ssh'));
    const root = join(scratch, 'mirror');
    const lineInto = (target: string) => wordsOf(line, scratch, target);
    const byRsync = (name: string): Tree => {
      const words = lineInto(join(scratch, name)).filter((word) => !/(^|\/bin\/)rsync$/.test(word));
      const made = spawnSync('rsync', words, { encoding: 'utf8' });
      expect(made.status, made.stderr).toBe(0);
      return describeTree(join(scratch, name), { hardLinks: true });
    };
    const current = (): Tree => describeTree(join(root, 'current'), { hardLinks: true });

    if (mode !== undefined) await runForJson(['init', root, mode]);
    makeUpstream();
    const first = await runProgram(['sync', ...lineInto(root)]);
    expect(first.exitCode, transcript(first)).toBe(0);
    expect(difference(byRsync('first'), current())).toEqual([]);

    changeUpstream();
    const second = await runProgram(['sync', ...lineInto(root)]);
    expect(second.exitCode, transcript(second)).toBe(0);
    expect(second.stdout).toMatch(mode === undefined ? /^published .*\(plan, / : /^published /);
    expect(difference(byRsync('second'), current())).toEqual([]);
    expect(second.stderr, 'told the first time').not.toMatch(/runs without/);
  });
});

function wordsOf(line: string | readonly string[], scratch: string, root: string): string[] {
  const words = typeof line === 'string' ? line.split(' ') : line;
  return words.map((word) =>
    word
      .replace(/^SRC$/, `${daemon.url('pub')}/`)
      .replace(/^ROOT$/, root)
      .replace('SCRATCH', scratch),
  );
}

/** A remote shell that starts a server of rsync (rsync(1), USING RSYNC-DAEMON FEATURES VIA A REMOTE-SHELL). */
function standInForSsh(path: string): void {
  const server = 'rsync --server --daemon --config=/dev/fd/3 .';
  const configuration = `use chroot = no\nuid = ${process.getuid?.()}\n[pub]\npath = ${source}`;
  writeFileSync(path, `#!/bin/sh\nexec ${server} 3<<END\n${configuration}\nEND\n`, { mode: 0o755 });
}

/** Modes are those of a mirror: some lines have rsync take the umask into account. */
function makeUpstream(): void {
  rmSync(source, { recursive: true });
  mkdirSync(source);
  for (const name of ['a/one', 'a/three', 'b/four', 'b/five', 'c/six', 'c/seven', 'c/eight'])
    write(`pool/${name}.deb`, name.repeat(500));
  link('pool/a/one.deb', 'pool/a/two.deb');
  link('pool/a/one.deb', 'pool/b/one.deb');
  link('pool/b/four.deb', 'pool/c/four.deb');
  write('dists/12/Release', 'first', '2026-03-01');
  write('dists/12/main/Packages', 'all');
  write('dists/12/main/Packages.diff/Index', 'index');
  write('dists/12/closed', 'not for all', '2026-01-01', 0o600);
  symlinkSync('12', join(source, 'dists/stable'));
  write('debug/info', 'debug');
  write('project/other/left-out', 'or not');
  write('project/trace/host', 'Thu');
  write('install', '#!/bin/sh', '2026-01-01', 0o755);
  writeFileSync(join(source, 'sparse.img'), `begin${'\0'.repeat(300_000)}end`);
  dateOthers('2026-01-02');
}

function changeUpstream(): void {
  // Of a group of links, one is another file now, one is gone, and one is new.
  write('pool/a/two.deb', 'two');
  rmSync(join(source, 'pool/b/one.deb'));
  link('pool/a/one.deb', 'pool/c/one.deb');
  // Another group changes as a whole, and two files become one.
  write('pool/b/four.deb', 'four'.repeat(600));
  link('pool/b/four.deb', 'pool/c/four.deb');
  link('pool/c/six.deb', 'pool/c/seven.deb');
  renameSync(join(source, 'debug'), join(source, 'debugging'));
  // The source takes something back: it is older than what the mirror has.
  write('dists/12/Release', 'zero', '2026-02-01');
  write('dists/13/Release', 'third');
  rmSync(join(source, 'dists/stable'));
  symlinkSync('13', join(source, 'dists/stable'));
  chmodSync(join(source, 'project/trace/host'), 0o600);
  rmSync(join(source, 'dists/12/main/Packages.diff'), { recursive: true });
  dateOthers('2026-03-02');
}

/**
 * Gives directories and symlinks a time, as `write` does files. rsync alone compares whole seconds, and would
 * leave a copy of this very second as it is.
 */
function dateOthers(date: string): void {
  const entries = readdirSync(source, { recursive: true, withFileTypes: true });
  for (const entry of entries) {
    if (!entry.isFile())
      lutimesSync(join(entry.parentPath, entry.name), new Date(date), new Date(date));
  }
  utimesSync(source, new Date(date), new Date(date));
}

function write(name: string, text: string, date = '2026-01-01', mode = 0o644): void {
  const path = join(source, name);
  mkdirSync(dirname(path), { recursive: true });
  rmSync(path, { force: true });
  writeFileSync(path, text);
  chmodSync(path, mode);
  utimesSync(path, new Date(date), new Date(date));
}

function link(from: string, to: string): void {
  rmSync(join(source, to), { force: true });
  linkSync(join(source, from), join(source, to));
}
