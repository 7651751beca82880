import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { execa } from 'execa';
import { expect } from 'vitest';
import { whyNotInstalled } from '../installed.ts';
import { mayMount } from '../privilege.ts';
import { endWithTest, type RunningProgram, startProcess } from '../program.ts';
import { scratchDirectory } from '../scratch.ts';

/** The Debian releases that scripts/test.sh has unpacked; see want_package_chroots in scripts/setup.sh. */
export type Suite = 'bookworm' | 'trixie';

const unpacked = (suite: Suite) => `/var/cache/mirrorlatch-test/packages-${suite}`;

/** The end of a test's name if it cannot run; otherwise empty. */
export function whyNoDebianRoot(suite: Suite): string {
  if (!mayMount) return ' (skipped: only root can mount another root directory)';
  return existsSync(unpacked(suite))
    ? ''
    : ` (skipped: scripts/test.sh has not unpacked a root of ${suite})`;
}

/** The same for `boot`. */
export function whyNotBooted(suite: Suite): string {
  const why = whyNoDebianRoot(suite) || whyNotInstalled('systemd-nspawn');
  if (why !== '') return why;
  return / - cgroup2 /.test(readFileSync('/proc/self/mountinfo', 'utf8'))
    ? ''
    : ' (skipped: cgroup2 is not mounted)';
}

/** The same for a test that installs `name` of Debian, too. */
export function whyNotThere(suite: Suite, name: string): string {
  const files = readdirSync(`${unpacked(suite)}/var/cache/apt/archives`);
  return files.some((file) => file.startsWith(`${name}_`))
    ? ''
    : ` (skipped: scripts/test.sh has unpacked a root of ${suite} without ${name}: remove ${unpacked(suite)})`;
}

const TRIAL = `[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'sh -eux /root/trial.sh >/root/said 2>&1; echo ended by $? >>/root/said'
ExecStopPost=/usr/bin/systemctl poweroff
[Install]
WantedBy=multi-user.target
`;

const ENVIRONMENT = [
  'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  'LC_ALL=C.UTF-8',
  'DEBIAN_FRONTEND=noninteractive',
];

/** The root directory of a Debian system without network, until the end of the test. */
export class DebianRoot {
  /** Its path outside. */
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  static async of(suite: Suite): Promise<DebianRoot> {
    const scratch = scratchDirectory();
    const [upper, work, path] = ['upper', 'work', 'root'].map((name) => join(scratch, name));
    for (const directory of [upper, work, path]) mkdirSync(directory as string);
    const layers = `lowerdir=${unpacked(suite)},upperdir=${upper},workdir=${work}`;
    await execa('mount', ['-t', 'overlay', 'overlay', '-o', layers, path as string]);
    await execa('mount', ['-t', 'proc', 'proc', join(path as string, 'proc')]);
    const root = new DebianRoot(path as string);
    // invoke-rc.d(8): no service of another package starts.
    root.write('/usr/sbin/policy-rc.d', '#!/bin/sh\nexit 101\n', 0o755);
    return root;
  }

  /** Writes a file inside. */
  write(path: string, text: string, mode = 0o644): void {
    writeFileSync(join(this.path, path), text, { mode });
  }

  /** Copies a file from outside into /tmp, and returns its path inside. */
  take(path: string): string {
    const inside = `/tmp/${basename(path)}`;
    copyFileSync(path, join(this.path, inside));
    return inside;
  }

  /** Runs lines of sh, and returns what they printed. Any that fails fails the test. */
  async run(lines: string): Promise<string> {
    const { all, exitCode } = await execa('unshare', ['--net', ...this.#words(lines)], {
      all: true,
      stdin: 'ignore',
      reject: false,
    });
    expect(exitCode, `${lines}\n${all}`).toBe(0);
    return all;
  }

  /**
   * Boots it by its own systemd, runs lines of sh there, and turns it off. Nothing can be run in it any more.
   *
   * @returns the lines and what they printed. Any that fails fails the test.
   */
  async boot(lines: string): Promise<string> {
    this.write('/root/trial.sh', lines);
    this.write('/etc/systemd/system/trial.service', TRIAL);
    await this.run('rm /usr/sbin/policy-rc.d; systemctl enable --quiet trial.service');
    await execa('umount', [join(this.path, 'proc')]);
    const alone = ['--quiet', '--register=no', '--keep-unit', '--private-network'];
    const words = [...alone, `--machine=mirrorlatch-${process.pid}`, '--directory', this.path];
    const { all } = await execa('systemd-nspawn', [...words, '--boot'], {
      env: { SYSTEMD_NSPAWN_UNIFIED_HIERARCHY: '1' },
      all: true,
      stdin: 'ignore',
      reject: false,
      timeout: 150_000,
    });
    const said = join(this.path, 'root/said');
    const text = existsSync(said) ? readFileSync(said, 'utf8') : '';
    expect(text, all).toMatch(/^ended by 0$/m);
    return text;
  }

  /** Starts lines of sh, in the network of the test. They end with it. */
  start(lines: string): RunningProgram {
    const program = startProcess(this.#words(lines), { command: lines });
    endWithTest(program);
    return program;
  }

  /** Installs .deb files from outside with what they depend on. */
  async install(...packages: readonly string[]): Promise<string> {
    const files = packages.map((path) => this.take(path)).join(' ');
    return await this.run(`apt-get -q -y --no-install-recommends install ${files}`);
  }

  /** The files and symlinks that have this in their names, without those in /proc and /tmp. */
  async namesWith(part: string): Promise<string[]> {
    const found = await this.run(
      `find / -xdev -path /tmp -prune -o -name '*${part}*' -print | sort`,
    );
    return found === '' ? [] : found.split('\n');
  }

  #words(lines: string): string[] {
    return ['env', '-i', ...ENVIRONMENT, 'chroot', this.path, 'sh', '-euc', lines];
  }
}
