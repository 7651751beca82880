import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Client } from './client.ts';
import { debianRepository } from './debian-repository.ts';
import { packageNames } from './generation.ts';

/** Opens the .debs of a `file:` repository in place, once to verify and again to install them. */
export const apt = {
  name: 'apt',
  programs: ['apt-get', 'dpkg'],
  repository: debianRepository,
  update: 'apt-get --quiet=2 update',
  install: `apt-get --quiet=2 --yes install ${packageNames.join(' ')}`,
  metadata: 'state/lists',
  installed: (name) => `system/usr/share/${name}/generation`,
  configure(state, url) {
    for (const directory of [
      'etc/apt.conf.d',
      'etc/preferences.d',
      'etc/sources.list.d',
      'state/lists/partial',
      'cache/archives/partial',
      'log',
      'system/var/lib/dpkg/updates',
      'system/var/lib/dpkg/info',
    ]) {
      mkdirSync(join(state, directory), { recursive: true });
    }
    writeFileSync(join(state, 'system/var/lib/dpkg/status'), '');
    writeFileSync(join(state, 'etc/sources.list'), `deb [trusted=yes] ${url} stable main\n`);
    const configuration = join(state, 'apt.conf');
    writeFileSync(
      configuration,
      `Dir "${state}";
Dir::Etc "etc";
Dir::State "state";
Dir::State::status "${state}/system/var/lib/dpkg/status";
Dir::Cache "cache";
Dir::Log "log";
DPkg::Options { "--root=${state}/system"; "--log=${state}/log/dpkg.log"; "--force-unsafe-io"; };
`,
    );
    return { APT_CONFIG: configuration, DEBIAN_FRONTEND: 'noninteractive' };
  },
} satisfies Client;
