import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Client } from './client.ts';
import { packageNames } from './generation.ts';
import { rpmRepository } from './rpm-repository.ts';

const command = 'zypper --quiet --non-interactive --root "$PWD/system"';

/**
 * Resolves `current` once per command. Bare, it never mixes within a command, but `install` may see
 * another generation than `refresh` did.
 */
export const zypper: Client = {
  name: 'zypper',
  programs: ['zypper'],
  repository: rpmRepository,
  update: `${command} refresh`,
  install: `${command} install ${packageNames.join(' ')}`,
  metadata: 'system/var/cache/zypp/raw',
  installed: (name) => `system/usr/share/${name}/generation`,
  configure(state, url) {
    const repositories = join(state, 'system/etc/zypp/repos.d');
    mkdirSync(repositories, { recursive: true });
    writeFileSync(
      join(repositories, 'parts.repo'),
      `[parts]\nname=parts\nbaseurl=${url}\nenabled=1\nautorefresh=0\ngpgcheck=0\n`,
    );
    return {};
  },
};
