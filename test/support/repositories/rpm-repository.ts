import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import type { Generation } from './generation.ts';
import type { Repository } from './repository.ts';

/** repomd.xml has the hashes of the lists, and the lists those of the packages (createrepo_c). */
export const rpmRepository: Repository = {
  name: 'rpm',
  programs: ['rpmbuild', 'createrepo_c'],
  async make(directory, generation, work) {
    const files = join(work, 'files');
    for (const { name, content } of generation.packages) {
      mkdirSync(join(files, 'usr/share', name), { recursive: true });
      writeFileSync(join(files, 'usr/share', name, 'generation'), content);
    }
    const spec = join(work, 'parts.spec');
    writeFileSync(spec, specification(generation, files));
    const defines = [
      `_topdir ${work}/rpmbuild`,
      `_rpmdir ${directory}`,
      `_rpmfilename %%{NAME}-%%{VERSION}.rpm`,
    ];
    await execa('rpmbuild', [
      '-bb',
      '--quiet',
      ...defines.flatMap((define) => ['--define', define]),
      spec,
    ]);
    await execa('createrepo_c', [
      ...['--quiet', '--no-database', '--revision', generation.mark],
      // Without hashes in their names, the lists have the same names in each generation.
      ...(generation.hasOwnNames ? [] : ['--simple-md-filenames']),
      directory,
    ]);
  },
};

/** One specification for all packages: a run of rpmbuild for each would take 20 times as long. */
function specification({ mark, version, packages }: Generation, files: string): string {
  return `Name: parts
Version: ${version}
Release: 1
Summary: the source of the packages of ${mark}
License: MIT
BuildArch: noarch
%global _binary_payload w0.ufdio
%global __os_install_post %{nil}

%description
It builds no package of its own.

%install
cp -R "${files}/." "%{buildroot}/"
${packages
  .map(
    ({ name }) => `
%package -n ${name}
Summary: a package of ${mark}
%description -n ${name}
A package of ${mark}.
%files -n ${name}
/usr/share/${name}/generation
`,
  )
  .join('')}`;
}
