import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { type Generation, makeGeneration, type Names } from './generation.ts';
import type { Repository } from './repository.ts';

/** A mirror of package repositories that `mirrorlatch sync` publishes. */
export interface RepositoryMirror {
  readonly root: string;
  /** The path of `mirrorlatch`. */
  readonly program: string;
  /** The snapshots, oldest first: one per generation, whose mark is the id. */
  readonly ids: readonly string[];
  /** Publishes another generation and returns its snapshot's id. */
  publishNext(...options: string[]): Promise<string>;
}

/**
 * Makes a mirror of these repositories with several generations.
 *
 * @param home the directory for the mirror and its upstream, made if need be.
 */
export async function mirrorOfRepositories(
  home: string,
  program: string,
  repositories: ReadonlySet<Repository>,
  generations: number,
  names: Names = 'reused',
): Promise<RepositoryMirror> {
  mkdirSync(home, { recursive: true });
  const root = join(home, 'mirror');
  const ids: string[] = [];
  const publishNext = async (...options: string[]) => {
    const { mark: id } = await makeUpstream(
      join(home, 'upstream'),
      repositories,
      makeGeneration(ids.length + 1, names),
    );
    await execa(program, [
      'sync',
      join(home, 'upstream'),
      root,
      '--id',
      id,
      '--allow-shrink',
      '--quiet',
      ...options,
    ]);
    ids.push(id);
    return id;
  };
  while (ids.length < generations) await publishNext('--no-prune');
  return { root, program, ids, publishNext };
}

async function makeUpstream(
  directory: string,
  repositories: ReadonlySet<Repository>,
  generation: Generation,
) {
  rmSync(directory, { recursive: true, force: true });
  for (const repository of repositories) {
    const work = `${directory}.${repository.name}`;
    mkdirSync(work);
    mkdirSync(join(directory, repository.name), { recursive: true });
    await repository.make(join(directory, repository.name), generation, work);
    rmSync(work, { recursive: true });
  }
  return generation;
}
