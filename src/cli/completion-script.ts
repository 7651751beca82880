import { readFileSync } from 'node:fs';

/** The shells that have one; each is a file, which packages install as it is. */
export const COMPLETED_SHELLS = ['bash', 'zsh', 'fish'] as const;

export type CompletedShell = (typeof COMPLETED_SHELLS)[number];

/** The path is valid from `src`, `dist` and the bundle. */
export function completionScript(shell: CompletedShell): string {
  return readFileSync(new URL(`../completion/${shell}`, import.meta.url), 'utf8');
}
