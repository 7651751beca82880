import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Repository } from './repository.ts';

/** A list of files without hashes, and the files: nothing tells a client of a mix. */
export const plainRepository: Repository = {
  name: 'plain',
  programs: [],
  async make(directory, { mark, version, packages }) {
    const files = packages.map(({ name, content }) => ({ file: `${name}_${version}`, content }));
    mkdirSync(join(directory, 'files'));
    for (const { file, content } of files) writeFileSync(join(directory, 'files', file), content);
    writeFileSync(
      join(directory, 'index'),
      [`# ${mark}`, ...files.map(({ file }) => `files/${file}`), ''].join('\n'),
    );
  },
};
