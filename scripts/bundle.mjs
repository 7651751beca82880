/**
 * Bundles the program for dist/bin/main.cjs, and the part of it that the launcher calls for `run`
 * for dist/bin/run.cjs and run-by-url.cjs, which start their bundles by what V8 compiles of them here. Reading one file
 * instead of some 300 halves the start-up time, and Node loads a CommonJS file some 20 ms faster than the
 * same code as ECMAScript modules. What the source imports on demand is still evaluated on demand. Adds
 * the licences of bundled packages, and the files that are not TypeScript: the launcher and the reader.
 */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
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
  'run-by-url': 'src/start-bundle.ts',
  'run-by-url.bundle': 'src/cli/run-by-url-alone.ts',
  'hash-worker': 'src/checks/hash-worker.ts',
});

// They are read as latin1, see compileBundle. esbuild escapes all but templates with a tag, and the licences at the end.
for (const path of Object.keys(metafile.outputs)) {
  const [code] = readFileSync(path, 'utf8').split('/*! Bundled license information:');
  const [found] = /.{0,40}[^\0-\x7f].{0,20}/.exec(code) ?? [];
  if (found !== undefined) throw new Error(`${path} is not ASCII: ${found}`);
}

const names = ['http_proxy', 'https_proxy', 'all_proxy'];
const WITHOUT_PROXIES = Object.fromEntries(
  names.flatMap((name) => [name, name.toUpperCase()]).map((name) => [name, '']),
);

// V8 compiles what runs, so these are the verbs that start most often.
await bundle('node_modules/.cache', { 'compile-bundle': 'scripts/compile-bundle.ts' });
const compile = (name, ...words) => {
  const script = ['node_modules/.cache/compile-bundle.cjs', `dist/bin/${name}.bundle.cjs`];
  const options = { env: { ...process.env, ...WITHOUT_PROXIES } };
  return promisify(execFile)(process.execPath, [...script, ...words], options);
};
await compile('main', 'sync', '--help');
await compile('run', 'run', '--help');
await withMirror((url) => {
  const command = `
    const { Agent, get } = require('node:http');
    const { hostname, port } = new URL(process.env.http_proxy);
    const request = { agent: new Agent({ keepAlive: true }), hostname, port, path: '${url}file' };
    const ask = (count) => {
      if (count > 0) get(request, (answer) => answer.on('end', () => ask(count - 1)).resume());
      else request.agent.destroy();
    };
    ask(10);`;
  return compile('run-by-url', 'run', '--http', url, '--', process.execPath, '-e', command);
});

/** Compiles what a sync runs and `sync --help` does not: that saves every sync 35 ms. */
async function compileSyncs() {
  const place = mkdtempSync(join(tmpdir(), 'mirrorlatch-build-'));
  const [source, root, configuration] = ['source', 'root', 'none.toml'].map((name) =>
    join(place, name),
  );
  mkdirSync(source);
  writeFileSync(configuration, '');
  const verbs = { init: [root], sync: [source, root], status: [root] };
  try {
    for (const verb of ['init', 'sync', 'sync', 'status']) {
      writeFileSync(join(source, `before ${verb}`), '');
      await compile('main', '--config', configuration, verb, ...verbs[verb]);
    }
  } catch ({ message }) {
    // Nothing depends on it, and a host that builds may be without rsync.
    console.warn(`bundle.mjs: syncs will take 35 ms longer, as none was possible here: ${message}`);
  } finally {
    rmSync(place, { recursive: true });
  }
}

/** Serves a mirror with one snapshot to `use`. */
async function withMirror(use) {
  const answers = {
    '/current.json': '{"format":1,"id":"a","path":"snapshots/a/","previous":null}',
    '/snapshots/a/': '',
    '/snapshots/a/file': 'a',
  };
  const server = createServer(({ url = '' }, response) => {
    const text = answers[url];
    response.writeHead(text === undefined ? 404 : 200).end(text);
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  try {
    await use(`http://127.0.0.1:${server.address().port}/current/`);
  } finally {
    server.close();
  }
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
for (const directory of ['manual', 'completion'])
  cpSync(`src/${directory}`, `dist/${directory}`, { recursive: true });
for (const file of ['reader.sh', 'shells'])
  cpSync(`src/reader/${file}`, `dist/reader/${file}`, { recursive: true });
for (const script of ['dist/mirrorlatch', 'dist/reader/reader.sh']) chmodSync(script, 0o755);

await compileSyncs();
