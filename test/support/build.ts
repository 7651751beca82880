import { execaSync } from 'execa';

/** Builds `dist` once before any test: tests start the built program, as a user does. */
export default function build(): void {
  execaSync('npm', ['run', '--silent', 'build'], { stdio: ['ignore', 'inherit', 'inherit'] });
}
