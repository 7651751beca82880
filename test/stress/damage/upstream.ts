import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import type { CheckKind } from '../../../src/mirror/settings/policy.ts';
import { type Statement, statementsOf } from './statements.ts';

/** A state that a repository has been in, or could have been in, with all its files right. */
export interface State {
  readonly tree: string;
  /** SHA-256 in hexadecimal by the name of the file, or of a symlink to one. */
  readonly files: ReadonlyMap<string, string>;
  readonly statements: readonly Statement[];
  /** Signed by another key than that of the keyring. */
  readonly isForeign?: boolean;
  readonly isExpired?: boolean;
}

/** A real repository in several states, from which damaged ones are made. */
export interface Upstream {
  readonly kind: CheckKind;
  /** The first is the one that is damaged. */
  readonly states: readonly [State, ...State[]];
  /** The path of the keys; empty if the kind knows no signatures. */
  readonly keyring: string;
  /** Rules of rsync by which mirrors choose some of it. */
  readonly rules: readonly (readonly string[])[];
}

export type Marks = Pick<State, 'isForeign' | 'isExpired'>;

/** @param tree in which nothing changes any more. */
export async function stateOf(tree: string, marks: Marks = {}): Promise<State> {
  const names = readdirSync(tree, { recursive: true, encoding: 'utf8' });
  const files = new Map(
    names
      .map((name) => ({ name, path: join(tree, name) }))
      .filter(({ path }) => statSync(path).isFile())
      .map(({ name, path }) => [
        name,
        createHash('sha256').update(readFileSync(path)).digest('hex'),
      ]),
  );
  return { tree, files, statements: await statementsOf(tree), ...marks };
}

export const copy = (from: string, to: string) => execa('cp', ['-a', '--', from, to]);
