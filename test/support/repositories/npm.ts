import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Client } from './client.ts';
import { packageNames } from './generation.ts';
import { npmRegistry } from './npm-registry.ts';

/** Verifies each tarball, but takes the packuments one by one. */
export const npm: Client = {
  name: 'npm',
  programs: ['npm'],
  repository: npmRegistry,
  install: `npm install --loglevel=error ${packageNames.join(' ')}`,
  installed: (name) => `node_modules/${name}/generation`,
  configure(state, url) {
    writeFileSync(join(state, 'package.json'), '{}');
    const configuration = join(state, '.npmrc');
    writeFileSync(
      configuration,
      `registry=${url}/
replace-registry-host=always
audit=false
fund=false
update-notifier=false
package-lock=false
fetch-retries=0
`,
    );
    return {};
  },
};
