/**
 * `mirrorlatch run` alone, bundled into one small file (dist/bin/run.cjs). The launcher runs it in
 * place of the whole program, because people wait for it before each guarded command.
 */
import { readFileSync } from 'node:fs';
import { addRun } from './commands/run.ts';
import { start } from './start.ts';

const { version } = JSON.parse(
  readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
);
void start(version, { run: async () => addRun });
