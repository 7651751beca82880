import { mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { servePlainly } from '../support/http/plain-server.ts';
import { whyNotInstalled } from '../support/installed.ts';
import { runsAsRoot } from '../support/privilege.ts';
import { launcher } from '../support/project.ts';
import { apt } from '../support/repositories/apt.ts';
import type { Client } from '../support/repositories/client.ts';
import { dnf } from '../support/repositories/dnf.ts';
import { Installation } from '../support/repositories/installation.ts';
import { mirrorOfRepositories } from '../support/repositories/mirror.ts';
import { npm } from '../support/repositories/npm.ts';
import { pacman } from '../support/repositories/pacman.ts';
import { pipIndex } from '../support/repositories/pip.ts';
import { zypper } from '../support/repositories/zypper.ts';
import { makeScratch } from '../support/scratch.ts';

/** What people do with a client. */
interface Habits {
  readonly client: Client;
  /** The commands that have shims. */
  readonly shims: readonly string[];
  /** It can install again what is there, for which it needs no mirror. */
  readonly again: string;
  /** Need no mirror, once lists have been fetched. */
  readonly local: readonly string[];
}

const ofDnf = (dnf.update ?? '').replace('makecache', '');
const ofZypper = (zypper.update ?? '').replace('refresh', '');
const ofPacman = (pacman.update ?? '').replace('--sync --refresh', '');

const ALL: readonly Habits[] = [
  {
    client: apt,
    shims: ['apt', 'apt-get', 'apt-cache', 'apt-mark'],
    again: apt.install,
    local: [
      'apt list --installed',
      'apt -qq search part',
      'apt-cache policy part-01',
      'apt-mark showmanual',
      'apt-get -s install part-01',
      'apt-get -y remove part-01',
      'apt-get clean',
    ],
  },
  {
    client: dnf,
    shims: ['dnf'],
    again: dnf.install,
    local: ['list', 'search part', 'repoquery part-01', 'check-update', 'history', '-C info'].map(
      (words) => ofDnf + words,
    ),
  },
  {
    client: zypper,
    shims: ['zypper'],
    again: zypper.install,
    local: ['search part', 'info part-01', 'list-updates', 'lr'].map((words) => ofZypper + words),
  },
  {
    client: pacman,
    shims: ['pacman'],
    again: `${ofPacman} -S --needed part-01`,
    local: ['-Ss part', '-Qi part-01', '-R part-01'].map((words) => ofPacman + words),
  },
  {
    client: { ...pipIndex, install: pipIndex.install.replace(/^.* -m pip/, 'pip') },
    shims: ['pip'],
    // What is in another directory counts as absent.
    again: 'PYTHONPATH=$PWD/site pip install part-01',
    local: ['pip list --path site', 'pip --quiet freeze', 'pip config list'],
  },
  {
    client: npm,
    shims: ['npm'],
    again: 'npm install',
    local: ['npm ls', 'npm --silent config get registry', 'npm uninstall part-01'],
  },
];

const whyNot = ({ programs, repository }: Client) =>
  runsAsRoot
    ? whyNotInstalled(...programs, ...repository.programs)
    : ' (skipped: only root can install)';

const home = makeScratch();
beforeAll(async () => {
  const clients = ALL.map(({ client }) => client).filter((client) => whyNot(client) === '');
  const repositories = new Set(clients.map(({ repository }) => repository));
  await mirrorOfRepositories(home.path, launcher, repositories, 2);
});
afterAll(() => home.remove());

describe('by shims for a mirror that is named by its URL,', () => {
  for (const habits of ALL) {
    const { client, again, local } = habits;
    const why = whyNot(client);

    test.skipIf(why !== '')(`${client.name} does what it does without them${why}`, async () => {
      let isDown = false;
      const server = await servePlainly(home.path, ({ socket }) => {
        if (isDown) socket.destroy();
        return isDown;
      });
      const asked = (path: string) => server.requests.filter((one) => one.includes(path)).length;
      const pins = () => asked('/mirror/current.json');
      const run = await shimmed(habits, `${server.url}/mirror/current`);
      const [first, ...others] = [client.update, client.install].filter((one) => one !== undefined);

      for (const command of [first ?? '', ...others])
        expect(await run(command)).not.toContain('mirrorlatch:');
      expect(pins(), 'each has a pin').toBe(1 + others.length);
      expect(asked('/mirror/current/'), 'and reads nothing past it').toBe(0);
      expect(await run(again)).toContain('warning: COMMAND requested nothing');

      const before = pins();
      for (const command of local.slice(0, 2))
        expect(await run(command)).not.toContain('mirrorlatch:');
      expect(pins(), 'what needs no mirror has none').toBe(before);

      isDown = true;
      expect(await run(first ?? '', 125)).toContain('closed without an answer');
      for (const command of local) expect(await run(command)).not.toContain('mirrorlatch:');
    });
  }
});

/**
 * Writes shims for a client.
 *
 * @returns what runs a command by them, expects its exit code, and gives its output back.
 */
async function shimmed({ client, shims }: Habits, url: string) {
  const bin = mkdtempSync(join(home.path, 'bin-'));
  const { stdout: python } = await execa('python3', ['-c', 'import sys; print(sys.executable)']);
  // What pyenv puts in its place updates pyenv's own directory after each installation.
  writeFileSync(join(bin, 'pip'), `#!/bin/sh\nexec '${python}' -m pip "$@"\n`, { mode: 0o755 });
  const directory = join(bin, 'shims');
  const path = `${bin}:${process.env['PATH']}`;
  const env = { PATH: `${join(launcher, '..')}:${path}` };
  await execa(launcher, ['shims', directory, '--http', `${url}/`, ...shims], { env });
  const environment = { PATH: `${directory}:${path}` };
  const installation = new Installation(client, { url, around: () => [], environment }, home.path);
  return async (command: string, exitCode = 0) => {
    const result = await installation.run(['sh', '-c', command]);
    expect(result.exitCode, result.account).toBe(exitCode);
    return result.account;
  };
}
