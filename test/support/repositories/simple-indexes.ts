import { createHash } from 'node:crypto';
import {
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { execa } from 'execa';
import { pythonIndex } from './python-index.ts';

/** A wheel outside of any index. */
export interface Wheel {
  project: string;
  file: string;
  path: string;
  metadata: Buffer;
}

const CONTENTS = { alpha: 'content of alpha', 'beta-more': 'content of beta-more' };

/**
 * Makes a wheel of each project.
 *
 * @param work an empty directory.
 * @param contents by the normalized names of the projects, sorted.
 */
export async function makeWheels(
  work: string,
  contents: Readonly<Record<string, string>> = CONTENTS,
  version = '1.0',
): Promise<Wheel[]> {
  const projects = Object.keys(contents);
  const packages = Object.entries(contents).map(([name, content]) => ({
    name,
    content: `${content}\n`,
  }));
  await pythonIndex.make(
    work,
    { mark: 'generation-1', version, hasOwnNames: false, packages },
    work,
  );
  const wheels = readdirSync(join(work, 'wheels')).sort();
  return await Promise.all(
    wheels.map(async (file, at) => {
      const path = join(work, 'wheels', file);
      const script = `import sys, zipfile
wheel = zipfile.ZipFile(sys.argv[1])
sys.stdout.buffer.write(wheel.read(next(n for n in wheel.namelist() if n.endswith("/METADATA"))))`;
      const { stdout } = await execa('python3', ['-c', script, path], {
        encoding: 'buffer',
        stripFinalNewline: false,
      });
      return { project: projects[at] ?? '', file, path, metadata: Buffer.from(stdout) };
    }),
  );
}

const sha256 = (content: Buffer) => createHash('sha256').update(content).digest('hex');

function write(path: string, text: string | Buffer): void {
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, text);
}

/** Where bandersnatch puts a release. */
export function placeOfRelease({ path, file }: Wheel): string {
  const hash = sha256(readFileSync(path));
  return `packages/${hash.slice(0, 2)}/${hash.slice(2, 4)}/${hash.slice(4)}/${file}`;
}

/** A tree as bandersnatch keeps it, with pages of both forms (src/bandersnatch/simple.py). */
export function writeBandersnatch(tree: string, wheels: readonly Wheel[]): void {
  const html = (title: string, lines: readonly string[], end: string) => `<!DOCTYPE html>
<html>
  <head>
    <meta name="pypi:repository-version" content="1.0">
    <title>${title}</title>
  </head>
  <body>
${lines.map((line) => `    ${line}`).join('\n')}
  </body>
</html>${end}`;
  const meta = { 'api-version': '1.1', '_last-serial': '7' };
  const names = [...new Set(wheels.map(({ project }) => project))];
  for (const project of names) {
    const own = wheels.filter((wheel) => wheel.project === project);
    const releases = own.map((wheel) => {
      const place = placeOfRelease(wheel);
      write(join(tree, place), readFileSync(wheel.path));
      write(join(tree, `${place}.metadata`), wheel.metadata);
      return { ...wheel, url: `../../${place}`, hash: sha256(readFileSync(wheel.path)) };
    });
    const links = releases.map(({ file, url, hash, metadata }) => {
      const said = `sha256=${sha256(metadata)}`;
      const attributes = `data-requires-python="&gt;=3.8" data-core-metadata="${said}" data-dist-info-metadata="${said}"`;
      return `<a href="${url}#sha256=${hash}" ${attributes}>${file}</a><br/>`;
    });
    const files = releases.map(({ file, path, url, hash, metadata }) => ({
      filename: file,
      hashes: { sha256: hash },
      'requires-python': '>=3.8',
      size: statSync(path).size,
      url,
      yanked: false,
      'core-metadata': { sha256: sha256(metadata) },
    }));
    const page = html(`Links for ${project}`, links, '<!--SERIAL 7-->');
    for (const name of ['index.html', 'index.v1_html'])
      write(join(tree, 'simple', project, name), page);
    const json = { files, meta, name: project, versions: ['1.0'] };
    write(join(tree, 'simple', project, 'index.v1_json'), JSON.stringify(json));
  }
  const list = html(
    'Simple Index',
    names.map((name) => `<a href="${name}/">${name}</a><br/>`),
    '',
  );
  for (const name of ['index.html', 'index.v1_html']) write(join(tree, 'simple', name), list);
  const all = { meta, projects: names.map((name) => ({ name })) };
  write(join(tree, 'simple/index.v1_json'), JSON.stringify(all));
}

/** A tree as `dir2pi` makes it, without any hash (libpip2pi/commands.py). */
export function writePip2pi(tree: string, wheels: readonly Wheel[]): void {
  let list =
    "<html><head><title>Simple Index</title><meta name='api-version' value='2' /></head><body>\n";
  for (const { project, file, path } of wheels) {
    const directory = join(tree, 'simple', project);
    mkdirSync(directory, { recursive: true });
    for (const place of [tree, directory]) copyFileSync(path, join(place, basename(path)));
    write(join(directory, 'index.html'), `<a href='${file}'>${file}</a><br />\n`);
    list += `<a href='${project}/'>${project}</a><br />\n`;
  }
  write(join(tree, 'simple/index.html'), `${list}</body></html>\n`);
}

/** A tree as simple503 makes it: each link is from the top of the site (simple503/__init__.py). */
export function writeSimple503(tree: string, wheels: readonly Wheel[]): void {
  const html = (title: string, lines: readonly string[]) => `<!DOCTYPE html>
<html lang="en">
  <head>
    <meta name="generator" content="simple503 version 0.4.0" />
    <meta name="pypi:repository-version" content="1.0" />
    <title>
      ${title}
    </title>
  </head>
  <body>
${lines.join('\n')}
  </body>
</html>`;
  for (const { project, file, path, metadata } of wheels) {
    write(join(tree, project, file), readFileSync(path));
    write(join(tree, project, `${file}.metadata`), metadata);
    const href = `/${project}/${file}#sha256=${sha256(readFileSync(path))}`;
    const said = `data-dist-info-metadata="sha256=${sha256(metadata)}"`;
    const link = `    <a href="${href}" ${said}>\n      ${file}\n    </a>\n    <br />`;
    write(join(tree, project, 'index.html'), html(`Links for ${project}`, [link]));
  }
  const links = wheels.map(
    ({ project }) => `    <a href="/${project}/">\n      ${project}\n    </a>\n    <br />`,
  );
  write(join(tree, 'index.html'), html('Simple Package Repository', links));
}
