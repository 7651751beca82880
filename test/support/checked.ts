import { runProgram, transcript } from './program.ts';

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

/** `KIND NAME` of each finding, in the order of their names. */
export function wrong({ findings }: Checked): string[] {
  return findings.map(({ kind, name }) => `${kind} ${name}`).sort();
}
