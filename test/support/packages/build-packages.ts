import { execa } from 'execa';
import { forDownloads } from '../certificates.ts';
import { project } from '../project.ts';

/**
 * Runs `scripts/package.sh WORDS OUT`.
 *
 * @returns the paths of what it built.
 */
export async function buildPackages(
  words: readonly string[],
  out: string,
  env: Readonly<Record<string, string>> = {},
): Promise<string[]> {
  const script = `${project}scripts/package.sh`;
  const { stdout } = await execa('sh', [script, ...words, out], {
    cwd: '/',
    env: { ...forDownloads, ...env },
  });
  return stdout.split('\n');
}
