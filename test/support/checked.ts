import type { CheckOptions, CheckResult } from '../../src/operations/check.ts';
import { runProgram, transcript } from './program.ts';

// As it is built: its threads cannot be started from a file that only vitest can load.
const built = new URL('../../dist/operations/check.js', import.meta.url).href;
const { check } = (await import(built)) as typeof import('../../src/operations/check.ts');

/** What `check --json` prints, as far as tests look at it. */
export interface Checked {
  readonly isRight: boolean;
  readonly kinds: { readonly kind: string; readonly found: number }[];
  readonly files: number;
  readonly read: { readonly files: number; readonly bytes: number };
  readonly leftOut: number;
  readonly findings: {
    readonly name: string;
    readonly nameBytes?: string;
    readonly kind: string;
    readonly expected: string;
    readonly found: string;
    readonly by: string;
  }[];
  readonly count: number;
  readonly notes: readonly string[];
}

/** Runs `check`, whose exit code has to agree with what it prints. */
export async function runCheck(...words: string[]): Promise<Checked> {
  const result = await runProgram(['check', ...words, '--json']);
  if (![0, 65, 69].includes(result.exitCode ?? -1)) throw new Error(transcript(result));
  const checked = result.json() as unknown as Checked;
  if (checked.isRight === (result.exitCode === 65)) throw new Error(transcript(result));
  return checked;
}

/** Checks a directory without the command line, whose start takes longer than most of what is checked. */
export function checkTree(path: string, policy: CheckOptions['check']): Promise<CheckResult> {
  return check({ path, check: policy });
}

/** `KIND NAME` of each finding, in the order of their names. */
export function wrong({ findings }: Pick<Checked, 'findings'>): string[] {
  return findings.map(({ kind, name }) => `${kind} ${name}`).sort();
}
