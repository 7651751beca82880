import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Client } from './client.ts';
import { plainRepository } from './plain-repository.ts';

/**
 * Copies a directory by the links of its listing at a polite pace, and goes on after a 404. The
 * second command gives each file the name without its version.
 */
export const wget: Client = {
  name: 'wget -r',
  programs: ['wget'],
  repository: plainRepository,
  install:
    'wget --quiet --recursive --no-parent --no-directories --directory-prefix files --reject "index.html*" --wait 0.05 "$REPOSITORY/files/"' +
    ' && cd files && for file in *; do cat "$file" >>"../got/$(echo "$file" | cut -d _ -f 1)" || exit; done',
  installed: (name) => `got/${name}`,
  configure(state, url) {
    mkdirSync(join(state, 'got'));
    return { REPOSITORY: url };
  },
};
