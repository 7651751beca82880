/**
 * Bundles the program for dist/bin/main.cjs, and the part of it that the launcher calls for `run`
 * for dist/bin/run.cjs, which start their bundles by what V8 compiles of them here. Reading one file
 * instead of some 300 halves the start-up time, and Node loads a CommonJS file some 20 ms faster than the
 * same code as ECMAScript modules. What the source imports on demand is still evaluated on demand. Adds
 * the licences of bundled packages, and the files that are not TypeScript: the launcher and the reader.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { build } from 'esbuild';

const bundle = (outdir, entryPoints) =>
  build({
    bundle: true,
    platform: 'node',
    target: 'node20.19',
    minifyWhitespace: true,
    minifySyntax: true,
    metafile: true,
    format: 'cjs',
    entryPoints,
    outdir,
    outExtension: { '.js': '.cjs' },
    banner: { js: "const bundleUrl = require('node:url').pathToFileURL(__filename).href;" },
    define: { 'import.meta.url': 'bundleUrl' },
  });

const { metafile } = await bundle('dist/bin', {
  main: 'src/start-bundle.ts',
  'main.bundle': 'src/bin.ts',
  run: 'src/start-bundle.ts',
  'run.bundle': 'src/cli/run-alone.ts',
});

// They are read as latin1, see compileBundle. esbuild escapes all but templates with a tag, and the licences at the end.
for (const path of Object.keys(metafile.outputs)) {
  const [code] = readFileSync(path, 'utf8').split('/*! Bundled license information:');
  const [found] = /.{0,40}[^\0-\x7f].{0,20}/.exec(code) ?? [];
  if (found !== undefined) throw new Error(`${path} is not ASCII: ${found}`);
}

// V8 compiles what runs, so these are the verbs that start most often.
await bundle('node_modules/.cache', { 'compile-bundle': 'scripts/compile-bundle.ts' });
for (const [name, verb] of Object.entries({ main: 'sync', run: 'run' })) {
  const words = [`dist/bin/${name}.bundle.cjs`, verb, '--help'];
  execFileSync(process.execPath, ['node_modules/.cache/compile-bundle.cjs', ...words], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}

const packages = new Set(
  Object.keys(metafile.inputs).flatMap(
    (input) => /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(input)?.[1] ?? [],
  ),
);
const notices = [...packages].sort().map((directory) => {
  const { name, version, license } = JSON.parse(readFileSync(`${directory}/package.json`, 'utf8'));
  const file = readdirSync(directory).find((entry) => /^licen[cs]e/i.test(entry));
  const text =
    file === undefined ? `Licence: ${license}` : readFileSync(`${directory}/${file}`, 'utf8');
  return `${name} ${version}\n\n${text.trim()}\n`;
});
writeFileSync('dist/THIRD-PARTY-LICENSES', notices.join(`\n${'-'.repeat(80)}\n\n`));

cpSync('src/launcher.sh', 'dist/mirrorlatch');
cpSync('src/manual', 'dist/manual', { recursive: true });
for (const file of ['reader.sh', 'shells'])
  cpSync(`src/reader/${file}`, `dist/reader/${file}`, { recursive: true });
for (const script of ['dist/mirrorlatch', 'dist/reader/reader.sh']) chmodSync(script, 0o755);
