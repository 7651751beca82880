import { copyFileSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { whyNotInstalled } from '../support/installed.ts';
import { buildPackages } from '../support/packages/build-packages.ts';
import {
  DebianRoot,
  whyNoDebianRoot,
  whyNotBooted,
  whyNotThere,
} from '../support/packages/debian-root.ts';
import { project } from '../support/project.ts';
import { makeScratch, scratchDirectory } from '../support/scratch.ts';

const { version } = JSON.parse(readFileSync(join(project, 'package.json'), 'utf8'));
const carried = readFileSync(join(project, 'scripts/node-versions'), 'utf8')
  .trim()
  .split('\n')
  .at(-1);

/** Packages that depend on the system's Node. */
const scratch = makeScratch();
const out = join(scratch.path, 'out');
let first: string;
let second: string;
beforeAll(async () => {
  [first = ''] = await buildPackages(['deb'], out);
  [second = ''] = await buildPackages(['deb', '--revision', '2'], out);
});
afterAll(() => scratch.remove());

/** The owner of mirrors. */
const OWNER = 'setpriv --reuid mirrorlatch --regid mirrorlatch --clear-groups';

/** A source of one file, and a mirror of it, as the unit syncs it. */
const MIRROR = `
  mkdir -p /srv/source /srv/mirror && echo one >/srv/source/file && chown mirrorlatch: /srv/mirror
  cat >/etc/mirrorlatch/config.toml <<FILE
  [mirrors.site]
  root = "/srv/mirror/site"
  source = "/srv/source"
FILE
  ${OWNER} mirrorlatch init site --json >/dev/null
  ${OWNER} $(sed -n 's/%i/site/; s/^ExecStart=//p' /usr/lib/systemd/system/mirrorlatch-sync@.service)`;

describe('The Debian package', () => {
  const noTrixie = whyNoDebianRoot('trixie');
  const noBookworm = whyNoDebianRoot('bookworm');

  test.skipIf(noTrixie !== '')(
    `runs on the Node of Debian 13, which apt-get installs with it, and has sound units${noTrixie}`,
    async () => {
      const root = await DebianRoot.of('trixie');
      await root.install(first);
      await expectToWork(root);
      expect(await root.run('mirrorlatch run site -- sh -c "command -v node"')).toBe(
        '/usr/bin/node',
      );

      const units = ['serve.service', 'sync@site.service', 'sync@site.timer'];
      const words = units.map((unit) => `mirrorlatch-${unit}`).join(' ');
      expect(await root.run(`systemd-analyze verify ${words}`)).toBe('');
      expect(await root.run(`systemctl is-enabled ${words} || true`)).toBe(
        'disabled\nstatic\ndisabled',
      );
      const example = '/usr/share/doc/mirrorlatch/examples/config.toml';
      expect(await root.run(`mirrorlatch config check --config ${example}`)).toMatch(/security/);
      expect(await root.run('logrotate --debug /etc/logrotate.d/mirrorlatch')).not.toMatch(/error/);
    },
  );

  test.skipIf(noBookworm !== '')(
    `of the other kind carries a Node, which nothing else sees, for Debian 12${noBookworm}`,
    async () => {
      const [bundled = ''] = await buildPackages(['deb', '--bundle-node'], scratchDirectory());
      const root = await DebianRoot.of('bookworm');
      await root.install(bundled);
      const node = '/usr/lib/mirrorlatch/node/bin/node';
      await expectToWork(root, node);
      expect(await root.run(`${node} --version`)).toBe(`v${carried}`);
      expect(await root.run('cat /usr/share/doc/mirrorlatch/copyright')).toContain(
        'Node.js is licensed for use as follows:',
      );
      for (const verb of ['run', 'lock']) {
        const command = `mirrorlatch ${verb} /srv/root -- sh -c 'command -v node || echo "$PATH"'`;
        expect(
          await root.run(`mirrorlatch sync --quiet /srv/source /srv/root; ${command}`),
        ).toMatch(/^\/usr\/local\/sbin:\/usr\/local\/bin:\/usr\/sbin:\/usr\/bin:\/sbin:\/bin$/m);
      }
    },
  );

  test.skipIf(noTrixie !== '')(
    `is upgraded below a sync and a server, and keeps what an admin has changed${noTrixie}`,
    async () => {
      const root = await DebianRoot.of('trixie');
      await root.install(first);
      await root.run(MIRROR);
      await root.run('echo "OPTIONS=--listen 127.0.0.1:80" >>/etc/mirrorlatch/serve.env');
      // It waits before it begins, so that it does all its work after the upgrade.
      const waiting = '#!/bin/sh\n: >/srv/mirror/asked\nuntil [ -e /tmp/go ]; do sleep 0.1; done\n';
      root.write('/usr/local/bin/rsync', `${waiting}exec /usr/bin/rsync "$@"\n`, 0o755);
      await root.run('echo two >/srv/source/file; mkdir /srv/source/more');
      const server = root.start(
        `exec ${OWNER} mirrorlatch serve /srv/mirror/site --listen 127.0.0.1:0`,
      );
      const sync = root.start(`exec ${OWNER} mirrorlatch sync site`);
      await eventually(() => expect(existsSync(join(root.path, 'srv/mirror/asked'))).toBe(true));
      const url = await eventually(() => {
        const [, place] = /(http:\S+\/)current/.exec(server.printedSoFar()) ?? [];
        expect(place, server.saidSoFar()).toBeDefined();
        return place;
      });

      await root.install(second);

      root.write('/tmp/go', '');
      const { exitCode, stderr } = await sync.result;
      expect(exitCode, stderr).toBe(0);
      expect(await (await fetch(`${url}current/file`)).text()).toBe('two\n');
      expect(await (await fetch(`${url}current/`)).text()).toContain('more/');
      expect(await root.run('cat /etc/mirrorlatch/serve.env')).toContain('127.0.0.1:80');
      expect(await root.run('dpkg-query --show mirrorlatch')).toBe(`mirrorlatch\t${version}-2`);
      expect(await root.run('dpkg --verify mirrorlatch')).toMatch(
        /^\?\?5\?+ c \/etc\/mirrorlatch\/serve.env$/,
      );
    },
  );

  test.skipIf(noTrixie !== '')(
    `is removed, and purged with its state, but never with a mirror or its user${noTrixie}`,
    async () => {
      const root = await DebianRoot.of('trixie');
      await root.install(first);
      await root.run(MIRROR);
      await root.run(`
        mirrorlatch run --sticky apt site -- true
        systemctl enable mirrorlatch-serve.service mirrorlatch-sync@site.timer
        mkdir /etc/systemd/system/mirrorlatch-sync@.service.d
        mirrorlatch systemd site >/etc/systemd/system/mirrorlatch-sync@site.service
        : >/etc/systemd/system/mirrorlatch-notify@site.timer`);
      const mirror = await treeOf(root, '/srv');

      await root.run('apt-get -q -y remove mirrorlatch');
      expect(await root.run('cat /etc/mirrorlatch/config.toml')).toContain('[mirrors.site]');
      expect(await root.run('find /var/lib/mirrorlatch/sticky -type f')).toMatch(/apt/);

      const said = await root.run('dpkg --purge mirrorlatch');
      expect(said).toContain('mirrors stay where they are, and so does the user mirrorlatch');
      expect(await root.namesWith('mirrorlatch')).toEqual(['/srv/mirror/site/.mirrorlatch']);
      expect(await root.run('getent passwd mirrorlatch')).toContain('/var/lib/mirrorlatch/home');
      expect(await treeOf(root, '/srv')).toBe(mirror);
    },
  );

  test.skipIf(noBookworm !== '')(
    `leaves its own directories where a mirror or a mount is in them${noBookworm}`,
    async () => {
      const root = await DebianRoot.of('bookworm');
      // Nothing of this needs a Node, which is not there.
      await root.run(`dpkg --force-depends --install ${root.take(first)}`);
      await root.run(`
        mkdir -p /var/lib/mirrorlatch/home/site/.mirrorlatch /etc/mirrorlatch/conf.d/there /srv/there
        : >/srv/there/file
        mount --bind /srv/there /etc/mirrorlatch/conf.d/there`);
      const said = await root.run('dpkg --purge mirrorlatch');
      expect(said).toContain('/var/lib/mirrorlatch/home/site is a mirror');
      expect(said).toContain('/etc/mirrorlatch/conf.d/there is mounted there');
      await root.run('test -d /var/lib/mirrorlatch/home/site/.mirrorlatch -a -e /srv/there/file');
    },
  );

  const noSystemd = whyNotBooted('trixie');
  test.skipIf(noSystemd !== '')(
    `has units that sync and serve, and that an upgrade starts again and a removal stops${noSystemd}`,
    async () => {
      const root = await DebianRoot.of('trixie');
      await root.install(first);
      copyFileSync(second, join(root.path, 'root/second.deb'));
      const said = await root.boot(`${MIRROR}
        echo two >/srv/source/file
        systemctl start mirrorlatch-sync@site.service
        cat /srv/mirror/site/current/file
        mirrorlatch systemd site --install --user mirrorlatch
        systemctl is-enabled mirrorlatch-sync@site.timer
        echo three >/srv/source/file
        systemctl start mirrorlatch-sync@site.service
        echo MIRRORS=/srv/mirror/site >>/etc/mirrorlatch/serve.env
        systemctl enable --now mirrorlatch-serve.service mirrorlatch-sync@site.timer
        ask() { node -e 'fetch("http://127.0.0.1/site/current/file").then(async (a) => console.log(await a.text()))'; }
        until ask 2>/dev/null; do sleep 0.2; done
        grep -c current/file /var/log/mirrorlatch/access.log
        before=$(systemctl show --property=MainPID mirrorlatch-serve)
        dpkg --install /root/second.deb
        until ask 2>/dev/null; do sleep 0.2; done
        test "$before" != "$(systemctl show --property=MainPID mirrorlatch-serve)"
        systemctl is-active mirrorlatch-serve mirrorlatch-sync@site.timer
        dpkg --remove mirrorlatch
        ! systemctl is-active mirrorlatch-serve mirrorlatch-sync@site.timer`);
      expect(said.match(/^(two|enabled|three|1|active|inactive)$/gm)).toEqual([
        ...['two', 'enabled', 'three', '1', 'three', 'active', 'active', 'inactive', 'inactive'],
      ]);
    },
  );

  test.skipIf(noSystemd !== '')(
    `has timers that publish when their time comes, and that rest once it is removed${noSystemd}`,
    async () => {
      const root = await DebianRoot.of('trixie');
      await root.install(first);
      const said = await root.boot(`${MIRROR}
        echo 'schedule = "*:*:0/2"' >>/etc/mirrorlatch/config.toml
        mkdir /etc/systemd/system/mirrorlatch-sync@.timer.d
        printf '[Timer]\\nRandomizedDelaySec=0\\nAccuracySec=1ms\\n' \
          >/etc/systemd/system/mirrorlatch-sync@.timer.d/at-once.conf
        echo two >/srv/source/file
        mirrorlatch systemd site --install --user mirrorlatch
        until grep two /srv/mirror/site/current/file; do sleep 0.2; done
        sed -i 's|^schedule.*|schedule = "daily"|' /etc/mirrorlatch/config.toml
        mirrorlatch systemd site --install --user mirrorlatch
        until mirrorlatch explain site | grep -o 'site.timer is active, next in .*Z)'; do sleep 0.2; done
        journalctl --unit mirrorlatch-sync@site.service | grep -c 'nobody held' || true
        dpkg --remove mirrorlatch
        systemctl start mirrorlatch-sync@site.service
        systemctl show --property=ConditionResult,Result mirrorlatch-sync@site.service`);
      expect(said).toMatch(/^two$/m);
      expect(said).toMatch(/^site\.timer is active, next in \d+[hms] \(2\S+Z\)$/m);
      expect(said).toMatch(/^0$/m);
      expect(said).toMatch(/^ConditionResult=no$/m);
      expect(said).toMatch(/^Result=success$/m);
    },
  );

  const noMailServer = noSystemd || whyNotThere('trixie', 'exim4-daemon-light');
  test.skipIf(noMailServer !== '')(
    `mails what became of a sync through a mail server of Debian, from its own units and from written ones${noMailServer}`,
    async () => {
      const root = await DebianRoot.of('trixie');
      await root.install(first);
      await root.run('apt-get -q -y --no-install-recommends install exim4-daemon-light');
      const said = await root.boot(`${MIRROR}
        echo 'notify-mail = "root"' >>/etc/mirrorlatch/config.toml
        mirrorlatch systemd site --install --user mirrorlatch
        mv /srv/source /srv/gone
        ! systemctl start mirrorlatch-sync@site.service
        until grep -h '^Subject.*has failed' /var/mail/*; do sleep 0.2; done
        systemctl disable --now mirrorlatch-sync@site.timer mirrorlatch-notify@site.timer
        rm /etc/systemd/system/mirrorlatch-*
        systemctl daemon-reload
        mv /srv/gone /srv/source
        systemctl start mirrorlatch-sync@site.service
        until grep -h '^Subject.*well again' /var/mail/*; do sleep 0.2; done`);
      expect(said.match(/^Subject: .*/gm)).toEqual([
        expect.stringMatching(/^Subject: mirrorlatch: site on .* has failed: NO_SOURCE/),
        expect.stringMatching(/^Subject: mirrorlatch: site on .* is well again$/),
      ]);
    },
  );

  const noLintian = whyNotInstalled('lintian');
  test.skipIf(noLintian !== '')(`has nothing that lintian warns of${noLintian}`, async () => {
    const words = ['--fail-on', 'error,warning', '--allow-root', first];
    const { all, exitCode } = await execa('lintian', words, { all: true, reject: false });
    expect(exitCode, all).toBe(0);
  });
});

const noRpm = whyNotInstalled('rpmbuild', 'rpm');

test.skipIf(noRpm !== '')(
  `the same sources make the same packages, whatever the day, the user's mask and the directory are${noRpm}`,
  async () => {
    // In the future: what is older than its files, dpkg-deb gives them by itself.
    const time = { SOURCE_DATE_EPOCH: '2082758400' };
    const here = await buildPackages(['all'], scratchDirectory(), time);
    const script = `umask 077; TZ=Asia/Tokyo TMPDIR=$1 sh ${project}scripts/package.sh all "$2"`;
    const there = await execa('sh', ['-c', script, 'sh', scratchDirectory(), scratchDirectory()], {
      cwd: scratchDirectory(),
      env: time,
    });
    const others = there.stdout.split('\n');
    expect(others).toHaveLength(2);
    for (const [index, path] of here.entries()) {
      expect(readFileSync(path).equals(readFileSync(others[index] ?? '')), path).toBe(true);
    }
  },
);

test.skipIf(noRpm !== '' || whyNoDebianRoot('trixie') !== '')(
  `the RPM package has the same program, is upgraded, and makes and keeps its user${noRpm || whyNoDebianRoot('trixie')}`,
  async () => {
    const [rpm = ''] = await buildPackages(['rpm'], out);
    const [newer = ''] = await buildPackages(['rpm', '--revision', '2'], out);
    const { stdout: needed } = await execa('rpm', ['--query', '--requires', '--package', rpm]);
    expect(needed.split('\n')).toContain('nodejs(engine) >= 20.19');
    const root = await DebianRoot.of('trixie');
    await root.run('apt-get -q -y --no-install-recommends install nodejs rsync');
    // What it depends on is there by the names of another distribution.
    const onRoot = ['--root', root.path, '--nodeps'];
    await execa('rpm', [...onRoot, '--install', rpm]);
    await expectToWork(root);
    await root.run('echo "OPTIONS=" >>/etc/mirrorlatch/serve.env');
    await execa('rpm', [...onRoot, '--upgrade', newer]);
    const { stdout: there } = await execa('rpm', [...onRoot.slice(0, 2), '--query', 'mirrorlatch']);
    expect(there).toMatch(/-2\.\w+$/);
    expect(await root.run('tail -n 1 /etc/mirrorlatch/serve.env')).toBe('OPTIONS=');
    await root.run('echo two >/srv/source/file');
    await root.run(`${OWNER} mirrorlatch sync site --quiet`);
    expect(await root.run('mirrorlatch run site -- cat file')).toBe('two');
    await execa('rpm', [...onRoot, '--erase', 'mirrorlatch']);
    expect(await root.run('ls /etc/mirrorlatch')).toMatch(/^serve.env.rpmsave$/m);
    expect(await root.run('getent passwd mirrorlatch')).not.toBe('');
    await root.run('test -e /srv/mirror/site/current/file -a ! -e /usr/bin/mirrorlatch');
  },
);

/** What a user does first, and what is in its place beside the program. */
async function expectToWork(root: DebianRoot, node = 'node'): Promise<void> {
  expect(await root.run('mirrorlatch --version')).toBe(version);
  await root.run(MIRROR);
  expect(await root.run('mirrorlatch run site -- cat file')).toBe('one');
  expect(await root.run('man -w mirrorlatch mirrorlatch-serving')).toBe(
    '/usr/share/man/man1/mirrorlatch.1.gz\n/usr/share/man/man7/mirrorlatch-serving.7.gz',
  );
  await root.run(`
    bash -c '. /usr/share/bash-completion/completions/mirrorlatch && complete -p mirrorlatch'
    test -s /usr/share/zsh/*/_mirrorlatch -a -s /usr/share/fish/vendor_completions.d/mirrorlatch.fish
    mirrorlatch completion zsh | cmp - /usr/share/zsh/*/_mirrorlatch
    mirrorlatch help installing >/dev/null`);
  await root.run('mkdir /srv/old && mirrorlatch init --adopt /srv/old && test -L /srv/old');
  // What exchanges two names lies beside the bundles, and they do without it where it is missing.
  await root.run(`cd /usr/lib/mirrorlatch && mkdir /tmp/one && : >/tmp/other
    ${node} -e 'require("fs-native-extensions").swapSync("/tmp/one", "/tmp/other")' && test -f /tmp/one`);
  expect(await root.run('stat -c "%U %a" /var/lib/mirrorlatch /var/lib/mirrorlatch/home')).toBe(
    'root 755\nmirrorlatch 750',
  );
}

/** Names, types, modes, owners and times. */
async function treeOf(root: DebianRoot, directory: string): Promise<string> {
  return await root.run(`find ${directory} -printf '%p %y %m %u %T@\\n' | sort`);
}
