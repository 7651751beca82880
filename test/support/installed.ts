import { execaSync } from 'execa';

/** The programs that are not installed. scripts/test.sh goes on without some of them, and names them. */
export function missingOf(...programs: readonly string[]): string[] {
  return programs.filter(
    (program) =>
      execaSync('sh', ['-c', 'command -v "$0"', program], { reject: false }).exitCode !== 0,
  );
}

/** The end of a test's name if it needs a program that is not installed; otherwise empty. */
export function whyNotInstalled(...programs: readonly string[]): string {
  const missing = missingOf(...programs);
  return missing.length === 0 ? '' : ` (skipped: without ${missing.join(', ')})`;
}
