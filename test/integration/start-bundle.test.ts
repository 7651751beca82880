import { execFileSync } from 'node:child_process';
import { cpSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { project } from '../support/project.ts';
import { scratchDirectory } from '../support/scratch.ts';

const CACHES = ['main', 'run', 'run-by-url'].map(
  (name) => `${name}.bundle.node-${process.version}-${process.arch}.cache`,
);

test('the program starts with what V8 compiled of it when it was built', () => {
  // As in system/heap.ts: V8 refuses what was compiled under other flags, and says nothing.
  const accepts = `
    const { readFileSync } = require('node:fs');
    require('node:v8').setFlagsFromString('--optimize-for-size');
    require('node:v8').setFlagsFromString('--semi-space-growth-factor=1');
    require('node:v8').setFlagsFromString('--no-opt');
    require('node:v8').setFlagsFromString('--wasm-tiering-budget=100000000');
    const [cache] = process.argv.slice(1);
    const bundle = cache.replace(/node-.*/, 'cjs');
    const source = require('node:module').wrap(readFileSync(bundle, 'latin1'));
    const script = new (require('node:vm').Script)(source, { cachedData: readFileSync(cache) });
    process.exit(script.cachedDataRejected ? 1 : 0)`;
  for (const cache of CACHES)
    execFileSync(process.execPath, ['-e', accepts, join(project, 'dist/bin', cache)]);
});

test('the program starts without what V8 compiled, as under another version of Node', () => {
  const copy = scratchDirectory();
  cpSync(join(project, 'dist'), join(copy, 'dist'), { recursive: true });
  cpSync(join(project, 'package.json'), join(copy, 'package.json'));
  const bin = join(copy, 'dist/bin');
  for (const cache of readdirSync(bin).filter((name) => name.endsWith('.cache')))
    rmSync(join(bin, cache));
  const help = execFileSync(join(copy, 'dist/mirrorlatch'), ['sync', '--help'], {
    encoding: 'utf8',
  });
  expect(help).toContain('Usage: mirrorlatch sync');
});
