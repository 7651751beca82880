/** The whole program, bundled into one file (dist/bin/main.cjs), which the launcher runs. */
import { readFileSync } from 'node:fs';
import { commands } from './commands.ts';
import { start } from './start.ts';

const { version } = JSON.parse(
  readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
);
void start(version, commands);
