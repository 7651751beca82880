import { execaSync } from 'execa';
import type { TestProject } from 'vitest/node';

/**
 * Builds `dist` once before any test: tests start the built program, as a user does. Those in
 * `unit` start none.
 */
export default function build({ vitest }: TestProject): void {
  if (vitest.projects.every(({ name }) => name === 'unit')) return;
  execaSync('npm', ['run', '--silent', 'build'], { stdio: ['ignore', 'inherit', 'inherit'] });
}
