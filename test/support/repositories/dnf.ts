import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Client } from './client.ts';
import { packageNames } from './generation.ts';
import { rpmRepository } from './rpm-repository.ts';

const command = 'dnf --config dnf.conf --releasever 1 --quiet --assumeyes';

/** Opens the packages of a `file:` repository in place, as apt does. */
export const dnf: Client = {
  name: 'dnf',
  programs: ['dnf'],
  repository: rpmRepository,
  update: `${command} makecache`,
  install: `${command} install ${packageNames.join(' ')}`,
  // With an installroot, dnf keeps everything below it.
  metadata: 'system/cache',
  installed: (name) => `system/usr/share/${name}/generation`,
  configure(state, url) {
    mkdirSync(join(state, 'repos.d'));
    mkdirSync(join(state, 'system'));
    writeFileSync(
      join(state, 'repos.d/parts.repo'),
      `[parts]\nname=parts\nbaseurl=${url}\nenabled=1\ngpgcheck=0\n`,
    );
    writeFileSync(
      join(state, 'dnf.conf'),
      `[main]
installroot=${state}/system
reposdir=${state}/repos.d
cachedir=/cache
persistdir=/persist
logdir=/log
plugins=0
`,
    );
    return {};
  },
};
