import { expect } from 'vitest';
import { runProgram, transcript } from './program.ts';
import type { SmallMirror } from './small-mirror.ts';

/** What `verify --json` prints, as far as tests look at it. */
interface Verified {
  isWhole: boolean;
  trees: {
    id: string;
    recordedAt: string | null;
    recordDamage: string | null;
    files: number;
    unknown: number;
    checked: number;
    damaged: number;
  }[];
  damage: {
    id: string;
    name: string;
    kind: string;
    by: string;
    alsoIn: string[];
    nameBytes?: string;
  }[];
  read: { files: number; bytes: number } | null;
}

/** Runs `verify`, which has to find that all is whole, or damaged, or unknown. */
export async function verify({ root }: Pick<SmallMirror, 'root'>, ...words: string[]) {
  const result = await runProgram(['verify', root, ...words, '--json']);
  expect([0, 65, 69], transcript(result)).toContain(result.exitCode);
  return { exitCode: result.exitCode, ...(result.json() as unknown as Verified) };
}

/** One line for each entry that is damaged. */
export async function damageIn(
  mirror: Pick<SmallMirror, 'root'>,
  ...words: string[]
): Promise<string[]> {
  const { exitCode, isWhole, damage } = await verify(mirror, ...words);
  expect(exitCode).toBe(isWhole ? 0 : 65);
  return damage.map(({ kind, name }) => `${kind} ${name}`).sort();
}
