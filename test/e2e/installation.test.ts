import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { execa } from 'execa';
import { expect, test, vi } from 'vitest';
import { forDownloads } from '../support/certificates.ts';
import { project } from '../support/project.ts';
import { scratchDirectory } from '../support/scratch.ts';

// npm installs all that the build needs, beside whatever else keeps the machine busy.
vi.setConfig({ testTimeout: 600_000 });

const { version } = JSON.parse(readFileSync(join(project, 'package.json'), 'utf8'));

/** The entries of the project's directory that a clone does not have. */
const NOT_CLONED = new Set(['.git', 'node_modules', 'dist', 'coverage']);

/** A fresh clone of the project in its present state. */
function freshClone(): string {
  const clone = join(scratchDirectory(), 'clone');
  cpSync(project, clone, { recursive: true, filter: (path) => !NOT_CLONED.has(basename(path)) });
  return clone;
}

/** A git URL of such a clone. */
async function gitUrl(): Promise<string> {
  const cwd = freshClone();
  for (const words of [
    'init',
    'add --all',
    '-c user.name=me -c user.email=me@host commit -m all',
  ]) {
    await execa('git', words.split(' '), { cwd });
  }
  return `git+file://${cwd}`;
}

/** Runs `npm install`, which fetches only packages that are not in its cache. */
function npmInstall(args: readonly string[], cwd: string) {
  const words = ['install', '--prefer-offline', ...args];
  return execa('npm', words, { cwd, env: forDownloads, all: true, reject: false });
}

async function versionOf(program: string): Promise<string> {
  return (await execa(program, ['--version'], { cwd: '/' })).stdout;
}

test('npm install --global . in a fresh clone builds the program and links it; --install-links copies it, and that outlives the clone', async () => {
  const clone = freshClone();
  const [linked, copied] = [scratchDirectory(), scratchDirectory()];
  const link = await npmInstall(['--global', '--prefix', linked, '.'], clone);
  expect(link.exitCode, link.all).toBe(0);
  expect(await versionOf(join(linked, 'bin/mirrorlatch'))).toBe(version);
  rmSync(join(clone, 'dist'), { recursive: true });
  const options = ['--global', '--install-links', '--prefix', copied];
  const copy = await npmInstall([...options, '.'], clone);
  expect(copy.exitCode, copy.all).toBe(0);
  rmSync(clone, { recursive: true });
  expect(await versionOf(join(copied, 'bin/mirrorlatch'))).toBe(version);
});

test('an npm that ignores scripts installs what was built before', async () => {
  const clone = freshClone();
  // The tests began with `npm ci && npm run build`, too.
  cpSync(join(project, 'dist'), join(clone, 'dist'), { recursive: true });
  const prefix = scratchDirectory();
  const options = ['--global', '--ignore-scripts', '--prefix', prefix];
  const { exitCode, all } = await npmInstall([...options, '.'], clone);
  expect(exitCode, all).toBe(0);
  expect(await versionOf(join(prefix, 'bin/mirrorlatch'))).toBe(version);
});

test('npm install builds the program from a git URL', async () => {
  const home = scratchDirectory();
  writeFileSync(join(home, 'package.json'), '{}');
  const { exitCode, all } = await npmInstall([await gitUrl()], home);
  expect(exitCode, all).toBe(0);
  expect(await versionOf(join(home, 'node_modules/.bin/mirrorlatch'))).toBe(version);
});

test('npm install --global fails with a git URL, for which npm itself would link nothing and exit with 0', async () => {
  const prefix = scratchDirectory();
  const { exitCode, all } = await npmInstall(['--global', '--prefix', prefix, await gitUrl()], '/');
  expect(exitCode, all).not.toBe(0);
  expect(all).toContain('Clone it, and run this in the clone: npm install --global .');
  expect(existsSync(join(prefix, 'bin/mirrorlatch'))).toBe(false);
});
