import { existsSync, lstatSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';
import { startServe } from '../support/http/serve.ts';
import { type ProgramOptions, runProgram } from '../support/program.ts';
import { project } from '../support/project.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { smallMirror } from '../support/small-mirror.ts';

const versions = readFileSync(join(project, 'scripts/node-versions'), 'utf8').trim().split('\n');
const { engines, version: own } = JSON.parse(readFileSync(join(project, 'package.json'), 'utf8'));

test('the oldest Node of the tests is of the series that package.json allows', () => {
  const [, oldest = ''] = /^>=(\d+)\./.exec(engines.node) ?? [];
  expect(versions[0]).toMatch(new RegExp(`^${oldest}\\.`));
});

describe.for(versions)('On Node %s', (version) => {
  const bin = join(project, `node_modules/.cache/node-${version}/bin`);
  const whyNot = existsSync(join(bin, 'node'))
    ? ''
    : ' (skipped: scripts/test.sh has not fetched it)';
  const options: ProgramOptions = {
    byLauncher: true,
    env: { PATH: `${bin}:${process.env['PATH']}` },
  };

  /** Runs the program, which prints no warning, of Node neither. */
  async function run(...args: readonly string[]): Promise<string> {
    const { exitCode, stdout, stderr } = await runProgram(args, options);
    expect([exitCode, stderr], args.join(' ')).toEqual([0, '']);
    return stdout;
  }

  test.skipIf(whyNot !== '')(`the program syncs, guards, serves and adopts${whyNot}`, async () => {
    expect((await execa(join(bin, 'node'), ['--version'])).stdout).toBe(`v${version}`);
    expect(await run('--version')).toBe(`${own}\n`);
    const { root, source } = smallMirror();
    await run('sync', source, root, '--quiet');
    writeFileSync(join(source, 'more'), 'more\n');
    await run('sync', source, root, '--quiet');
    expect(await run('run', root, '--', 'cat', 'more')).toBe('more\n');
    expect(JSON.parse(await run('status', root, '--json'))).toMatchObject({ isHealthy: true });

    const server = await startServe([`${root}=/site/`], options);
    expect(await (await fetch(`${server.address}/site/current/more`)).text()).toBe('more\n');
    const url = `${server.address}/site/current/`;
    const command = ['curl', '--fail', '--silent', `${url}more`];
    expect(await run('run', '--http', url, '--', ...command)).toBe('more\n');
    const { exitCode, stderr } = await server.stop();
    expect([exitCode, stderr]).toEqual([0, '']);

    const home = scratchDirectory();
    const old = join(home, 'old');
    mkdirSync(old);
    await run('init', '--adopt', old, '--json');
    expect(lstatSync(old).isSymbolicLink()).toBe(true);
    // What exchanges two names is native code, without which it goes on.
    mkdirSync(join(home, 'one'));
    writeFileSync(join(home, 'other'), '');
    const exchange = 'require("fs-native-extensions").swapSync("one", "other")';
    const env = { NODE_PATH: join(project, 'node_modules') };
    await execa(join(bin, 'node'), ['--eval', exchange], { cwd: home, env });
    expect(lstatSync(join(home, 'one')).isFile()).toBe(true);
  });

  test.skipIf(whyNot !== '')(`a program imports the library${whyNot}`, async () => {
    const { root, source } = smallMirror();
    const code = `
      import { pin, sync } from '${project}dist/index.js';
      const [source, root] = process.argv.slice(1);
      await sync({ source, root });
      const { path, release } = await pin({ root });
      console.log(path);
      await release();`;
    const words = ['--input-type=module', '--eval', code, '--', source, root];
    const { stdout, stderr } = await execa(join(bin, 'node'), words);
    expect([stdout, stderr]).toEqual([expect.stringContaining(`${root}/snapshots/`), '']);
  });
});
