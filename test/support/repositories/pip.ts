import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Client } from './client.ts';
import { packageNames } from './generation.ts';
import { pythonIndex } from './python-index.ts';

/**
 * The interpreter itself: what pyenv puts in its place updates pyenv's own directory after each installation, and
 * fails when two do so at once.
 */
const PYTHON = '"$(python3 -c "import sys; print(sys.executable)")"';

/** Wheels in a directory have no hashes that pip could verify. */
export const pipFindLinks = pip(
  'pip, find-links',
  (url) => `no-index = true\nfind-links = ${url}/wheels/`,
);

/** The pages of the index contain the hash of each wheel. */
export const pipIndex = pip('pip, index', (url) => `index-url = ${url}/simple`);

function pip(name: string, source: (url: string) => string): Client {
  return {
    name,
    programs: ['python3', 'pip'],
    repository: pythonIndex,
    install: `${PYTHON} -m pip --quiet install --target site --no-compile ${packageNames.join(' ')}`,
    installed: (packageName) => `site/${packageName.replaceAll('-', '_')}/generation`,
    configure(state, url) {
      const configuration = join(state, 'pip.conf');
      writeFileSync(
        configuration,
        `[global]
${source(url)}
no-cache-dir = true
disable-pip-version-check = true
trusted-host = ${new URL(url).hostname}
root-user-action = ignore
`,
      );
      return { PIP_CONFIG_FILE: configuration };
    },
  };
}
