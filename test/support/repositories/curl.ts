import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Client } from './client.ts';
import { plainRepository } from './plain-repository.ts';

const get = 'curl --fail --silent --show-error --create-dirs';

/**
 * A script that fetches a list, and then each file of it at a polite pace. It follows no
 * redirection, and verifies nothing.
 */
export const curl: Client = {
  name: 'curl',
  programs: ['curl'],
  repository: plainRepository,
  update: `${get} --output lists/index "$REPOSITORY/index"`,
  install: `grep -v '^#' lists/index | while read -r file; do ${get} --output "got/\${file%%_*}" "$REPOSITORY/$file" || exit; sleep 0.05; done`,
  metadata: 'lists',
  installed: (name) => `got/files/${name}`,
  configure(state, url) {
    mkdirSync(join(state, 'lists'));
    return { REPOSITORY: url };
  },
};
