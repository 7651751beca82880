import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { archRepository } from './arch-repository.ts';
import type { Client } from './client.ts';
import { packageNames } from './generation.ts';

const command = 'pacman --config pacman.conf --noconfirm';

/** Copies a package before it verifies it, so it fails where other clients install a mix. */
export const pacman: Client = {
  name: 'pacman',
  programs: ['pacman'],
  repository: archRepository,
  update: `${command} --sync --refresh`,
  install: `${command} --sync ${packageNames.join(' ')}`,
  metadata: 'database/sync',
  installed: (name) => `system/usr/share/${name}/generation`,
  configure(state, url) {
    for (const directory of ['system', 'database', 'cache', 'hooks', 'keys']) {
      mkdirSync(join(state, directory));
    }
    writeFileSync(
      join(state, 'pacman.conf'),
      `[options]
RootDir = ${state}/system
DBPath = ${state}/database
CacheDir = ${state}/cache
HookDir = ${state}/hooks
GPGDir = ${state}/keys
LogFile = ${state}/log
Architecture = auto
SigLevel = Never
[parts]
Server = ${url}
`,
    );
    return {};
  },
};
