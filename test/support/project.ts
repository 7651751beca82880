import { fileURLToPath } from 'node:url';

/** The project's own directory, with a slash at its end. */
export const project = fileURLToPath(new URL('../../', import.meta.url));

/** The built program: what Node runs, and what a shell does. */
export const bin = `${project}dist/bin/main.cjs`;
export const launcher = `${project}dist/mirrorlatch`;
