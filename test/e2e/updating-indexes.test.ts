import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';
import { expectFailure } from '../support/expect-failure.ts';
import { servePlainly } from '../support/http/plain-server.ts';
import { runProgram, transcript } from '../support/program.ts';
import { type Client, updateAndInstall } from '../support/repositories/client.ts';
import { missingPrograms } from '../support/repositories/clients.ts';
import { makeGeneration } from '../support/repositories/generation.ts';
import { Installation } from '../support/repositories/installation.ts';
import { npm } from '../support/repositories/npm.ts';
import { mirrorPath } from '../support/repositories/npm-registry.ts';
import { pipIndex } from '../support/repositories/pip.ts';
import { scratchDirectory } from '../support/scratch.ts';

/** What an upstream brings last, when it updates its indexes first. */
const PACKAGES = ['*.whl', '*.tgz'];

describe.each([pipIndex, npm])('$name', (client) => {
  const missing = missingPrograms(client);
  const why = missing.length === 0 ? '' : `; not here: ${missing.join(', ')}`;

  test.skipIf(why !== '')(
    `installs what was there while its upstream is in the middle of an update${why}`,
    async () => {
      const home = scratchDirectory();
      const [upstream, next, root] = ['upstream', 'next', 'mirror'].map((name) =>
        join(home, name),
      ) as [string, string, string];
      await makeRepository(client, upstream, 1);
      await makeRepository(client, next, 2);
      const sync = (check: string) =>
        runProgram(['sync', upstream, root, '--check', check, '--allow-shrink', '--retries', '0']);
      const bring = async (...options: string[]) =>
        void (await execa('rsync', ['-a', ...options, `${next}/`, upstream]));
      const first = await sync('auto');
      expect(first.exitCode, transcript(first)).toBe(0);
      const { url } = await servePlainly(home);
      const install = async () => {
        const access = { url: url + mirrorPath, around: () => [] };
        const installation = new Installation(client, access, home);
        const { outcome, account } = await installation.run(updateAndInstall(client));
        return { outcome, generations: installation.generations, account };
      };

      await bring(...PACKAGES.map((pattern) => `--exclude=${pattern}`));
      expectFailure(await sync('auto'), 65, /part.\d+-1\.2\S+ is missing/);
      expect(await install()).toMatchObject({ outcome: 'ok', generations: ['generation-1'] });
      // Without the check, readers have an index of what is not there.
      expect((await sync('none')).exitCode).toBe(0);
      expect(await install()).toMatchObject({ outcome: 'failed', generations: [] });
      await bring();
      const healed = await sync('auto');
      expect(healed.exitCode, transcript(healed)).toBe(0);
      expect(await install()).toMatchObject({ outcome: 'ok', generations: ['generation-2'] });
    },
  );
});

async function makeRepository({ repository }: Client, tree: string, number: number) {
  const [directory, work] = [join(tree, repository.name), `${tree}.work`];
  for (const one of [directory, work]) mkdirSync(one, { recursive: true });
  await repository.make(directory, makeGeneration(number, 'own'), work);
  // Pages of both have the same size, and would be made in the same second.
  await execa('find', [tree, '-exec', 'touch', `--date=2026-11-0${number}`, '{}', '+']);
}
